"""What a new training is beside the recorded one, and when a result is marked as verified."""

import hashlib
from pathlib import Path
from unittest.mock import Mock

import pytest

from thumbnets import paths
from thumbnets.artifacts import read_json
from thumbnets.recipes import verify
from thumbnets.recipes.record import record
from thumbnets.recipes.run import write_result
from thumbnets.recipes.verify import (
    OTHER,
    SAME,
    WITHIN,
    Expected,
    Found,
    compare,
    mark_verified,
    verify_recipe,
)
from thumbnets.yaml_files import read_yaml

OLD = {"lenet5": "old", "lenet_300_100": "as now", "stage evaluate": "old", "stage teach": "old"}
NOW = {"lenet5": "new", "lenet_300_100": "as now", "stage evaluate": "new", "stage teach": "new"}


@pytest.fixture
def weights(tmp_path) -> Path:
    """A file of a new training."""
    path = tmp_path / "weights"
    path.write_bytes(b"new")
    return path


@pytest.mark.parametrize(
    ("recorded", "accuracy", "tolerance", "outcome"),
    [
        (b"new", 0.90, None, SAME),
        (b"old", 0.92, None, WITHIN),  # three times 0.01
        (b"old", 0.94, None, OTHER),
        (b"old", 0.94, 0.05, WITHIN),
        (b"old", 0.90, 0.0, WITHIN),
        (b"old", 0.91, 0.0, OTHER),
    ],
)
@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_bytes_then_accuracy(weights, recorded, accuracy, tolerance, outcome, algorithm):
    checksum = hashlib.new(algorithm, recorded).hexdigest()
    expected = Expected("lenet5", 3, algorithm, checksum, 0.90, 0.01)
    found = compare(expected, weights, accuracy, tolerance)
    assert found.outcome == outcome
    assert str(found).startswith(f"lenet5, seed 3: {outcome}")


def test_a_single_seed_has_no_tolerance_of_its_own(weights):
    expected = Expected("lenet5", 3, "md5", "0" * 32, 0.90, None)
    assert compare(expected, weights, 0.9001, None).outcome == OTHER


def test_bytes_of_another_type_of_device_are_not_compared(recipe, result, monkeypatch):
    write_result(recipe, {**result, "machine": {"cpu": "a GPU", "device": "cuda", "torch": "2"}})
    with pytest.raises(ValueError, match=r"try.json was trained on cuda, .* --tolerance POINTS"):
        verify_recipe(recipe, 1, None)
    monkeypatch.setattr(verify, "prepared", Mock(side_effect=InterruptedError))
    with pytest.raises(InterruptedError):
        verify_recipe(recipe, 1, 0.01)


def test_a_result_of_models_that_the_recipe_has_lost_is_refused(recipe, result, monkeypatch):
    models = {**result["models"], "cnn_a": result["models"]["lenet5"]}
    write_result(recipe, {**result, "models": models})
    prepared = ({}, recipe.params(read_yaml(paths.PARAMS)))
    monkeypatch.setattr(verify, "prepared", lambda *_: prepared)
    monkeypatch.setattr(verify, "committed", lambda *_: "c" * 40)
    with pytest.raises(ValueError, match="try.json is also of cnn_a, which the recipe no longer"):
        verify_recipe(recipe, 1, None)


@pytest.fixture
def result(recipe, params, artifacts) -> dict:
    """A result of older code."""
    rests_on = {"code": OLD, "settings": {"lenet5": "a"}, "files": {}}
    found = record(recipe, params, "c" * 40, rests_on)
    write_result(recipe, found)
    return found


def mark(recipe, result, outcome=SAME, accuracy=0.95, **now) -> dict | None:
    """What the result says of a new training of lenet5, recorded with 0.95."""
    found = Found(Expected("lenet5", 3, "sha256", "", 0.95, 0.0), accuracy, outcome, 0.0)
    today = {"code": NOW, "settings": {"lenet5": "a"}, "files": {}} | now
    mark_verified(recipe, result, today, [found], "d" * 40)
    return read_json(recipe.root / recipe.result).get("verified")


def test_same_bytes_verify_the_code_of_their_model_and_of_the_scores(recipe, result, capsys):
    verified = mark(recipe, result)
    assert verified["commit"] == "d" * 40
    assert verified["code"] == {"lenet5": "new", "stage evaluate": "new"}
    assert verified["trainings"] == [{"model": "lenet5", "seed": 3}]
    assert "not verified by these trainings: code of stage teach" in capsys.readouterr().out
    assert f"verified at commit `{'d' * 12}`" in (recipe.root / recipe.page).read_text()


def test_same_bytes_with_another_score_do_not_verify_the_evaluation(recipe, result):
    assert mark(recipe, result, accuracy=0.94)["code"] == {"lenet5": "new"}


@pytest.mark.parametrize("outcome", [WITHIN, OTHER])
def test_other_bytes_verify_nothing(recipe, result, outcome):
    assert mark(recipe, result, outcome=outcome) is None


def test_what_is_current_or_of_other_params_is_not_marked(recipe, result):
    assert mark(recipe, result, code=OLD) is None
    assert mark(recipe, result, settings={"lenet5": "b"}) is None
