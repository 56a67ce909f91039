"""Ensembles that are one network: how members combine, and that every stage takes them."""

import numpy as np
import pytest
import torch
from torch import nn

from thumbnets.evaluation.cost import describe
from thumbnets.export import export
from thumbnets.methods.base import build_method
from thumbnets.methods.boosting import shrunken_sum
from thumbnets.methods.members import Members, mean_of_logits, soft_vote
from thumbnets.methods.weights import load_weights, save_weights
from thumbnets.models import count_parameters, create_model
from thumbnets.registry import METHODS
from thumbnets.trained import Trained
from thumbnets.training.classifier import Classifier
from thumbnets.training.loop import Training, fit

ENSEMBLES = [name for name, entry in METHODS.entries.items() if "members" in entry.parameters]
DISAGREEING = torch.tensor([[4.0, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 1.5, 0.0]])[:, None]


def test_soft_vote_and_fusion_can_disagree():
    """Section 6 of the notes: one confident member outweighs two only in the mean of logits."""
    soft, fused = soft_vote(DISAGREEING)[0], mean_of_logits(DISAGREEING)[0]
    assert soft.exp().tolist() == pytest.approx([0.424408, 0.466848, 0.108743], abs=1e-6)
    assert fused.softmax(0).tolist() == pytest.approx([0.505018, 0.361861, 0.133121], abs=1e-6)
    assert (soft.argmax(), fused.argmax()) == (1, 0)


def test_soft_vote_is_the_logarithm_of_mean_probabilities():
    logits = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = logits.softmax(2).mean(0).log()
    torch.testing.assert_close(soft_vote(logits), expected)


def test_soft_vote_is_finite_where_probabilities_vanish():
    logits = torch.tensor([[[0.0, -500.0]], [[0.0, -500.0]]])
    assert soft_vote(logits)[0].tolist() == pytest.approx([0.0, -500.0])


@pytest.mark.parametrize("combine", [soft_vote, mean_of_logits])
def test_an_ensemble_of_one_predicts_as_its_member(combine):
    member = nn.Linear(4, 3)
    images = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    ensemble = Members([member], combine)
    torch.testing.assert_close(ensemble(images).softmax(1), member(images).softmax(1))


def test_members_between_the_finished_and_the_last_do_not_predict():
    ensemble = Members([nn.Linear(1, 1, bias=False) for _ in range(4)], mean_of_logits)
    for number, member in enumerate(ensemble.members):
        nn.init.constant_(member.weight, 10.0**number)
    found = []
    for ensemble.finished in range(4):
        found.append(ensemble(torch.ones(1, 1)).item())
    assert found == pytest.approx([1000, 1001 / 2, 1011 / 3, 1111 / 4])


@pytest.mark.parametrize("name", ENSEMBLES)
@pytest.mark.parametrize("init", ["default", "he"])
def test_members_begin_with_weights_of_their_own(ensemble, toy_images, meta, name, init):
    training = Training(build_method(ensemble(name, init=init), meta), toy_images(30), None, seed=0)
    first = [member[1].weight for member in training.network.members]
    assert len(first) == 3
    assert all((a != b).float().mean() > 0.9 for a in first for b in first if a is not b)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_toy_images_are_learned_by_members_that_differ(ensemble, toy_images, meta, watcher, name):
    settings = ensemble(name, epochs=12)
    classifier, curve = fit(
        build_method(settings, meta), toy_images(60), toy_images(30, 1), seed=0, watcher=watcher
    )
    assert curve[-1].validation_accuracy > 0.95 and curve[-1].train_accuracy > 0.9
    assert curve[-1].train_loss < curve[0].train_loss
    logits = [Classifier(m, meta).logits(toy_images(30, 1)) for m in classifier.network.members]
    assert all(np.abs(a - b).max() > 1e-4 for a in logits for b in logits if a is not b)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_weights_come_back(ensemble, toy_images, meta, watcher, tmp_path, name):
    settings, path = ensemble(name, "cnn_c"), tmp_path / "0.safetensors"
    classifier, _ = fit(build_method(settings, meta), toy_images(30), None, seed=0, watcher=watcher)
    save_weights(path, classifier, settings)
    again = load_weights(path, torch.device("cpu"))
    images = toy_images(20, 1)
    assert np.array_equal(again.logits(images), classifier.logits(images))


@pytest.mark.parametrize("name", ENSEMBLES)
def test_costs_are_those_of_all_members(ensemble, meta, name):
    with torch.device("meta"):
        network = build_method(ensemble(name, "cnn_c", patches=None), meta).network()
        alone = create_model("cnn_c", **meta.shape)
    found, of_one = (describe(n, (1, 8, 8)) for n in (network, alone))
    assert count_parameters(network) == found.parameters == 3 * of_one.parameters
    assert found.unused == 0 and not found.uncounted
    assert 0 <= found.total.multiply_accumulates - 3 * of_one.total.multiply_accumulates <= 3
    assert found.receptive_field == of_one.receptive_field


def test_the_cost_of_a_soft_vote_by_hand():
    """Of 2 members with 3 classes: a log-softmax of 6, their logsumexp, and 3 subtractions."""
    total = describe(Members([nn.Flatten(), nn.Flatten()], soft_vote), (1, 1, 3)).total
    assert (total.additions, total.exponentials) == (6 + 6 + 3, 6 + 6)
    assert (total.divisions, total.comparisons, total.multiply_accumulates) == (6, 6, 0)


@pytest.mark.parametrize("file_format", ["onnx", "torchscript"])
@pytest.mark.parametrize("name", ["voting", "fusion", "gradient_boosting"])
def test_ensembles_are_exported(ensemble, meta, tmp_path, name, file_format):
    network = build_method(ensemble(name), meta).network()
    assert export(Trained.of(Classifier(network, meta)), file_format, tmp_path / "network") < 1e-4


def test_boosted_logits():
    logits = torch.tensor([[[1.0, 0.0, -1.0]], [[0.5, 0.5, 0.0]]])
    full, half = (shrunken_sum(logits, shrinkage)[0].softmax(0) for shrinkage in (1.0, 0.5))
    assert full.tolist() == pytest.approx([0.689672, 0.253716, 0.056612], abs=1e-6)
    assert half.tolist() == pytest.approx([0.528252, 0.320401, 0.151347], abs=1e-6)


# What does not fit is refused before anything runs.


@pytest.mark.parametrize(
    ("name", "train", "message"),
    [
        ("voting", {"clip": 1.0}, "clip must be null for method: voting"),
        ("bagging", {"optimizer": "muon"}, "optimizer can't be muon for method: bagging"),
        ("fusion", {"weights": "a.pth"}, "weights must be null for method: fusion"),
        ("snapshot", {"average": "ema"}, "average must be null for method: snapshot"),
        (
            "snapshot",
            {"epochs": 10},
            "epochs must be a multiple of members, 3, for method: snapshot, got 10",
        ),
        (
            "gradient_boosting",
            {"warmup": 2.5},
            "warmup must be at most epochs / members, 2, for method: gradient_boosting, got 2.5",
        ),
        (
            "gradient_boosting",
            {"class_weights": "balanced"},
            "class_weights must be null for method: gradient_boosting",
        ),
        (
            "fast_geometric",
            {"epochs": 5},
            r"epochs must be at least members \* cycle, 6, for method: fast_geometric, got 5",
        ),
        (
            "fast_geometric",
            {"early_stopping": {"patience": 1}},
            "early_stopping must be null for method: fast_geometric",
        ),
    ],
)
def test_what_does_not_fit_is_refused(ensemble, name, train, message):
    with pytest.raises(ValueError, match=message):
        ensemble(name, **train)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("voting", {"members": 0}, "members must be at least 1, got 0"),
        ("fast_geometric", {"cycle": 3}, "cycle must be a multiple of 2, got 3"),
        ("fast_geometric", {"cycle": 0}, "cycle must be at least 2, got 0"),
        ("adversarial", {"epsilon": 0.0}, "epsilon must be greater than 0, got 0.0"),
        ("gradient_boosting", {"shrinkage": 1.5}, "shrinkage must be at most 1"),
    ],
)
def test_options_have_their_ranges(model_settings, name, options, message):
    with pytest.raises(ValueError, match=message):
        model_settings(method={"name": name, **options}, epochs=60)
