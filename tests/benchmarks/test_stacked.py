"""Stacked networks learn what they learn one by one."""

import pytest
import torch

from benchmarks.stacked import Stacked, fit_stacked
from thumbnets.methods.base import build_method
from thumbnets.models import create_model
from thumbnets.training.loop import fit

SHAPE = {"in_channels": 1, "image_size": 8, "num_classes": 3}


@pytest.mark.parametrize(("arch", "side"), [("mlp4", 8), ("tiny_cnn", 18)])
def test_each_gives_its_own_logits(arch, side):
    shape = {**SHAPE, "image_size": side}
    networks = [create_model(arch, **shape).eval() for _ in range(3)]
    images = torch.randn(3, 5, 1, side, side)
    together = Stacked(networks).eval()(images)
    alone = torch.stack([network(x) for network, x in zip(networks, images, strict=True)])
    torch.testing.assert_close(together, alone)


def test_other_networks_can_not_be_stacked():
    with pytest.raises(ValueError, match="only flat perceptrons and flat CNNs"):
        Stacked([create_model("cnn_a", **SHAPE) for _ in range(2)])


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
