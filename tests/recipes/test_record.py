"""The result of a run as JSON, from artifacts whose numbers are known."""

import json
import re

import pytest

from thumbnets import runtime
from thumbnets.recipes.pages import result_page
from thumbnets.recipes.recipe import Goal
from thumbnets.recipes.record import STUDENT, WILSON, outcome, record, summed_up
from thumbnets.store import Store

RESTS_ON = {"code": {}, "settings": {}, "files": {}}


@pytest.fixture
def result(recipe, params, artifacts) -> dict:
    """The result of the recipe."""
    return record(recipe, params, "c" * 40, RESTS_ON)


def test_there_is_one_row_per_training_with_the_checksum_of_its_weights(result, artifacts):
    rows = {(row["model"], row["seed"]): row for row in result["trainings"]}
    assert list(rows) == [
        ("lenet5", 3),
        ("lenet5", 5),
        ("lenet_300_100", 3),
        ("lenet_300_100", 5),
    ]
    assert rows["lenet_300_100", 5]["accuracy"] == 34 / 40
    assert rows["lenet_300_100", 5]["weights"] == artifacts["lenet_300_100"][1]
    assert rows["lenet5", 3]["weights"] == artifacts["lenet5"][0]  # from the headline's slot


def test_models_have_mean_sd_and_interval(result):
    found = result["models"]["lenet_300_100"]
    # Student: 0.8 ± 12.706 * 0.05, cut at 1
    assert found["accuracy"]["mean"] == pytest.approx(0.8)
    assert found["accuracy"]["sd"] == pytest.approx(0.1 / 2**0.5, abs=1e-6)
    assert found["accuracy"]["low"] == pytest.approx(0.8 - 12.706 * 0.05, abs=1e-4)
    assert found["accuracy"]["high"] == 1.0
    assert (found["n"], found["interval"], found["parameters"]) == (2, STUDENT, 7)


def test_goals_are_judged_by_the_mean(result):
    assert result["goals"] == [
        {
            "of": "lenet5",
            "metric": "accuracy",
            "value": 0.95,
            "source": "a book",
            "measured": 0.95,
            "reached": True,
        },
        {
            "of": "lenet_300_100",
            "metric": "error",
            "value": 0.19,
            "measured": pytest.approx(0.2),
            "reached": False,
        },
    ]


def test_the_ensemble_has_its_members_and_every_rule(result):
    found = result["ensemble"]
    assert found["members"] == {"lenet_300_100": 1.0}
    assert list(found["rules"]) == ["all soft", "all hard", "stacking soft"]
    assert found["rules"]["all hard"]["accuracy"] == pytest.approx(0.8)


def test_it_says_what_was_run_on_which_images_by_which_code(result):
    assert result["measured"] == {"commit": "c" * 40, "checksums": True}
    assert result["recipe"]["seeds"] == [3, 5] and "title" not in result["recipe"]
    assert result["data"]["images"] == {"train": 100, "test": 40}
    assert result["data"]["train"] == f"{100:064}"
    assert result["machine"].keys() == {"cpu", "cores", "device", "torch"}
    json.dumps(result, allow_nan=False)


def test_it_says_who_has_trained_where_that_was_another_machine(
    monkeypatch, recipe, params, artifacts
):
    other = {"device": "cuda", "kind": "NVIDIA H200", "torch": "2.11.0"}
    abouts = iter([{"machine": other}, {"machine": runtime.machine()}])
    monkeypatch.setattr(Store, "about", lambda *_: next(abouts, {}))
    result = record(recipe, params, "c" * 40, RESTS_ON)
    assert result["machine"]["device"] == "cpu, cuda"
    assert "NVIDIA H200" in result["machine"]["cpu"]
    assert re.search(
        r"\| Machine \| .*NVIDIA H200.*, torch .*2\.11\.0", result_page(recipe, result)
    )


def test_it_names_the_gpu_of_this_machine(monkeypatch, recipe, params, artifacts):
    here = {"device": "cuda", "kind": "NVIDIA H200", "torch": "2.11.0"}
    monkeypatch.setattr(runtime, "machine", lambda: here)
    found = record(recipe, params, "c" * 40, RESTS_ON)["machine"]
    assert found == {"cpu": "NVIDIA H200", "device": "cuda", "torch": "2.11.0"}


def test_a_single_seed_has_wilsons_interval():
    one = {"mean": 0.9, "sd": None, "ci_low": None, "ci_high": None}
    scores = {
        "accuracy": one,
        "error": {**one, "mean": 0.1},
        "nll": {**one, "mean": 0.4},
        "wilson": {"low": 0.8, "high": 0.95},
        "seeds": 1,
    }
    found = summed_up(scores)
    assert found["interval"] == WILSON and "auc" not in found
    assert (found["accuracy"]["low"], found["accuracy"]["high"]) == (0.8, 0.95)
    assert found["error"]["low"] == pytest.approx(0.05)
    assert found["error"]["high"] == pytest.approx(0.2)
    assert found["nll"] == {"mean": 0.4, "sd": None, "low": None, "high": None}


def test_a_goal_of_an_auc_looks_at_the_auc():
    goal = Goal(of="bags", metric="auc", value=0.9)
    measured = {"bags": {"auc": {"mean": 0.91}, "accuracy": {"mean": 0.5}}}
    assert outcome(goal, measured)["reached"]
