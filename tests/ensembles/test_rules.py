"""Every rule on the worked example, and by its name in params.yaml."""

import typing

import numpy as np
import pytest

from thumbnets.artifacts import read_json, write_json
from thumbnets.ensembles.members import by_training, groups_of, model_of, rule_of, training
from thumbnets.ensembles.rules import BEST, RULES, combine, fit_rules, members_of
from thumbnets.params import EnsembleParams
from thumbnets.report.ensembles import TITLES

CLASS_0 = np.array([[0.9, 0.4, 0.2, 0.6], [0.6, 0.7, 0.55, 0.3], [0.3, 0.8, 0.1, 0.45]])
EXAMPLE = np.stack([CLASS_0, 1 - CLASS_0], axis=2)
LABELS = np.array([0, 0, 1, 1])
NAMES = ["a-0", "b-0", "c-0"]


@pytest.fixture(scope="module")
def fitted() -> dict:
    return fit_rules(NAMES, EXAMPLE, LABELS, steps=2)


def test_every_rule_of_the_params_is_fitted_and_titled(fitted):
    names = typing.get_args(EnsembleParams.model_fields["rule"].annotation)
    asked = {rule_of(rule, objective) for rule in names for objective in ("loss", "accuracy")}
    assert set(fitted) == set(RULES) == asked and BEST in RULES
    on_request = fit_rules(NAMES, EXAMPLE, LABELS, steps=2, objective="macro_f1")
    asked |= {rule_of(rule, "macro_f1") for rule in names}
    assert set(on_request) == asked == set(TITLES)
    assert {rule: on_request[rule] for rule in fitted} == fitted
    # a and b are right on all four together, none is alone.
    assert on_request["greedy_macro_f1"]["votes"] == {"a-0": 1, "b-0": 1}


def test_votes_of_the_example(fitted):
    assert fitted["best_loss"]["votes"] == fitted["best_accuracy"]["votes"] == {"b-0": 1}
    assert fitted["all"]["votes"] == dict.fromkeys(NAMES, 1)
    assert fitted["greedy_loss"]["votes"] == {"b-0": 1, "c-0": 1}
    assert fitted["greedy_accuracy"]["votes"] == {"a-0": 1, "b-0": 1}
    for rule in ("weighted", "bagged_loss", "bagged_accuracy"):
        assert sum(fitted[rule]["votes"].values()) == pytest.approx(1, abs=1e-5)


def test_validation_scores_of_the_example(fitted):
    losses = {rule: fitted[rule]["validation_loss"] for rule in ("best_loss", "greedy_loss", "all")}
    assert losses == pytest.approx(
        {"best_loss": 0.505671, "greedy_loss": 0.487309, "all": 0.474641}, abs=1e-6
    )
    assert fitted["best_loss"]["validation_accuracy"] == 0.75
    assert fitted["greedy_accuracy"]["validation_accuracy"] == 1.0
    assert fitted["weighted"]["validation_loss"] <= losses["all"]


@pytest.mark.parametrize("rule", RULES)
def test_what_is_written_predicts_the_same(fitted, rule, tmp_path):
    by_name = dict(zip(NAMES, EXAMPLE, strict=True))
    write_json(tmp_path / "selection.json", fitted)
    read = read_json(tmp_path / "selection.json")[rule]
    for voting in ("soft", "hard"):
        before, after = combine(fitted[rule], by_name, voting), combine(read, by_name, voting)
        np.testing.assert_allclose(after, before, atol=1e-4)
        assert after.sum(1) == pytest.approx(np.ones(4))
    assert sorted(members_of(read)) == sorted(members_of(fitted[rule]))


def test_equal_votes_of_all_are_the_mean_and_the_majority(fitted):
    by_name = dict(zip(NAMES, EXAMPLE, strict=True))
    assert combine(fitted["all"], by_name, "soft") == pytest.approx(EXAMPLE.mean(0))
    # They say 0 1 1 0, 0 0 0 1 and 1 0 1 1.
    assert combine(fitted["all"], by_name, "hard").argmax(1).tolist() == [0, 0, 1, 1]


def test_trainings_by_name():
    assert groups_of([5, 3, 8, 1], 1) == {"5": [5], "3": [3], "8": [8], "1": [1]}
    assert groups_of([5, 3, 8, 1], 2) == {"5 3": [5, 3], "8 1": [8, 1]}
    assert model_of(training("cnn_a", 12)) == "cnn_a"
    apart = by_training({"a": np.arange(4).reshape(2, 2)}, [7, 3])
    assert {name: list(values) for name, values in apart.items()} == {"a-7": [0, 1], "a-3": [2, 3]}
