"""The table of recipes beside their goals."""

import re
from collections import Counter
from pathlib import Path

import pytest

from thumbnets import paths
from thumbnets.artifacts import read_json, write_json
from thumbnets.data.datasets import get_dataset
from thumbnets.evaluation.summaries import over_seeds
from thumbnets.params import POOL_PLACES, load_params
from thumbnets.report.recipes import Goal, find_goals, pools, read_goals, table

BLOCKS = {
    "mlp4": {"arch": "mlp4"},
    "mlp4_best": {"arch": "mlp4", "epochs": 60},
    "cnn_a_best": {"arch": "cnn_a"},
    "cnn_b_best": {"arch": "cnn_b"},
    "cnn_c_best": {"arch": "cnn_c"},
}


def write_metrics(folder: Path, name: str, *accuracies: float) -> None:
    """Metrics over seeds of which each has the given accuracy."""
    scores = [{"accuracy": a, "recall": [a]} for a in accuracies]
    summed_up = over_seeds(scores, classes=["one"], images=10_000)
    write_json(folder / paths.metrics(name).name, summed_up | {"parameters": 7})


def rows(text: str) -> dict[str, str]:
    """Rows of the table by their first cell, without spaces around the bars."""
    lines = [re.sub(r" \| |\| | \|", "|", line) for line in text.splitlines() if line[:1] == "|"]
    assert len({line.count("|") for line in lines}) == 1
    return dict(line.strip("|").split("|", 1) for line in lines[2:])


def test_table_says_what_was_reached_missed_and_not_run(make_params, tmp_path):
    # The goals are 0.91 and 0.89. Student: 0.91 ± 12.706 * 0.001, 0.885 ± 12.706 * 0.005.
    write_metrics(tmp_path, "mlp4_best", 0.909, 0.911)
    write_metrics(tmp_path, "cnn_a_best", 0.88, 0.89)
    write_metrics(tmp_path, "cnn_b_best", 0.93, 0.93)
    write_metrics(tmp_path, "tiny_cnn_best", 0.93, 0.93)  # which is no longer a block
    text = table(make_params(models=BLOCKS), "best", tmp_path).replace("\u202f", " ")
    assert text.startswith(
        "# Recipes (best): Fashion-MNIST\n\nMeans over 2 seeds; intervals are 95 %, St"
    )
    assert rows(text) == {
        "mlp4_best": "2|91.00 %|0.14|89.73 – 92.27|7|60|91.00 %|reached",
        "mlp_custom_best": "–|–|–|–|–|–|91.30 %|not run",
        "cnn_a_best": "2|88.50 %|0.71|82.15 – 94.85|7|2|89.00 %|missed",
        "cnn_b_best": "2|93.00 %|0.00|93.00 – 93.00|7|2|92.50 %|reached",
        "cnn_c_best": "–|–|–|–|–|–|91.80 %|not run",
        "tiny_cnn_best": "–|–|–|–|–|–|92.00 %|not run",
    }


def test_an_ensemble_has_a_goal_beside_its_members(make_params, tmp_path):
    write_metrics(tmp_path, "cnn_b_best", 0.93)
    write_metrics(tmp_path, "ensemble", 0.94)
    path = tmp_path / paths.ENSEMBLE_METRICS.name
    write_json(path, {"counted": read_json(path), "rule": "greedy_loss"})
    write_json(tmp_path / paths.SUMMARY.name, {"ensemble": {"parameters": 5_000}})
    params = make_params(models=BLOCKS, seeds=[0])
    found = rows(table(params, "pool", tmp_path).replace("\u202f", " "))
    assert found["ensemble"] == "1|94.00 %|–|93.52 – 94.45|5,000|–|93.50 %|reached"
    assert found["cnn_b_best"] == "1|93.00 %|–|92.48 – 93.48|7|2|–|–"
    assert set(pools(params, "fashion_mnist", "pool")[0]) == {"cnn_b_best", "cnn_c_best"}


def test_a_single_seed_has_wilson_intervals(make_params, tmp_path):
    write_metrics(tmp_path, "mlp4_best", 0.9)
    text = table(make_params(models=BLOCKS, seeds=[0]), "best", tmp_path).replace("\u202f", " ")
    assert "Means over 1 seed; intervals are 95 %, Wilson's" in text
    # (p + z²/2n ± z sqrt(p q / n + z²/4n²)) / (1 + z²/n) with n = 10,000.
    assert rows(text)["mlp4_best"].startswith("1|90.00 %|–|89.40 – 90.57|")


@pytest.mark.parametrize(
    ("goal", "accuracy", "epochs", "outcome"),
    [
        (Goal("mnist", "a", 0.995), 0.995, 99, "reached"),
        (Goal("mnist", "a", 0.995), 0.994999, 1, "missed"),
        (Goal("mnist", "a", 0.995, epochs=15), 0.996, 15, "reached"),
        (Goal("mnist", "a", 0.995, epochs=15), 0.996, 16, "missed"),
        (Goal("mnist", "a"), 0.996, 1, "–"),
    ],
)
def test_outcome(goal, accuracy, epochs, outcome):
    assert goal.outcome(accuracy, epochs) == outcome


def test_goal_as_text():
    assert (
        str(Goal("mnist", "a", 0.995, epochs=15)).replace("\u202f", " ")
        == "99.50 % within 15 epochs"
    )
    assert str(Goal("mnist", "a")) == "–"


def test_a_pool_has_the_blocks_that_exist_in_all_its_places(make_params):
    params = make_params(models=BLOCKS)
    best = ["mlp4_best", "cnn_a_best", "cnn_b_best", "cnn_c_best"]
    assert pools(params, "fashion_mnist", "best") == [(best * 3)[:POOL_PLACES]]


def test_more_recipes_than_places_are_several_pools(make_params, monkeypatch):
    params = make_params(models=BLOCKS)
    for module in ("thumbnets.params", "thumbnets.report.recipes"):
        monkeypatch.setattr(f"{module}.POOL_PLACES", 3)
    best = pools(params, "fashion_mnist", "best")
    assert best == [["mlp4_best", "cnn_a_best", "cnn_b_best"], ["cnn_c_best"] * 3]


def test_no_recipe_is_one_clear_line(make_params):
    params = make_params(models=BLOCKS)
    with pytest.raises(
        ValueError, match="^params.yaml has no recipe for mnist: add a block, one of"
    ):
        pools(params, "mnist", "best")
    with pytest.raises(ValueError, match="Unknown data set with recipes 'usps'.*Known: fashion_m"):
        pools(params, "usps", "best")
    with pytest.raises(ValueError, match="Unknown group of recipes for mnist 'bset'. Did you mean"):
        pools(params, "mnist", "bset")


def test_goals_can_be_run(root):
    goals = read_goals()
    places = Counter((goal.dataset, goal.group) for goal in goals)
    for goal in goals:
        if goal.block == "ensemble":  # which is selected from one pool
            assert places[goal.dataset, goal.group] - 1 <= POOL_PLACES
    assert len({(goal.dataset, goal.group, goal.block) for goal in goals}) == len(goals)
    blocks = load_params(root / paths.PARAMS).models
    assert {goal.block for goal in goals} <= {*blocks, "ensemble"}
    for goal in goals:
        assert get_dataset(goal.dataset) and goal in find_goals(goal.dataset, goal.group)
        assert goal.accuracy is None or 0.5 < goal.accuracy < 1
        assert re.fullmatch(r"[a-z0-9_]+", goal.block)
