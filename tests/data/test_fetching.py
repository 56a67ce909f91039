"""Published weights: fetched like data, in the form that the network and the images want."""

import hashlib
from dataclasses import replace

import pytest
import torch
from torchvision import models

from thumbnets import fetching
from thumbnets.fetching import fetch_weights
from thumbnets.methods.base import build_method
from thumbnets.models import create_model
from thumbnets.training import imagenet
from thumbnets.training.imagenet import fitted, published
from thumbnets.training.pretrained import first_weights

ARCH = "torchvision/squeezenet1_1"  # the smallest file: 5 MB


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """What such a file holds: a network for colour images of 1,000 classes."""
    torch.manual_seed(1)
    return models.squeezenet1_1().state_dict()


@pytest.fixture
def served(server, weights, tmp_path, monkeypatch):
    """A file of the same form on loopback, with the checksum that its name says."""
    monkeypatch.chdir(tmp_path)
    torch.save(weights, tmp_path / "w")
    content = (tmp_path / "w").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    server.files = {(name := f"squeezenet1_1-{digest[:8]}.pth"): content}
    known = replace(published(ARCH), file=name, sha256=digest[:8])
    for module in (fetching, imagenet):
        monkeypatch.setattr(module, "published", lambda arch: known)
    monkeypatch.setattr(fetching, "_MIRROR", server.address)
    monkeypatch.delenv("THUMBNETS_MIRROR", raising=False)
    return server


def test_fetched_once_and_checked_by_the_name(served, model_settings, meta):
    network = create_model(ARCH, in_channels=3, image_size=40, num_classes=3)
    settings = model_settings(ARCH, weights="imagenet")
    with pytest.raises(ValueError, match=r"is missing: run `thumbnets fetch torchvision/squ"):
        first_weights(settings, network)
    path = fetch_weights(ARCH)
    fetch_weights(ARCH)
    assert served.asked == [path.name] and path.parent.name == "imagenet"
    told = first_weights(settings, network)
    assert "initialised, since their shapes differ: classifier.1.weight" in told
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match="has another content: run `thumbnets fetch"):
        first_weights(settings, network)


def test_another_content_under_that_name_is_refused(served):
    (name,) = served.files
    served.files[name] = b"something else"
    with pytest.raises(
        ValueError, match=r"wrong SHA-256.*or put the file into pretrained/imagenet"
    ):
        fetch_weights(ARCH)


def test_grey_images_see_the_filters_as_three_equal_channels(weights):
    colour = create_model(ARCH, in_channels=3, image_size=40, num_classes=1000)
    colour.load_state_dict(weights)
    grey = create_model(ARCH, in_channels=1, image_size=40, num_classes=1000)
    grey.load_state_dict(fitted(weights, grey.state_dict()))
    images = torch.randn(2, 1, 40, 40)
    with torch.no_grad():
        found, expected = grey.eval()(images), colour.eval()(images.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_positions_of_a_transformer_are_interpolated():
    given = models.vit_b_16(image_size=64).state_dict()
    own = create_model("torchvision/vit_b_16", in_channels=3, image_size=96, num_classes=2)
    found = fitted(given, own.state_dict())["encoder.pos_embedding"]
    assert found.shape == own.state_dict()["encoder.pos_embedding"].shape
    torch.testing.assert_close(found[:, 0], given["encoder.pos_embedding"][:, 0])


def test_old_names_of_densenets():
    old = {"features.denseblock1.denselayer2.norm.1.weight": torch.ones(1)}
    own = {"features.conv0.weight": torch.ones(1, 3, 1, 1)}
    assert list(fitted(old, own)) == ["features.denseblock1.denselayer2.norm1.weight"]


def test_images_are_normalised_as_the_weights_want(model_settings, meta):
    settings = model_settings("torchvision/resnet18", weights="imagenet")
    colour = replace(meta, channels=3, image_size=64, mean=[0.1] * 3, std=[0.2] * 3)
    method = build_method(settings, colour)
    assert method.example_meta.mean == [0.485, 0.456, 0.406]
    assert method.example_meta.std == [0.229, 0.224, 0.225]
    grey = build_method(settings, replace(meta, image_size=64)).example_meta
    assert (grey.mean, grey.std) == (pytest.approx([0.449]), pytest.approx([0.226]))
    with pytest.raises(ValueError, match="needs grey or colour images, got 2"):
        build_method(settings, replace(colour, channels=2))


@pytest.mark.parametrize("arch", ["lenet5", "torchvision/nonsense"])
def test_only_for_networks_that_have_some(arch):
    with pytest.raises(ValueError, match=f"weights: imagenet is for .* none for {arch}"):
        published(arch)


def test_every_network_of_torchvision_names_the_checksum_of_its_file():
    for name in models.list_models(module=models):
        assert len(published(f"torchvision/{name}").sha256) in (8, 10, 64), name
