"""Trained networks on disk: what is read is what was written, and damage is one clear line."""

import hashlib
import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from thumbnets.api import ImageClassifier
from thumbnets.evaluation import views
from thumbnets.export import export
from thumbnets.methods import weights
from thumbnets.methods.weights import load_weights, read_key, save_weights
from thumbnets.models.patches import build
from thumbnets.trained import Trained
from thumbnets.training.classifier import Classifier, normalise

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
    assert list(about) == ["halvings", "meta", "settings", "sha256"]
    assert about["settings"] == settings.model_dump() and about["settings"]["train"]["lr"] == 1e-7
    assert about["meta"] == meta.written


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


def _rewrite(path, change, *, sign: bool) -> None:
    """Change metadata and tensors of a file, with the checksum of before or a new one."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["thumbnets"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    signed = about.pop("sha256")
    about = change(about, tensors) or about
    about["sha256"] = weights._checksum(about, tensors) if sign else signed
    save_file(tensors, path, {"thumbnets": json.dumps(about)})


def test_the_checksum_is_the_formula(saved):
    """Metadata as sorted JSON, then name, dtype, shape and bytes of each tensor by its name."""
    with safe_open(saved[2], "pt") as file:
        about = json.loads(file.metadata()["thumbnets"])
        tensors = {name: file.get_tensor(name).numpy() for name in file.keys()}
    stated = about.pop("sha256")
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(json.dumps([name, f"torch.{array.dtype}", list(array.shape)]).encode())
        digest.update(array.tobytes())
    assert digest.hexdigest() == stated


def test_a_flipped_bit_anywhere_is_refused(saved):
    path = saved[2]
    content = bytearray(path.read_bytes())
    rng = random.Random(0)
    for place in [*range(16), *rng.sample(range(16, len(content)), 100)]:
        bit = 1 << rng.randrange(8)
        content[place] ^= bit
        path.write_bytes(content)
        with pytest.raises(ValueError, match="0.safetensors is damaged"):
            load_weights(path, CPU)
        content[place] ^= bit
    path.write_bytes(content)
    assert load_weights(path, CPU)


@pytest.mark.parametrize(
    "change",
    [
        lambda about, tensors: {**about, "halvings": 1},
        lambda about, tensors: {**about, "meta": {**about["meta"], "classes": ["a", "b", "c"]}},
        lambda about, tensors: {**about, "key": "another"},
        lambda about, tensors: tensors.popitem() and None,
        lambda about, tensors: tensors.update(more=torch.zeros(1)),
        lambda about, tensors: tensors.update({name: -tensors[name] for name in [min(tensors)]}),
    ],
    ids=["halvings", "classes", "key", "fewer", "more", "negated"],
)
def test_any_other_content_has_another_checksum(saved, change):
    _rewrite(saved[2], change, sign=False)
    with pytest.raises(ValueError, match="does not have the SHA-256 that it states"):
        load_weights(saved[2], CPU)
    assert read_key(saved[2]) is None


def test_a_file_without_a_checksum_is_refused(saved):
    path = saved[2]
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["thumbnets"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    del about["sha256"]
    save_file(tensors, path, {"thumbnets": json.dumps(about)})
    said = "older version, without a SHA-256.: remove it and run `dvc repro`"
    with pytest.raises(ValueError, match=said):
        load_weights(path, CPU)


def test_a_network_too_large_for_the_tensors_takes_no_memory(saved):
    """Settings of a file from elsewhere: 3 x 10^9 pixels would be 12 TB of weights."""

    def enlarge(about, tensors):
        return {**about, "meta": {**about["meta"], "image_size": 100_000}}

    _rewrite(saved[2], enlarge, sign=True)
    with pytest.raises(ValueError, match="0.safetensors is damaged"):
        load_weights(saved[2], CPU)


def test_reading_leaves_the_global_generator_as_building_does(saved, meta):
    settings, _, path = saved
    torch.manual_seed(0)
    build(settings, **meta.shape)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_weights(path, CPU)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_an_error(saved, meta, toy_images, tmp_path, value):
    """Without it class 0 is the answer, with probability nan."""
    _, network, path = saved
    with torch.no_grad():
        list(network.parameters())[-1][1] = value
    save_weights(path, Classifier(network, meta), saved[0])
    classifier, images = load_weights(path, CPU), toy_images(4).images
    message = "NaN or infinite logits for 4 of 4 images"
    with pytest.raises(ValueError, match=message):
        views.predict(classifier, images, ["flip"])
    Image.fromarray(images[0, 0].numpy()).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="NaN or infinite logits for 1 of 1 images"):
        ImageClassifier(Trained.of(classifier)).predict(tmp_path / "a.png")
    with pytest.raises(ValueError, match="NaN or infinite logits for 5 of 5 images"):
        export(Trained.of(classifier), "torchscript", tmp_path / "a.pt")
    assert not (tmp_path / "a.pt").exists()


def _other_head(about: dict) -> dict:
    return {**about, "meta": {**about["meta"], "classes": ["a", "b"]}}


@pytest.mark.parametrize(
    "change",
    [
        lambda about: {"meta": about["meta"]},
        lambda about: {key: value for key, value in about.items() if key != "halvings"},
        lambda about: {**about, "meta": {"channels": 1}},
        lambda about: {**about, "meta": {**about["meta"], "std": [0.0]}},
        lambda about: {**about, "meta": {**about["meta"], "mean": "0.5"}},
        lambda about: {**about, "settings": {**about["settings"], "arch": "gone"}},
        lambda about: {**about, "settings": []},
        _other_head,
    ],
    ids=[
        "no settings",
        "no halvings",
        "other meta",
        "no deviation",
        "a text as mean",
        "unknown network",
        "a list as settings",
        "other sizes",
    ],
)
def test_a_file_of_another_version_is_one_line(saved, change):
    _rewrite(saved[2], lambda about, tensors: change(about), sign=True)
    with pytest.raises(ValueError, match=r"0\.safetensors is damaged") as caught:
        load_weights(saved[2], CPU)
    assert "\n" not in str(caught.value)


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
