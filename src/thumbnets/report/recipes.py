"""Recipes, the blocks of params.yaml for best accuracy, beside their goals: goals.toml.

`make recipes` asks this module for the pools to run, and then for the table of their metrics.
"""

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from thumbnets import paths
from thumbnets.artifacts import read_json
from thumbnets.data.datasets import get_dataset
from thumbnets.evaluation.summaries import Scores, accuracy_interval
from thumbnets.params import POOL_PLACES, Params, in_all_places, load_params
from thumbnets.registry import unknown
from thumbnets.report import tables
from thumbnets.report.filters import decimals, interval, percent, plural, thousands
from thumbnets.stage import run

_TABLE = Path(__file__).with_name("goals.toml")
_NOT_RUN = "not run"
_ENSEMBLE = paths.ENSEMBLE_METRICS.stem
_COLUMNS = {  # and how they are aligned
    "Recipe": ":--",
    "Seeds": "--:",
    "Test accuracy": "--:",
    "± sd": "--:",
    "95 % interval": "--:",
    "Parameters": "--:",
    "Epochs": "--:",
    "Goal": "--:",
    "Outcome": ":--",
}


@dataclass(frozen=True)
class Goal:
    """What a recipe aims at.

    Attributes:
        dataset: Name of the data set, as in params.yaml.
        block: Of params.yaml; or `ensemble`, what is selected from the group.
        accuracy: Mean on the test images, a fraction; None if it aims at something else.
        epochs: The most that it may train for, if that is part of the goal.
        group: Which recipes are run together.
    """

    dataset: str
    block: str
    accuracy: float | None = None
    epochs: int | None = None
    group: str = "best"

    def __str__(self) -> str:
        within = f" within {plural(self.epochs, 'epoch')}" if self.epochs else ""
        return percent(self.accuracy) + within

    def outcome(self, accuracy: float, epochs: int | None) -> str:
        """`reached` or `missed`, by the mean; `–` without a goal."""
        if self.accuracy is None:
            return "–"
        in_time = self.epochs is None or epochs <= self.epochs
        return "reached" if in_time and accuracy >= self.accuracy else "missed"


def read_goals() -> list[Goal]:
    """All goals; a row with `blocks` stands for one of each."""
    goals = []
    for row in tomllib.loads(_TABLE.read_text(encoding="utf-8"))["goal"]:
        blocks = row.pop("blocks", None) or [row.pop("block")]
        goals += [Goal(**row, block=block) for block in blocks]
    return goals


def find_goals(dataset: str, group: str) -> list[Goal]:
    """The goals of a group on a data set.

    Raises:
        ValueError: There are none.
    """
    goals = read_goals()
    datasets = dict.fromkeys(goal.dataset for goal in goals)
    if dataset not in datasets:
        raise ValueError(unknown("data set with recipes", dataset, datasets))
    groups = dict.fromkeys(goal.group for goal in goals if goal.dataset == dataset)
    if group not in groups:
        raise ValueError(unknown(f"group of recipes for {dataset}", group, groups))
    return [goal for goal in goals if (goal.dataset, goal.group) == (dataset, group)]


def pools(params: Params, dataset: str, group: str) -> list[list[str]]:
    """The recipes of a group for a data set, in as many pools as they need, without empty places.

    Raises:
        ValueError: params.yaml has none of them.
    """
    goals = find_goals(dataset, group)
    blocks = [goal.block for goal in goals if goal.block in params.models]
    if not blocks:
        names = ", ".join(goal.block for goal in goals)
        raise ValueError(f"params.yaml has no recipe for {dataset}: add a block, one of {names}.")
    starts = range(0, len(blocks), POOL_PLACES)
    return [in_all_places(blocks[start : start + POOL_PLACES]) for start in starts]


def table(params: Params, group: str, folder: Path) -> str:
    """The recipes of a group for the data set of a run beside their goals, in Markdown.

    Args:
        params: Of the run.
        group: As in `find_goals`.
        folder: With the metrics of the recipes, a file each.
    """
    rows = [_row(params, goal, folder) for goal in find_goals(params.data.name, group)]
    lines = [
        f"# Recipes ({group}): {get_dataset(params.data.name).title}",
        "",
        f"Means over {plural(len(params.seeds), 'seed')}; intervals are 95 %, "
        f"{tables.intervals(len(params.seeds))}. A goal is reached if the mean is. Views of a test "
        f"image: {params.evaluation.tta}.",
        "",
        tables.table(_COLUMNS, rows),
    ]
    return "\n".join(lines) + "\n"


def _row(params: Params, goal: Goal, folder: Path) -> list[str]:
    scores = _read(folder, goal.block)
    if goal.block not in (*params.models, _ENSEMBLE) or scores is None:
        return [goal.block, *["–"] * 6, str(goal), _NOT_RUN]
    epochs = None if goal.block == _ENSEMBLE else params.settings[goal.block].train.epochs
    accuracy = scores["accuracy"]
    return [
        goal.block,
        str(scores["seeds"]),
        percent(accuracy["mean"]),
        decimals(accuracy["sd"] and 100 * accuracy["sd"], 2),
        interval(accuracy_interval(scores)),
        thousands(scores["parameters"]),
        decimals(epochs, 0),
        str(goal),
        goal.outcome(accuracy["mean"], epochs),
    ]


def _read(folder: Path, name: str) -> Scores | None:
    path = folder / paths.metrics(name).name
    if not path.is_file():
        return None
    scores = read_json(path)
    if name == _ENSEMBLE:
        summed_up = read_json(folder / paths.SUMMARY.name)[_ENSEMBLE]
        return scores["counted"] | {"parameters": summed_up["parameters"]}
    return scores


def main(what: str, group: str, dataset: str = "") -> None:
    """`pools` of a data set, one a line, for that key of params.yaml; `table`: of their metrics."""
    params = load_params()
    if what == "table":
        print(table(params, group, paths.METRICS))
    else:
        print("\n".join(",".join(blocks) for blocks in pools(params, dataset, group)))


if __name__ == "__main__":
    run(main, *sys.argv[1:])
