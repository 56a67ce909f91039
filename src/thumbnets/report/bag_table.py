"""The bag networks of a run beside each other and their goal: `make mil` asks for it run by run."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import read_arrays, read_json
from thumbnets.evaluation.metrics import area_under_curve
from thumbnets.evaluation.views import array_name
from thumbnets.params import Params, load_params
from thumbnets.report import tables
from thumbnets.report.filters import decimals, plural
from thumbnets.stage import run

_GOALS = Path(__file__).with_name("goals.toml")
_COLUMNS = {  # and how they are aligned
    "Model": ":--",
    "Validation AUC": "--:",
    "Test AUC": "--:",
    "± sd": "--:",
    "95 % interval": "--:",
    "Error": "--:",
    "NLL": "--:",
    "Goal": "--:",
    "Outcome": ":--",
}


def table(params: Params) -> str:
    """The models of the run that was done last, in Markdown; its goal is an AUC.

    Raises:
        ValueError: An artifact of the run is missing, or it is one of images.
    """
    options = params.settings[params.model].train.method.options
    if params.example != "bag":
        raise ValueError(f"{params.model} is no model of bags: run `make mil`.")
    lines = [
        f"## {plural(options['train_bags'], 'training bag')}",
        "",
        f"Mean size {options['mean']:g}, standard deviation {options['spread']:g}, target class "
        f"{options['target']}, drawing {options['drawing']}; "
        f"{plural(options['validation_bags'], 'validation bag')}, "
        f"{plural(options['test_bags'], 'test bag')}; means over "
        f"{plural(len(params.seeds), 'seed')}, intervals Student's over them. Each seed draws "
        "training bags of its own.",
        "",
        tables.table(_COLUMNS, (_row(params, model) for model in params.run)),
    ]
    return "\n".join(lines) + "\n"


def _row(params: Params, model: str) -> list[str]:
    scores = read_json(paths.metrics(model))
    auc, goal = scores["auc"], _goal(params, model)
    low, high = (decimals(auc[key], 4) for key in ("ci_low", "ci_high"))
    outcome = "–" if goal is None else "reached" if auc["mean"] >= goal else "missed"
    return [
        model,
        decimals(float(np.mean([_validation(params, model, seed) for seed in params.seeds])), 4),
        decimals(auc["mean"], 4),
        decimals(auc["sd"], 4),
        f"{low} – {high}" if auc["ci_low"] is not None else "–",
        decimals(scores["error"]["mean"], 4),
        decimals(scores["nll"]["mean"], 3),
        decimals(goal, 3),
        outcome,
    ]


def _validation(params: Params, model: str, seed: int) -> float:
    """In the views that the test bags are scored in."""
    arrays = read_arrays(paths.validation_predictions(model, seed))
    logits = arrays[array_name(params.evaluation.tta)]
    return area_under_curve(np.diff(logits)[:, 0], arrays["labels"])


def _goal(params: Params, model: str) -> float | None:
    """The AUC that bags drawn like these are to reach, if there is one."""
    drawn: dict[str, Any] = {
        "dataset": params.data.name,
        **params.settings[model].train.method.options,
    }
    goals = tomllib.loads(_GOALS.read_text(encoding="utf-8"))["bags"]
    fitting = (g["auc"] for g in goals if all(drawn[k] == v for k, v in g.items() if k != "auc"))
    return next(fitting, None)


if __name__ == "__main__":
    run(lambda: print(table(load_params())))
