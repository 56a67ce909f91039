"""The result of a recipe: the measurements, from the artifacts of its run."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from thumbnets import paths, runtime
from thumbnets.artifacts import read_arrays, read_json, sha256
from thumbnets.evaluation.metrics import score_logits
from thumbnets.evaluation.summaries import Scores, accuracy_interval
from thumbnets.params import Params
from thumbnets.paths import ENSEMBLE
from thumbnets.recipes.basis import Basis
from thumbnets.recipes.recipe import Goal, RecipeFile
from thumbnets.store import Store, training_key

STUDENT, WILSON = "Student's over seeds", "Wilson's over test examples"
_METRICS = ("accuracy", "error", "nll", "ece", "auc")
_OF_TRAINING = ("accuracy", "nll", "auc")

Result = dict[str, Any]


def record(
    file: RecipeFile, params: Params, commit: str, rests_on: Basis, device: str | None = None
) -> Result:
    """The result of the run in the working folder.

    Args:
        file: The recipe.
        params: Params of the run.
        commit: Commit whose code was run.
        rests_on: What the run rests on.
        device: Device type of the other machines that trained; None: that of this machine.

    Returns:
        Content of `NAME.json`: without times, and with the kind of the machine but not its name.
    """
    models = {name: summed_up(_scores(params, name)) for name in params.run}
    ensemble = _ensemble(params)
    overlay = {**file.recipe.overlay, "seeds": params.seeds}
    return {
        "title": file.recipe.title,
        "recipe": overlay,
        "measured": {"commit": commit, "checksums": True},
        "machine": _machines(params, device),
        "data": _data(),
        "basis": rests_on,
        "trainings": [row for name in params.run for row in _trainings(params, name)],
        "models": models,
        ENSEMBLE: ensemble,
        "goals": [outcome(goal, {**models, ENSEMBLE: ensemble}) for goal in file.recipe.goals],
    }


def summed_up(scores: Scores) -> Result:
    """Scores of a model or ensemble: mean, sd and 95 % interval of each metric, and sample sizes.

    Args:
        scores: Scores from `over_seeds`; those of a model have `parameters` as well.
    """
    varies = scores["accuracy"]["ci_low"] is not None
    accurate = accuracy_interval(scores)
    found: Result = {"n": scores["seeds"], "interval": STUDENT if varies else WILSON}
    for metric in _METRICS:
        if metric not in scores:
            continue
        of = scores[metric]
        low, high = of["ci_low"], of["ci_high"]
        if not varies and metric == "accuracy":
            low, high = accurate.low, accurate.high
        elif not varies and metric == "error":
            low, high = 1 - accurate.high, 1 - accurate.low
        found[metric] = {"mean": of["mean"], "sd": of["sd"], "low": low, "high": high}
    return found | ({"parameters": scores["parameters"]} if "parameters" in scores else {})


def outcome(goal: Goal, measured: dict[str, Result]) -> Result:
    """A goal with the measured value, and whether that reaches it."""
    mean = measured[goal.of][goal.metric]["mean"]
    reached = goal.reached_by(mean)
    return {**goal.model_dump(exclude_none=True), "measured": mean, "reached": reached}


def machine() -> dict[str, Any]:
    """What bytes may depend on: kind of CPU or GPU, device, torch version; for CPUs also cores."""
    here = runtime.machine()
    if here["device"] != "cpu":
        return _named(here)
    return {"cpu": _cpu(), "cores": runtime.cores(), "device": "cpu", "torch": version("torch")}


def _named(machine: dict[str, str]) -> dict[str, Any]:
    """A machine from `runtime.machine`, with its kind under the key `cpu`, as in a result."""
    return {"cpu": machine["kind"], "device": machine["device"], "torch": machine["torch"]}


def _machines(params: Params, device: str | None) -> dict[str, Any]:
    """As `machine`, for the machines that trained; for others (shared cache) only their kind."""
    store = Store(runtime.dvc_cache(), runtime.device_type(), device or runtime.accepted_device())
    keys = [training_key(params.slots[name], seed) for name in params.run for seed in params.seeds]
    found = [kind for key in keys if (kind := store.about(key).get("machine"))]
    here = runtime.machine()
    if all(kind == here for kind in found):
        return machine()
    return _named(
        {key: ", ".join(sorted({one[key] for one in found})) for key in ("kind", "device", "torch")}
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else "unknown"


def _scores(params: Params, name: str) -> Scores:
    return read_json(paths.metrics(params.slots[name]))


def _trainings(params: Params, name: str) -> list[Result]:
    """One row per seed of a model: checksum of its weights, and its scores on the test examples."""
    slot = params.slots[name]
    arrays = read_arrays(paths.test_predictions(slot))
    rows = []
    for seed, logits in zip(params.seeds, arrays["logits"], strict=True):
        scores = score_logits(logits, arrays["labels"], ece_bins=params.evaluation.ece_bins)
        rows.append(
            {
                "model": name,
                "seed": seed,
                "weights": sha256(paths.weights(slot, seed)),
                **{key: round(scores[key], 6) for key in _OF_TRAINING if key in scores},
            }
        )
    return rows


def _ensemble(params: Params) -> Result:
    content = read_json(paths.ENSEMBLE_METRICS)
    rules = {}
    for name, of in content["rules"].items():
        for vote in ("soft", "hard"):
            if vote in of:
                low, high = (getattr(accuracy_interval(of[vote]), end) for end in ("low", "high"))
                mean = of[vote]["accuracy"]["mean"]
                rules[f"{name} {vote}"] = {"accuracy": mean, "low": low, "high": high}
    return {
        **summed_up(content["selected"]),
        "parameters": read_json(paths.SUMMARY)[ENSEMBLE]["parameters"],
        "rule": content["rule"],
        "voting": content["voting"],
        "members": {name: of["weight"] for name, of in content["members"].items()},
        "rules": rules,
    }


def _data() -> Result:
    train, test = (read_json(folder / "meta.json") for folder in (paths.TRAIN, paths.TEST))
    return {
        "name": train["dataset"],
        "train": train["sha256"],
        "test": test["sha256"],
        "images": {"train": sum(train["counts"]), "test": sum(test["counts"])},
    }
