"""Stacked perceptrons learn what they learn one by one."""

import pytest
import torch

from benchmarks.stacked import fit_stacked, stack
from thumbnets.methods.base import build_method
from thumbnets.models import create_model
from thumbnets.training.loop import fit

SHAPE = {"in_channels": 1, "image_size": 8, "num_classes": 3}


def test_each_gives_its_own_logits():
    networks = [create_model("mlp4", **SHAPE).eval() for _ in range(3)]
    images = torch.randn(3, 5, 1, 8, 8)
    together = stack(networks).eval()(images.flatten(2))
    alone = torch.stack([network(x) for network, x in zip(networks, images, strict=True)])
    torch.testing.assert_close(together, alone)


def test_only_perceptrons_can_be_stacked():
    with pytest.raises(ValueError, match="only perceptrons"):
        stack([create_model("cnn_a", **SHAPE) for _ in range(2)])


def test_each_learns_as_it_does_alone(model_settings, meta, toy_images, watcher):
    settings = model_settings(
        "mlp4", {"dropout": 0.0}, epochs=3, lr=0.003, schedule="onecycle", weight_decay=0.01
    )
    train, validation = toy_images(70), toy_images(40, seed=1)
    alone = [
        fit(build_method(settings, meta), train, validation, seed=seed, watcher=watcher)[1][-1]
        for seed in (3, 4)
    ]
    together = fit_stacked(settings, train, validation, meta, [3, 4])
    assert together == pytest.approx([row.validation_accuracy for row in alone])
    assert together[0] != together[1]  # or the comparison says little
