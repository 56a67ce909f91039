"""Exported networks: they give what the trained one gives, from uint8 images of any number."""

import io
import json
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from thumbnets import cli, load
from thumbnets import export as exporting
from thumbnets.artifacts import write_json
from thumbnets.data.arrays import Meta
from thumbnets.ensembles.voting import hard_vote
from thumbnets.export import export
from thumbnets.exported import _vote
from thumbnets.methods.weights import save_weights
from thumbnets.models import create_model
from thumbnets.models.bag_network import BagNetwork
from thumbnets.trained import Trained
from thumbnets.training.classifier import Classifier

CLASSES = [f"class {number}" for number in range(10)]
META = Meta("toy", CLASSES, 1, 28, [0.25], [0.3], [1] * 10, "0" * 64)


@pytest.fixture(params=["tiny_cnn", "mlp4"])
def classifier(request) -> Classifier:
    torch.manual_seed(0)
    network = create_model(request.param, **META.shape)
    for name, values in network.named_buffers():
        if name.endswith("running_mean"):
            values.fill_(0.1)  # batch norms that do something
    return Trained.of(Classifier(network, META))


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (7, 1, 28, 28), dtype=np.uint8)


def test_torchscript(classifier, images, tmp_path):
    path = tmp_path / "net.pt"
    assert export(classifier, "torchscript", path) < 1e-4
    extra = {"thumbnets": ""}
    network = torch.jit.load(io.BytesIO(path.read_bytes()), _extra_files=extra)
    expected = classifier.scores(images)
    np.testing.assert_allclose(network(torch.from_numpy(images)).detach(), expected, atol=1e-5)
    about = json.loads(extra["thumbnets"])
    assert about["classes"] == CLASSES and about["image_size"] == 28


def test_onnx(classifier, images, tmp_path):
    path = tmp_path / "net.onnx"
    assert export(classifier, "onnx", path) < 1e-4
    model = onnx.load(path)
    expected = classifier.scores(images)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(about["thumbnets"])["classes"] == CLASSES
    found = exporting._run_onnx(path.read_bytes(), images)
    np.testing.assert_allclose(found, expected, atol=1e-5)


ABOUT = {"fit", "resampling", "exif", "transparency", "depth", "mean", "std", "temperature"}


def test_the_ensemble_is_one_file_of_calibrated_probabilities(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)  # no onnxruntime
    ensemble = load("ensemble")
    path = tmp_path / "ensemble.onnx"
    assert export(ensemble.trained, "onnx", path, probabilities=True) < 1e-5
    images = np.random.default_rng(5).integers(0, 256, (7, 1, 8, 8), dtype=np.uint8)
    model = onnx.load(path)
    [found] = onnx.reference.ReferenceEvaluator(model).run(["probabilities"], {"images": images})
    np.testing.assert_allclose(found, ensemble.probabilities(images), atol=1e-6)
    [entry] = model.metadata_props
    about = json.loads(entry.value)
    assert ABOUT < set(about) and about["temperature"] == ensemble.temperature
    assert about["output"]["temperature"] == "in the graph" and about["classes"] == ensemble.classes


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
@pytest.mark.parametrize("pooling", ["gated_attention", "max", "instance_mean"])
def test_a_network_of_bags_takes_each_image_as_a_bag(tmp_path, pooling, kind):
    torch.manual_seed(0)
    network = BagNetwork(create_model("lenet5", **META.shape), pooling, width=8)
    trained = Trained.of(Classifier(network, replace(META, classes=["without", "with"])))
    path = tmp_path / f"bags.{kind}"
    assert export(trained, kind, path) < 1e-4


@pytest.mark.parametrize("kind", ["soft", "hard", "stacking"])
def test_every_vote_is_exported(small_run, tmp_path, kind):
    stack = {"classes": [0, 2], "coefficients": [[0.5, -1, 2, 0, 1, 3], [1, 0, -2, 1, 1, 0]]}
    chosen = {"members": ["b-0", "a-0"], "intercepts": [0.1, -0.3], **stack}
    votes = {"votes": {"a-0": 3, "b-0": 1}}
    ensemble = {"all": chosen if kind == "stacking" else votes}
    write_json(small_run / "ensembles/selection.json", {"0": ensemble})
    voting = "hard" if kind == "hard" else "soft"
    write_json(small_run / "metrics/ensemble.json", {"rule": "all", "voting": voting})
    trained, path = load("ensemble").trained, tmp_path / "ensemble.pt"
    assert export(trained, "torchscript", path) < 1e-6
    images = np.random.default_rng(5).integers(0, 256, (9, 1, 8, 8), dtype=np.uint8)
    logits = torch.jit.load(path)(torch.from_numpy(images)).detach() / trained.temperature
    expected = np.exp(trained.log_probabilities(images))
    np.testing.assert_allclose(logits.softmax(1), expected, atol=1e-6)
    assert kind != "stacking" or expected[:, 1].max() < 1e-300


def test_equal_votes_are_a_tie_when_exported_too():
    """0.36 + 0.12 is above 0.48 in float32."""
    counts = np.array([12, 9, 3, 1])
    logits = np.zeros((4, 1, 8), np.float32)
    logits[[0, 1, 2, 3], 0, [2, 7, 7, 5]] = 1
    expected = hard_vote(logits, counts / counts.sum())
    vote = _vote({"votes": dict(enumerate(counts.tolist()))}, "hard", 8)
    found = vote(torch.from_numpy(logits))
    assert found.argmax(1) == expected.argmax(1) == 2
    np.testing.assert_allclose(found[0, [2, 7, 5]].exp(), [0.48, 0.48, 0.04], rtol=1e-6)


def test_a_check_that_can_not_be_made_says_so(classifier, tmp_path, monkeypatch):
    def other(network, images, about, name):
        return b"content", lambda images: 1 / 0

    monkeypatch.setitem(exporting._FORMATS, "onnx", other)
    with pytest.raises(
        ValueError, match=r"The check of network as onnx failed \(.*division by zer"
    ):
        export(classifier, "onnx", tmp_path / "net.onnx")

    def no(network, images, about, name):
        raise NotImplementedError("no such operator")

    monkeypatch.setitem(exporting._FORMATS, "onnx", no)
    with pytest.raises(ValueError, match=r"network can't be written as onnx: no such operator"):
        export(classifier, "onnx", tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_other_formats_are_refused(classifier, tmp_path):
    with pytest.raises(ValueError, match="one of onnx, torchscript, got 'pickle'"):
        export(classifier, "pickle", tmp_path / "net")


def test_a_network_that_changes_is_not_written(classifier, tmp_path, monkeypatch):
    def other(network, images, about, name):
        return b"content", lambda images: classifier.scores(images) + 0.01

    monkeypatch.setitem(exporting._FORMATS, "onnx", other)
    with pytest.raises(
        ValueError, match=r"different logits \(by up to 0.01\): nothing was written"
    ):
        export(classifier, "onnx", tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_command(model_settings, root, tmp_path, monkeypatch, capsys):
    for name in ("params.yaml", "zoo"):
        (tmp_path / name).symlink_to(root / name)
    monkeypatch.chdir(tmp_path)
    settings = model_settings("tiny_cnn", {"dropout": 0.025, "order": "norm_relu"})
    network = create_model("tiny_cnn", **META.shape)
    path = tmp_path / "weights" / "tiny_cnn" / "3.safetensors"
    save_weights(path, Classifier(network, META), settings)

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["thumbnets", "export", *arguments])
        cli.main()

    run("tiny_cnn", "--format", "torchscript", "--seed", "3")
    assert capsys.readouterr().out.startswith("tiny_cnn-3.pt: largest difference in a logit ")
    assert (tmp_path / "tiny_cnn-3.pt").is_file()
    with pytest.raises(SystemExit, match="error: Unknown model 'tiny'"):
        run("tiny")
    with pytest.raises(SystemExit, match="seed 4 is not in this run"):
        run("tiny_cnn", "--seed", "4")
