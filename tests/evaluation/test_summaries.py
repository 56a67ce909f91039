"""Metrics files: what is said of several seeds, and of one."""

import json

import numpy as np
import pytest

from thumbnets.artifacts import write_json
from thumbnets.evaluation.by_class import class_intervals
from thumbnets.evaluation.metrics import score_logits
from thumbnets.evaluation.statistics import wilson_interval
from thumbnets.evaluation.summaries import headline, over_images, over_seeds, summary

CLASSES = ["shirt", "shoe", "bag"]


def metrics(*accuracies: float, images: int = 200) -> dict:
    """Metrics over seeds of which each has the given accuracy."""
    scores = [
        {"accuracy": a, "error": 1 - a, "nll": 0.3, "recall": [a, 1.0, 0.5]} for a in accuracies
    ]
    return {
        **over_seeds(scores, classes=CLASSES, images=images),
        "parameters": 100,
        "multiply_accumulates": 1000,
    }


def test_over_seeds():
    result = metrics(0.8, 0.9)
    assert result["accuracy"]["mean"] == pytest.approx(0.85)
    assert result["accuracy"]["sd"] == pytest.approx(0.1 / np.sqrt(2))
    assert list(result["recall"]) == CLASSES
    assert result["recall"]["shirt"]["mean"] == pytest.approx(0.85)
    assert result["recall"]["shoe"] == {"mean": 1.0, "sd": 0.0, "ci_low": None, "ci_high": None}
    wilson = wilson_interval(0.85, 200)
    assert result["wilson"] == pytest.approx({"low": wilson.low, "high": wilson.high})
    assert (result["seeds"], result["images"]) == (2, 200)


def test_seeds_of_the_same_accuracy_have_the_interval_of_the_images():
    head, wilson = headline(metrics(0.85, 0.85)), wilson_interval(0.85, 200)
    assert (head["accuracy_ci_low"], head["accuracy_ci_high"]) == (wilson.low, wilson.high)
    assert head["accuracy_interval"] == "Wilson over test images"
    assert headline(metrics(0.8, 0.9))["accuracy_interval"] == "t over seeds"


def test_a_class_without_test_images_has_no_score():
    scores = [{"accuracy": 0.5, "recall": [0.5, None], "precision": [1.0, p]} for p in (0.2, None)]
    result = over_seeds(scores, classes=["a", "mean"], images=4)
    nothing = dict.fromkeys(("mean", "sd", "ci_low", "ci_high"))
    assert result["recall"]["mean"] == nothing
    assert result["precision"]["mean"] == nothing | {"mean": 0.2}  # of the seed that claims it
    assert headline(result)["accuracy"] == 0.5 and "recall" not in headline(result)


def uneven_metrics(group: np.ndarray | None = None, seeds: int = 1) -> dict:
    """9 of 10 shirts are recognised, and 1 of 2 shoes; there is no bag. Seed 1 knows both."""
    labels = np.array([0] * 10 + [1] * 2)
    predicted = np.array([[0] * 9 + [1] + [1, 0], [0] * 9 + [1] + [1, 1]])[:seeds]
    scores = [score_logits(np.eye(3)[of_seed], labels, ece_bins=5) for of_seed in predicted]
    found = class_intervals(labels, predicted, 3, group)
    return over_images(over_seeds(scores, classes=CLASSES, images=12), found, classes=CLASSES)


def test_uneven_classes_have_a_balanced_accuracy_with_its_interval(tmp_path):
    result = uneven_metrics()
    head, shirt, shoe = headline(result), wilson_interval(0.9, 10), wilson_interval(0.5, 2)
    assert head["balanced_accuracy"] == pytest.approx((0.9 + 0.5) / 2)
    below = np.hypot(0.9 - shirt.low, 0.5 - shoe.low) / 2
    assert head["balanced_accuracy_ci_low"] == pytest.approx(0.7 - below)
    assert head["balanced_accuracy_ci_high"] == pytest.approx(
        0.7 + np.hypot(shirt.high - 0.9, shoe.high - 0.5) / 2
    )
    assert result["recall"]["shirt"]["low"] == pytest.approx(shirt.low)
    assert result["recall"]["bag"] == dict.fromkeys(result["recall"]["shirt"])  # None, each
    assert result["f1"]["bag"]["mean"] is result["precision"]["bag"]["high"] is None
    write_json(tmp_path / "m.json", result)
    assert json.loads((tmp_path / "m.json").read_text())["recall"]["bag"]["mean"] is None


def test_of_several_seeds_the_balanced_accuracy_has_students_interval():
    head = headline(uneven_metrics(seeds=2))
    assert head["balanced_accuracy"] == pytest.approx((0.7 + 0.95) / 2)
    assert head["balanced_accuracy_ci_low"] == 0.0  # Student's: 0.825 ± 12.7 * 0.125, cut
    assert head["balanced_accuracy_ci_high"] == 1.0


def test_of_groups_the_interval_of_the_accuracy_is_theirs():
    alone, grouped = uneven_metrics(), uneven_metrics(np.arange(12) // 3)
    assert (grouped["groups"], "groups" in alone) == (4, False)
    assert headline(grouped)["accuracy_interval"] == "Wilson over groups of test images"
    assert headline(grouped)["accuracy_ci_low"] == grouped["wilson"]["low"]
    assert grouped["wilson"]["low"] < alone["wilson"]["low"]


def test_intervals_of_fractions_are_fractions():
    result = metrics(0.9, 1.0)  # Student's interval would reach from 0.31 to 1.59
    assert result["accuracy"]["ci_high"] == headline(result)["accuracy_ci_high"] == 1.0
    assert result["error"]["ci_low"] == 0.0 and result["recall"]["shirt"]["ci_high"] == 1.0


def test_all_scores_of_a_model_can_be_written(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    scores = [score_logits(rng.normal(size=(30, 3)), labels, ece_bins=5) for _ in range(2)]
    result = over_seeds(scores, classes=CLASSES, images=30)
    write_json(tmp_path / "m.json", result)
    assert {"accuracy", "error", "top2", "nll", "ece", "macro_f1", "recall"} <= set(result)


def test_headline_of_one_seed_has_the_interval_of_the_images():
    head = headline(metrics(0.8))
    wilson = wilson_interval(0.8, 200)
    assert head["accuracy"] == 0.8 and head["seeds"] == 1
    assert head["accuracy_ci_low"] == pytest.approx(wilson.low)
    assert head["accuracy_ci_high"] == pytest.approx(wilson.high)
    assert head["accuracy_interval"] == "Wilson over test images"


def test_headline_of_several_seeds_has_the_interval_of_the_mean():
    result = metrics(0.8, 0.9)
    head = headline(result)
    assert head["accuracy_ci_low"] == result["accuracy"]["ci_low"]
    assert head["accuracy_ci_high"] == result["accuracy"]["ci_high"]
    assert head["accuracy_interval"] == "t over seeds"
    assert not any(isinstance(value, dict) for value in head.values())


def test_headlines_have_the_same_keys_whatever_the_seeds():
    assert set(headline(metrics(0.8))) == set(headline(metrics(0.8, 0.9)))


def test_summary_compares_the_ensemble_with_its_best_member_on_the_test():
    models = {"a": metrics(0.8), "b": metrics(0.9), "c": metrics(0.95), "head": metrics(0.7)}
    gains = {"a": 0.12, "b": 0.02}
    members = {
        name: {
            "weight": 0.5,
            "trainings": 1,
            "gain": {"mean": gain, "low": gain - 0.01, "high": gain + 0.01},
        }
        for name, gain in gains.items()
    }
    result = summary("head", models, {"selected": metrics(0.92), "members": members})
    assert result["model"]["name"] == "head" and result["model"]["accuracy"] == 0.7
    ensemble = result["ensemble"]
    assert ensemble["best_member"] == "b"  # c is better, but no member
    assert (ensemble["gain"], ensemble["gain_ci_low"]) == (0.02, pytest.approx(0.01))
    assert (ensemble["members"], ensemble["parameters"]) == (2, 200)
    assert (ensemble["multiply_accumulates"], result["model"]["multiply_accumulates"]) == (
        2000,
        1000,
    )
    assert ensemble["accuracy"] == 0.92
    members["a"]["trainings"] = 3
    ensemble = summary("head", models, {"selected": metrics(0.92), "members": members})["ensemble"]
    assert (ensemble["members"], ensemble["parameters"]) == (4, 400)
