"""The command `compare`."""

import argparse
from typing import TYPE_CHECKING

from thumbnets import paths
from thumbnets.artifacts import read_array, read_json
from thumbnets.doctor.state import warn_of_other_run
from thumbnets.messages import plural
from thumbnets.model_commands import check_headline, check_trained, require, slot_of
from thumbnets.params import Params, load_params
from thumbnets.registry import unknown

if TYPE_CHECKING:
    import numpy as np

    from thumbnets.evaluation.predictions import Predictions


def compare(arguments: argparse.Namespace) -> None:
    """Compare several models, or models and `ensemble`, by paired tests on the same images."""
    from thumbnets.evaluation.predictions import SCORES

    names, metric, params = arguments.names, arguments.metric, load_params()
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError("Name two or more different models to compare.")
    if metric not in SCORES:
        raise ValueError(unknown("metric", metric, SCORES))
    if not arguments.validation:
        _tell_images(_test(names, params), metric, f"test {params.example}")
        return
    validation, image = _validation(names, params), f"validation {params.example}"
    if len(set(folds := _folds(params))) > 1:
        _tell_folds(validation, folds, metric, image)
        return
    from thumbnets.evaluation.validation import joined

    _tell_images({name: joined(runs) for name, runs in validation.items()}, metric, image)


def _tell_images(predictions: dict[str, "Predictions"], metric: str, image: str) -> None:
    from thumbnets.evaluation.predictions import check_alike, scores_to_compare
    from thumbnets.report.terminal import explanation

    check_alike(predictions)
    scores = {name: scores_to_compare(of, metric) for name, of in predictions.items()}
    first = next(iter(predictions.values()))
    seeds, grouped = first.seeds, first.group is not None
    images = plural(len(first.labels), image)
    if grouped:
        images += f" in {plural(int(first.group.max()) + 1, 'group')}"
    what = f"{images}, {plural(len(seeds), 'seed')}"
    _tell(scores, metric, what, explanation(metric, len(seeds), f"{image}s", grouped=grouped))
    ensembles = min(map(len, scores.values()))
    of_each = plural(len(seeds) // ensembles, "seed")
    if ensembles == 1 < len(seeds):
        print(
            f"There is one ensemble, of the trainings of {of_each}, compared with their mean: p of "
            f"its pairs covers only the sample of {image}s, no new trainings."
        )
    elif ensembles < len(seeds):
        print(f"Each ensemble joins the trainings of {of_each} and is compared with their mean.")


def _tell_folds(
    validation: dict[str, list["Predictions"]], folds: list[int], metric: str, image: str
) -> None:
    from thumbnets.evaluation.predictions import scores_to_compare
    from thumbnets.evaluation.validation import over_folds
    from thumbnets.report.terminal import FOLDS

    scores = {
        name: over_folds([scores_to_compare(run, metric)[0] for run in runs], folds)
        for name, runs in validation.items()
    }
    first = next(iter(validation.values()))
    count = sum({fold: len(run.labels) for fold, run in zip(folds, first, strict=True)}.values())
    sampled = f"{plural(len(set(folds)), 'fold')}, {plural(len(folds), 'seed')}"
    _tell(scores, metric, f"{plural(count, image)} in {sampled}", FOLDS)


def _folds(params: Params) -> list[int]:
    """The fold that each seed was validated on, the same for all models."""
    if not params.split.rotate:
        return [0] * len(params.seeds)
    count = int(read_array(paths.TRAIN / "fold.npy").max()) + 1  # own images may have fewer
    settings = params.settings[params.model]
    return [settings.validation_fold(seed, count) for seed in params.seeds]


def _tell(scores: dict[str, "np.ndarray"], metric: str, what: str, note: str) -> None:
    from thumbnets.evaluation.comparisons import compare
    from thumbnets.report.terminal import SUPERIORITY, comparison_table

    comparisons = compare(scores)
    print(f"{metric}, {what}")
    print(comparison_table(comparisons, metric))
    print(note)
    if any(pair.superiority for pair in comparisons):
        print(SUPERIORITY)


def _test(names: list[str], params: Params) -> dict[str, "Predictions"]:
    from thumbnets.ensembles.predictions import read_ensemble_predictions
    from thumbnets.evaluation.predictions import read_predictions

    slots = {name: slot_of(name, params) for name in names if name != paths.ENSEMBLE}
    for name, slot in slots.items():
        require(paths.test_predictions(slot), f"{name} has no test predictions")
    if paths.HEADLINE in slots.values():
        check_headline(params, read_json(paths.correct(paths.HEADLINE))["model"])
    warn_of_other_run(*map(paths.test_predictions, slots.values()))
    return {
        name: read_predictions(slots[name]) if name in slots else read_ensemble_predictions()
        for name in names
    }


def _validation(names: list[str], params: Params) -> dict[str, list["Predictions"]]:
    from thumbnets.evaluation.validation import read_validation

    if paths.ENSEMBLE in names:
        raise ValueError("The ensemble was selected on the validation images: compare it on test.")
    slots = {name: slot_of(name, params) for name in names}
    files = {
        name: [paths.validation_predictions(slot, seed) for seed in params.seeds]
        for name, slot in slots.items()
    }
    for name, of_name in files.items():
        for file in of_name:
            require(file, f"{name} has no validation predictions of all seeds")
    for slot in slots.values():
        check_trained(slot, paths.weights(slot, params.seeds[0]), params)
    warn_of_other_run(*(file for of_name in files.values() for file in of_name))
    for name, slot in slots.items():
        if watches := params.slot_settings[slot].train.watches:
            keys = " and ".join(watches)
            print(f"{name}: its {keys} looked at these images, so its score is too good.")
    views = params.evaluation.tta  # as the test images are scored
    return {name: read_validation(slot, params.seeds, views) for name, slot in slots.items()}


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `compare`."""
    named = "a block, headline or ensemble"
    parser.add_argument("names", nargs="+", metavar="MODEL", help=named)
    parser.add_argument("--metric", default="accuracy", help="accuracy (default) or nll")
    parser.add_argument(
        "--validation",
        action="store_true",
        help="compare on the validation images, by which settings may be chosen",
    )
