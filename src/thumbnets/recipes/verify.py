"""Repeating some trainings of a result, and comparing their outcome with the record."""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumbnets import paths, runtime
from thumbnets.artifacts import read_json
from thumbnets.messages import listed
from thumbnets.params import Params, load_params
from thumbnets.recipes.basis import basis
from thumbnets.recipes.files import locked
from thumbnets.recipes.recipe import RecipeFile, with_absolute_path
from thumbnets.recipes.run import prepared, workspace_of, write_result
from thumbnets.recipes.workspace import Workspace, committed, workspace
from thumbnets.store import project_store, training_key
from thumbnets.yaml_files import read_yaml

SAME, WITHIN, OTHER = "same bytes", "within the tolerance", "other"
_SDS = 3  # standard deviations over seeds that a new training may differ by

# Stages whose outcome is confirmed by a training with the same bytes and the same score.
_SPOKEN_FOR = ("stage download", "stage preprocess", "stage evaluate")


@dataclass(frozen=True)
class Expected:
    """One training as it was recorded.

    Attributes:
        model: Its block.
        seed: Seed of the training.
        algorithm: Name of the checksum's algorithm in hashlib.
        checksum: Checksum of its weights file.
        accuracy: Accuracy on the test examples; the mean over seeds if only that is known.
        sd: Standard deviation of the accuracy over the seeds of its model; None with one seed.
    """

    model: str
    seed: int
    algorithm: str
    checksum: str
    accuracy: float
    sd: float | None


@dataclass(frozen=True)
class Found:
    """The outcome of a new training.

    Attributes:
        expected: The recorded training.
        accuracy: Accuracy of the new training on the test examples.
        outcome: SAME, WITHIN or OTHER.
        tolerance: Largest difference of accuracies for WITHIN, a fraction.
    """

    expected: Expected
    accuracy: float
    outcome: str
    tolerance: float

    def __str__(self) -> str:
        told = f"{self.expected.model}, seed {self.expected.seed}: {self.outcome}"
        if self.outcome == SAME:
            return told
        return (
            f"{told}: accuracy {100 * self.accuracy:.2f} %, recorded "
            f"{100 * self.expected.accuracy:.2f} %, tolerance {100 * self.tolerance:.2f} points"
        )


def verify_recipe(file: RecipeFile, trainings: int, tolerance: float | None) -> list[Found]:
    """Repeat some trainings of a recipe's result; mark it verified if all match byte for byte.

    Args:
        file: The recipe, which has a result.
        trainings: Number of trainings, the cheapest first.
        tolerance: Accepted difference of accuracies, a fraction; None: three times the standard
            deviation over seeds, nothing with a single seed.

    Raises:
        ValueError: The result has no checksums, or comes from another device type and there is no
            tolerance, or a stage failed.
    """
    path = file.root / file.result
    if not path.is_file():
        raise ValueError(f"{file.path} was not run: run `thumbnets recipe {file.path}` first.")
    result = read_json(path)
    if not result["measured"]["checksums"]:
        raise ValueError(
            f"{file.result} was measured before checksums of weights were kept: run `thumbnets "
            f"recipe {file.path}` anew."
        )
    if tolerance is None:
        _check_device(file, result["machine"].get("device", "cpu"))
    seeds = result["recipe"]["seeds"]
    expected = [
        Expected(
            row["model"],
            row["seed"],
            "sha256",
            row["weights"],
            row["accuracy"],
            result["models"][row["model"]]["accuracy"]["sd"],
        )
        for row in result["trainings"]
    ]
    (content, params), commit = prepared(file, seeds), committed(file.root)
    if gone := [name for name in result["models"] if name not in params.run]:
        raise ValueError(
            f"{file.result} is also of {listed(gone)}, which the recipe no longer has: run "
            f"`thumbnets recipe {file.path}` anew."
        )
    with workspace(f"verify-{workspace_of(file)}", commit, file.root) as place:
        place.write_params(content)
        found = _train_anew(place, params, expected, trainings, tolerance)
        with contextlib.chdir(file.root):
            now = basis(params)
        mark_verified(file, result, now, found, commit)
        place.remove()
    return found


def _check_device(file: RecipeFile, devices: str) -> None:
    """Refuse to compare the bytes of a result from another device type.

    Args:
        file: The recipe.
        devices: Device types that trained, such as `cpu` or `cpu, cuda`.

    Raises:
        ValueError: This machine's type is not among them.
    """
    if (here := runtime.device_type()) not in devices.split(", "):
        raise ValueError(
            f"{file.result} was trained on {devices}, where bytes differ from those of {here}: "
            "verify it on such a machine, or compare accuracies by --tolerance POINTS."
        )


def verify_default(root: Path, trainings: int, tolerance: float | None) -> list[Found]:
    """Repeat some trainings of the committed default run: dvc.lock has their weights' checksums.

    Raises:
        ValueError: dvc.lock does not match params.yaml, or a stage failed.
    """
    commit = committed(root)
    with contextlib.chdir(root):
        params = load_params()
    content = with_absolute_path(read_yaml(root / paths.PARAMS), root)
    expected = _expected_by_lock(root, params)
    with workspace("verify-default", commit, root) as place:
        place.write_params(content)
        found = _train_anew(place, params, expected, trainings, tolerance)
        place.remove()
    return found


def _expected_by_lock(root: Path, params: Params) -> list[Expected]:
    known, expected = locked(root), []
    for name in params.run:
        slot = params.slots[name]
        accuracy = read_json(root / paths.metrics(slot))["accuracy"]
        for seed in params.seeds:
            path = paths.weights(slot, seed).as_posix()
            if path not in known:
                raise ValueError(f"dvc.lock has no {path}: run `dvc repro` and commit.")
            mean, sd = accuracy["mean"], accuracy["sd"]
            expected.append(Expected(name, seed, "md5", known[path], mean, sd))
    return expected


def _train_anew(
    place: Workspace,
    params: Params,
    expected: list[Expected],
    trainings: int,
    tolerance: float | None,
) -> list[Found]:
    place.run("dvc", "repro", "pretrain")
    with contextlib.chdir(place.folder):
        costs = {name: cost(params, name) for name in params.run}
    found = []
    for one in sorted(expected, key=lambda one: costs[one.model])[:trainings]:
        slot = params.slots[one.model]
        weights = paths.weights(slot, one.seed)
        (place.folder / weights).unlink(missing_ok=True)
        with contextlib.chdir(place.folder):
            store, key = project_store(), training_key(slot, one.seed)
        with store.kept(key):
            place.run("stages.train", slot, str(one.seed), env={"THUMBNETS_RETRAIN": "1"})
        with contextlib.chdir(place.folder):
            found.append(compare(one, weights, accuracy_of(params, one), tolerance))
        print(found[-1], flush=True)
    return found


def cost(params: Params, name: str) -> float:
    """Rough cost of a training: multiplications per image, times epochs."""
    import torch

    from thumbnets.data.arrays import Meta
    from thumbnets.evaluation.cost import describe
    from thumbnets.methods.base import build_method

    meta = Meta(**read_json(paths.TRAIN / "meta.json"))
    settings = params.settings[name]
    with torch.device("meta"):  # nothing is computed
        network = build_method(settings, meta).network()
    described = describe(network, (meta.channels, meta.image_size, meta.image_size))
    return described.total.multiply_accumulates * settings.train.epochs * (1 + settings.train.refit)


def accuracy_of(params: Params, training: Expected) -> float:
    """Accuracy of a new training on the test examples, scored as stage `evaluate` does."""
    from thumbnets.evaluation.evaluate import evaluate

    weights = paths.weights(params.slots[training.model], training.seed)
    settings = params.settings[training.model]
    found = evaluate(settings, [weights], [training.seed], params.evaluation)
    return found.metrics["accuracy"]["mean"]


def compare(expected: Expected, weights: Path, accuracy: float, tolerance: float | None) -> Found:
    """Compare a new training with the recorded one.

    Args:
        expected: The recorded training.
        weights: Weights file of the new training.
        accuracy: Accuracy of the new training on the test examples.
        tolerance: As in `verify_recipe`.
    """
    if tolerance is None:
        tolerance = _SDS * (expected.sd or 0.0)
    with weights.open("rb") as file:
        same = hashlib.file_digest(file, expected.algorithm).hexdigest() == expected.checksum
    close = abs(accuracy - expected.accuracy) <= tolerance
    return Found(expected, accuracy, SAME if same else WITHIN if close else OTHER, tolerance)


def mark_verified(
    file: RecipeFile,
    result: dict[str, Any],
    now: Mapping[str, Any],
    found: list[Found],
    commit: str,
) -> None:
    """Note in a result of older code what the present code reproduced byte for byte.

    Args:
        file: The recipe.
        result: Its result; gets `verified`.
        now: What a run would rest on now.
        found: New trainings.
        commit: Commit of the code that they were trained with.
    """
    then = result["basis"]
    same = [one for one in found if one.outcome == SAME]
    # If params changed, equal bytes prove nothing.
    if len(same) < len(found) or then["code"] == now["code"] or then["settings"] != now["settings"]:
        return
    models = {one.expected.model for one in same}
    scores_hold = all(abs(one.accuracy - one.expected.accuracy) < 1e-6 for one in same)
    proved = [*models, *(_SPOKEN_FOR if scores_hold else ())]
    result["verified"] = {
        "commit": commit,
        "code": {name: digest for name, digest in now["code"].items() if name in proved},
        "trainings": [{"model": o.expected.model, "seed": o.expected.seed} for o in same],
    }
    write_result(file, result)
    if left := [
        n for n in now["code"] if n not in proved and then["code"].get(n) != now["code"][n]
    ]:
        print(f"not verified by these trainings: code of {', '.join(left)}")
