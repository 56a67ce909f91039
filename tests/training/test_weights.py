"""Trained networks on disk: what is read is what was written, and damage is one clear line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from thumbnets.models.patches import build
from thumbnets.training.classifier import Classifier, normalise
from thumbnets.training.weights import load_weights, read_key, save_weights

CPU = torch.device("cpu")


@pytest.fixture(params=["cnn_a", "cnn_c"])
def saved(request, tmp_path, model_settings, meta):
    """A network with batch norm and patches on disk: settings, network, path."""
    settings = model_settings(request.param, patches={"size": 4, "mode": "permute"}, lr=1e-7)
    torch.manual_seed(0)
    network = build(settings, **meta.shape)
    network(torch.randn(9, 1, 8, 8) * 3 + 1)  # moves the running statistics
    save_weights(tmp_path / "0.safetensors", Classifier(network, meta), settings)
    return settings, network, tmp_path / "0.safetensors"


def test_what_is_read_gives_identical_logits(saved, meta, toy_images):
    _, network, path = saved
    images = toy_images(30).images
    classifier = load_weights(path, CPU)
    assert classifier.meta == meta
    before = Classifier(network, meta).logits(images)
    np.testing.assert_array_equal(classifier.logits(images), before, strict=True)
    assert before.shape == (30, 3) and before.dtype == np.float32


def test_the_file_says_what_it_holds(saved, meta):
    settings, _, path = saved
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    about = json.loads(metadata["thumbnets"])
    assert list(metadata) == ["thumbnets"]
    assert about["settings"] == settings.model_dump() and about["settings"]["train"]["lr"] == 1e-7
    assert about["meta"] == vars(meta)


def test_the_same_network_is_the_same_bytes(saved, meta, tmp_path):
    settings, network, path = saved
    save_weights(tmp_path / "again.safetensors", Classifier(network, meta), settings)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    loaded = load_weights(path, CPU)
    save_weights(tmp_path / "third.safetensors", loaded, settings)
    assert (tmp_path / "third.safetensors").read_bytes() == path.read_bytes()


def test_a_key_is_kept_beside_the_network(saved, meta, tmp_path):
    settings, network, path = saved
    save_weights(tmp_path / "k.safetensors", Classifier(network, meta), settings, key="abc")
    assert read_key(tmp_path / "k.safetensors") == "abc"
    assert load_weights(tmp_path / "k.safetensors", CPU).meta == meta
    assert read_key(path) is None and read_key(tmp_path / "missing") is None
    (tmp_path / "damaged").write_bytes(path.read_bytes()[:100])
    assert read_key(tmp_path / "damaged") is None


def test_a_missing_or_foreign_file_is_one_line(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(ValueError, match=r"x\.safetensors is missing: run `dvc repro`"):
        load_weights(path, CPU)
    for content in (b"", b"no weights", bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.safetensors is damaged"):
            load_weights(path, CPU)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"x\.safetensors is damaged"):
        load_weights(path, CPU)


def test_a_truncated_file_is_one_line(saved):
    path = saved[2]
    content = path.read_bytes()
    for length in (0, 4, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="is damaged"):
            load_weights(path, CPU)


def _other_head(about: dict) -> dict:
    return {**about, "meta": {**about["meta"], "classes": ["a", "b"]}}


@pytest.mark.parametrize(
    "alter",
    [
        lambda about: "{",
        lambda about: json.dumps({}),
        lambda about: json.dumps({**about, "meta": {"channels": 1}}),
        lambda about: json.dumps({**about, "settings": {**about["settings"], "arch": "gone"}}),
        lambda about: json.dumps(_other_head(about)),
    ],
    ids=["no JSON", "empty", "other meta", "unknown network", "other sizes"],
)
def test_a_file_of_another_version_is_one_line(saved, alter):
    path = saved[2]
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["thumbnets"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    save_file(tensors, path, {"thumbnets": alter(about)})
    with pytest.raises(ValueError, match=r"0\.safetensors"):
        load_weights(path, CPU)


def test_normalise_is_the_formula():
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    mean, std = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.2, 0.3, 0.4])
    expected = (images.double() / 255 - mean[:, None, None]) / std[:, None, None]
    out = normalise(images, mean, std)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=2e-6)


def test_logits_do_not_rest_on_the_batch_or_on_the_mode(saved, meta, toy_images):
    classifier, images = Classifier(saved[1], meta), toy_images(30).images
    whole = classifier.logits(images)
    np.testing.assert_allclose(classifier.logits(images, batch_size=7), whole, atol=1e-5)
    for mode in (True, False):
        saved[1].train(mode)
        np.testing.assert_array_equal(classifier.logits(images), whole)
        assert saved[1].training is mode
    shifted = replace(meta, mean=[0.5])
    assert not np.allclose(Classifier(saved[1], shifted).logits(images), whole)
