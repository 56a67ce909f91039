"""Clipping: no gradient is longer than the bound, and a shorter one is left alone."""

import numpy as np
import pytest
import torch

from thumbnets.methods.base import build_method
from thumbnets.training.loop import Training


@pytest.fixture
def training(model_settings, toy_images, meta):
    """A training with plain gradient steps."""

    def make(**changes) -> Training:
        changes = {"momentum": 0.0, "lr": 0.5, **changes}
        return Training(build_method(model_settings(**changes), meta), toy_images(48), None, seed=0)

    return make


def weights(network: torch.nn.Module) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in network.parameters()]).double().numpy()


def gradient(training: Training, images, targets) -> np.ndarray:
    """Gradient of the loss at the present weights, by hand."""
    loss = torch.nn.functional.cross_entropy(training.network(images), targets)
    parts = torch.autograd.grad(loss, list(training.network.parameters()))
    return torch.cat([part.flatten() for part in parts]).double().numpy()


@pytest.mark.parametrize(("bound", "cut"), [(1e-3, 3), (0.3, 3), (1e3, 0)])
def test_a_step_is_the_gradient_cut_to_the_bound(training, bound, cut):
    """Over all weights together: one bound, one direction."""
    clipped = training(clip=bound)
    longer = 0
    for images, targets in clipped.batches.run(clipped.order, 1):
        before, full = weights(clipped.network), gradient(clipped, images, targets)
        clipped._step(images, targets)
        length = np.linalg.norm(full)
        longer += length > bound
        expected = full * min(1.0, bound / (length + 1e-6))  # as torch documents it
        taken = (before - weights(clipped.network)) / 0.5
        np.testing.assert_allclose(taken, expected, rtol=1e-4, atol=1e-7)  # weights are rounded
        assert np.linalg.norm(taken) <= bound * (1 + 1e-4)
    assert longer == cut


def test_a_bound_that_no_gradient_reaches_changes_no_bit(training):
    one, other = training(clip=1e6), training(clip=None)
    for each in (one, other):
        for images, targets in each.batches.run(each.order, 1):
            each._step(images, targets)
    assert weights(one.network).tobytes() == weights(other.network).tobytes()
