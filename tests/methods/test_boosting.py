"""Gradient boosting: residuals, and what the losses do with them."""

import pytest
import torch
from torch import nn

from thumbnets.methods.base import build_method
from thumbnets.methods.members import Members
from thumbnets.training.loop import Training

FIRST, SECOND = [1.0, 0.0, -1.0], [0.5, 0.5, 0.0]  # of section 6 of the notes, class 1
CLASS = torch.tensor([1])
IMAGE = torch.zeros(1, 1, 8, 8)


class Constant(nn.Module):
    """Gives the same logits, its parameter, for every image."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images):
        return self.logits.expand(len(images), -1)


@pytest.fixture
def method(model_settings, meta):
    """Makes a boosting method."""

    def make(name: str, shrinkage: float = 1.0, **train):
        choice = {"name": name, "members": 2, "shrinkage": shrinkage}
        return build_method(model_settings(method=choice, **train), meta)

    return make


@pytest.mark.parametrize(
    ("shrinkage", "expected"),
    [(1.0, [-0.665241, 0.755272, -0.090031]), (0.5, [-0.506480, 0.692804, -0.186324])],
)
def test_residuals_by_hand(method, shrinkage, expected):
    """The loss is 0 where the output is the residual, and its gradient twice the distance."""
    boosting = method("gradient_boosting", shrinkage)
    shares = boosting.shares(CLASS)
    for total, residual in [([0.0] * 3, [-1 / 3, 2 / 3, -1 / 3]), (FIRST, expected)]:
        residual = torch.tensor([residual])
        total = torch.tensor([total])
        assert boosting.error(residual, total, shares).item() == pytest.approx(0, abs=1e-10)
        moved = residual + torch.tensor([[0.0, 0.1, -0.2]])
        assert boosting.error(moved, total, shares).item() == pytest.approx(0.05, abs=1e-5)


@pytest.mark.parametrize(
    ("targets", "smoothing", "expected"),
    [
        (torch.tensor([2, 0]), 0.0, [[0, 0, 1], [1, 0, 0]]),
        (torch.tensor([2]), 0.3, [[0.1, 0.1, 0.8]]),
        (torch.tensor([[0.5, 0.5, 0.0]]), 0.0, [[0.5, 0.5, 0.0]]),
    ],
)
def test_targets_are_shares_of_the_classes(method, targets, smoothing, expected):
    boosting = method("gradient_boosting", label_smoothing=smoothing)
    torch.testing.assert_close(boosting.shares(targets), torch.tensor(expected).float())


def test_a_member_learns_the_residual_of_those_that_are_finished(method):
    boosting = method("gradient_boosting")
    ensemble = Members([Constant(FIRST), Constant([9.0, 9.0, 9.0])], boosting.combine)
    training_module = boosting.training_module(ensemble)
    training_module.logits.data = torch.tensor(SECOND)
    alone, right = boosting.loss(training_module, IMAGE, CLASS)
    # (0.5 + 1/3)² + (0.5 - 2/3)² + (0 + 1/3)²
    assert alone.item() == pytest.approx(0.694444 + 0.027778 + 0.111111, abs=1e-5)
    ensemble.finished = 1
    loss, right = boosting.loss(training_module, IMAGE, CLASS)
    assert loss.item() == pytest.approx(1.165241**2 + 0.255272**2 + 0.090031**2, abs=1e-5)
    assert right == 0  # (1.5, 0.5, -1)
    loss.backward()
    assert ensemble.members[0].logits.grad is None


def test_soft_boosting_by_hand(method):
    """Section 6: both losses together, without a gradient through the residual."""
    boosting = method("soft_gradient_boosting")
    ensemble = Members([Constant(FIRST), Constant(SECOND)], boosting.combine)
    found, loss, right = boosting.gradients(ensemble, IMAGE, CLASS, 1.0)
    assert loss.item() == pytest.approx(4.0977222, abs=1e-5) and right == 0
    r0, r1 = [-1 / 3, 2 / 3, -1 / 3], [-0.665241, 0.755272, -0.090031]
    for gradient, output, residual in zip(found, (FIRST, SECOND), (r0, r1), strict=True):
        expected = 2 * (torch.tensor(output) - torch.tensor(residual))
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["gradient_boosting", "soft_gradient_boosting"])
def test_shares_of_a_batch_add_up(method, name):
    boosting = method(name)
    torch.manual_seed(0)
    members = [nn.Sequential(nn.Flatten(), nn.Linear(64, 3)) for _ in range(2)]
    ensemble = Members(members, boosting.combine)
    images, targets = torch.randn(10, 1, 8, 8), torch.arange(10) % 3
    training_module = boosting.training_module(ensemble)
    if name == "gradient_boosting":
        ensemble.finished = 1
    whole = boosting.gradients(training_module, images, targets, 1.0)
    parts = [
        boosting.gradients(training_module, images[some], targets[some], share)
        for some, share in ((slice(0, 3), 0.3), (slice(3, 10), 0.7))
    ]
    for gradient, *others in zip(whole[0], *(part[0] for part in parts), strict=True):
        torch.testing.assert_close(gradient, sum(others))
    assert whole[1].item() == pytest.approx(sum(part[1].item() for part in parts))
    assert whole[2] == sum(part[2] for part in parts)


def test_finished_members_are_used_as_for_evaluation(model_settings, toy_images, meta, watcher):
    """Their running statistics, and no dropout: they do not change while another learns."""
    settings = model_settings(
        "cnn_c",
        {"dropout": 0.5},
        method={"name": "gradient_boosting", "members": 2},
        epochs=4,
    )
    training = Training(build_method(settings, meta), toy_images(40), None, seed=0)
    after, kept = training.method.after_epoch, []

    def note(epochs: int) -> None:
        after(epochs)
        kept.append({k: v.clone() for k, v in training.network.members[0].state_dict().items()})

    training.method.after_epoch = note
    training.run(watcher)
    assert all(torch.equal(kept[1][name], kept[3][name]) for name in kept[1])
    assert not training.network.members[0].training
