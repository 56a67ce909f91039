"""That a comparison is fair: peers keep their threads' settings, and do the same work."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.peers import ExampleNet, Member, augmentation, network_of
from thumbnets.data.augment import pipeline
from thumbnets.models import count_parameters
from thumbnets.models.layers import Dropout
from thumbnets.training.settings import TrainSettings


def _spinning(python, monkeypatch, imports: str) -> set[str]:
    """What each OpenMP runtime says of its waiting threads when `imports` are imported."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_DISPLAY_ENV", "verbose")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["src", "."]))
    shown = python(f"import os, sys; os.dup2(1, 2); import {imports}")
    return {line.strip() for line in shown.splitlines() if "GOMP_SPINCOUNT" in line}


@pytest.mark.slow
def test_peers_keep_the_settings_that_their_threads_have_by_themselves(python, monkeypatch):
    bare = _spinning(python, monkeypatch, "torch, sklearn.neural_network")
    if not bare:
        pytest.skip("torch's OpenMP runtime here is not libgomp")
    assert _spinning(python, monkeypatch, "benchmarks.peers") == bare
    assert _spinning(python, monkeypatch, "benchmarks.ours") != bare


def _settings(train_settings, *choices: dict) -> TrainSettings:
    return train_settings(augment=list(choices))


def test_a_shift_of_torchvision_has_our_law(train_settings):
    [choice] = _settings(train_settings, {"name": "shift", "pixels": 1}).augment
    dot = np.zeros((8, 8), np.uint8)
    dot[3, 4] = 255
    theirs, ours = augmentation(choice, 8), pipeline([choice])
    torch.manual_seed(0)
    moved = [np.argwhere(np.array(theirs(Image.fromarray(dot)))).tolist() for _ in range(900)]
    batch = torch.from_numpy(dot).expand(900, 1, 8, 8)
    drawn = {"generator": torch.Generator().manual_seed(0), "epoch": 1, "index": torch.arange(900)}
    expected = ours(batch, **drawn).numpy()[:, 0]
    counts, ours_counts = (
        {(y, x): places.count([[y, x]]) for y in (2, 3, 4) for x in (3, 4, 5)}
        for places in (moved, [np.argwhere(image).tolist() for image in expected])
    )
    # Nine places, 100 times each; 40 is four standard deviations.
    assert sum(counts.values()) == sum(ours_counts.values()) == 900
    assert all(abs(n - 100) < 40 for n in [*counts.values(), *ours_counts.values()])


def test_a_rotation_of_torchvision_has_our_law(train_settings):
    [choice] = _settings(train_settings, {"name": "rotation", "degrees": 7.0}).augment
    theirs = augmentation(choice, 28)
    assert theirs.degrees == [-7.0, 7.0]
    assert theirs.interpolation.value == "nearest" and theirs.fill == 0 and not theirs.expand


def test_what_torchvision_lacks_is_refused(train_settings):
    [choice] = _settings(train_settings, {"name": "cutout", "size": 4}).augment
    with pytest.raises(ValueError, match="no transform with the law of cutout"):
        augmentation(choice, 28)


def test_peers_have_our_network_with_the_dropout_of_torch(model_settings, meta):
    network = network_of(model_settings("mlp4", {"dropout": 0.3}), meta)
    assert [layer.p for layer in network if isinstance(layer, nn.Dropout)] == [0.3] * 3
    assert not any(isinstance(layer, Dropout) for layer in network.modules())
    sizes = [64, 500, 250, 250, 3]
    assert count_parameters(network) == sum(
        (a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False)
    )


def test_members_of_an_ensemble_begin_apart(model_settings, meta):
    members = [Member(model_settings("mlp4"), meta) for _ in range(2)]
    weights = [next(member.parameters()) for member in members]
    assert not torch.equal(*weights)
    assert members[0](torch.zeros(2, 1, 8, 8)).shape == (2, 3)


def test_the_example_is_the_published_network():
    network = ExampleNet()
    # 3x3x1x32 + 32, 3x3x32x64 + 64, 9216x128 + 128, 128x10 + 10
    assert count_parameters(network) == 320 + 18_496 + 1_179_776 + 1_290
    assert network(torch.zeros(2, 1, 28, 28)).exp().sum(1).tolist() == pytest.approx([1, 1])
