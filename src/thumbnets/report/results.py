"""The artifacts of one run, from which the report is made, read and checked against its params.

They do not include the test split: stage `evaluate` stores the test images that the report shows
with the predictions.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import read_arrays, read_json
from thumbnets.data.arrays import Meta, read_meta
from thumbnets.data.views import VIEWS
from thumbnets.ensembles.members import groups_of
from thumbnets.ensembles.predictions import read_ensemble_predictions
from thumbnets.evaluation.comparisons import Comparison, compare
from thumbnets.evaluation.metrics import confusion_matrix
from thumbnets.evaluation.predictions import (
    Predictions,
    check_alike,
    read_predictions,
    scores_to_compare,
)
from thumbnets.evaluation.ranking import Rank, ranks
from thumbnets.evaluation.summaries import Scores
from thumbnets.evaluation.views import array_name
from thumbnets.params import Params
from thumbnets.paths import ENSEMBLE
from thumbnets.quality.flaws import Flaws, read_flaws
from thumbnets.report.records import read_curve, read_findings

Curve = list[dict[str, float]]

CURVE_SCORES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Mistakes:
    """The most confident mistakes of the headline model, most confident first.

    Attributes:
        images: uint8 [M, C, H, W].
        index: int64 [M], index among the test images.
        label: int64 [M].
        predicted: int64 [M].
        confidence: float32 [M], probability of the predicted class.
    """

    images: np.ndarray
    index: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Results:
    """All artifacts of a run, by model where there is one per model.

    Attributes:
        params: Params of the run.
        meta: Metadata of the training images.
        classes: Names of the classes of the examples (images or bags).
        found: Findings about all images, see `preprocess.Findings`.
        flaws: What is wrong with the data.
        metrics: Test metrics over seeds.
        ensemble: Test metrics of the ensembles, from `score_ensembles`.
        summary: Main numbers of the run, from `summaries.summary`.
        selection: Ensembles by group of seeds and rule, from `fit_rules`.
        curves: One row per epoch: `epoch`, and each of `CURVE_SCORES` as a mean over seeds.
        validation: Logits float32 [V, K] and labels int64 [V] of the validation fold of each seed.
        first_validation: All arrays of the validation predictions of the first seed.
        validation_groups: Number of the group of each image of a validation fold, int64 [V], for
            each seed; None where each is by itself.
        views: Whether each image of a validation fold was classified correctly, bool [V], by set of
            views and seed.
        predictions: Test predictions of each model and of the selected ensemble.
        correct: bool [S, N], whether each test image was classified correctly; for images in groups
            float [S, G], see `of_groups`; the best classifier first.
        confusion: int64 [K, K], test images of all seeds by label and prediction.
        ensemble_confusion: int64 [K, K], the same for the selected ensemble.
        mistakes: Most confident mistakes of the headline model.
    """

    params: Params
    meta: Meta
    classes: list[str]
    found: dict[str, Any]
    flaws: Flaws
    metrics: dict[str, Scores]
    ensemble: Scores
    summary: Scores
    selection: dict[str, Any]
    curves: dict[str, Curve]
    validation: dict[str, list[tuple[np.ndarray, np.ndarray]]]
    first_validation: dict[str, dict[str, np.ndarray]]
    validation_groups: dict[str, list[np.ndarray] | None]
    views: dict[str, dict[str, list[np.ndarray]]]
    predictions: dict[str, Predictions]
    correct: dict[str, np.ndarray]
    confusion: dict[str, np.ndarray]
    ensemble_confusion: np.ndarray
    mistakes: Mistakes

    @property
    def matrices(self) -> dict[str, np.ndarray]:
        """The confusion matrices of the report: the ensemble's, then those of the models."""
        return {ENSEMBLE: self.ensemble_confusion} | self.confusion

    @property
    def class_counts(self) -> dict[str, int]:
        """Number of training images of each class of images."""
        return dict(zip(self.meta.classes, self.found["train"], strict=True))

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """All pairs of classifiers by accuracy, the better one of each pair first."""
        return compare(self.correct)

    @cached_property
    def ranks(self) -> list[Rank]:
        """All classifiers by rank of their accuracy, the best first."""
        return ranks(self.correct)


def read_results(params: Params) -> Results:
    """Read the artifacts of the run that `params` describe.

    Raises:
        ValueError: An artifact is missing, or has different seeds from `params`.
    """
    meta = read_meta(paths.TRAIN / "meta.json")
    slots = params.slots
    metrics = {model: read_json(paths.metrics(slot)) for model, slot in slots.items()}
    ensemble = read_json(paths.ENSEMBLE_METRICS)
    selection = read_json(paths.SELECTION)
    predictions = {model: read_predictions(slot) for model, slot in slots.items()}
    _check_seeds(params, selection, predictions)
    predictions[ENSEMBLE] = read_ensemble_predictions()
    check_alike(predictions)
    validation = {model: _validation(slot, params) for model, slot in slots.items()}
    headline = read_arrays(paths.test_predictions(slots[params.model]))
    classes = headline["classes"].tolist()

    correct = {name: scores_to_compare(of, "accuracy") for name, of in predictions.items()}
    confusion = {name: _over_seeds(of_name, len(classes)) for name, of_name in predictions.items()}
    return Results(
        params=params,
        meta=meta,
        classes=classes,
        found=read_findings(paths.FINDINGS),
        flaws=read_flaws(
            [
                (arrays["indices"], arrays[array_name(params.evaluation.tta)])
                for runs in validation.values()
                for arrays in runs
            ]
            if params.example == "image"
            else None,
            meta.classes,
        ),
        metrics=metrics,
        ensemble=ensemble,
        summary=read_json(paths.SUMMARY),
        selection=selection,
        curves={model: _mean_curve(slot, params.seeds) for model, slot in slots.items()},
        validation={
            model: [
                (arrays[array_name(params.evaluation.tta)], arrays["labels"]) for arrays in runs
            ]
            for model, runs in validation.items()
        },
        first_validation={model: runs[0] for model, runs in validation.items()},
        validation_groups={
            model: [arrays["group"] for arrays in runs] if "group" in runs[0] else None
            for model, runs in validation.items()
        },
        views={
            model: {name: [_recognised(arrays, name) for arrays in runs] for name in VIEWS}
            for model, runs in validation.items()
        },
        predictions=predictions,
        correct={
            name: correct[name] for name in sorted(correct, key=lambda name: -correct[name].mean())
        },
        ensemble_confusion=confusion.pop(ENSEMBLE),
        confusion=confusion,
        mistakes=_mistakes(headline),
    )


def _check_seeds(
    params: Params, selection: dict[str, Any], predictions: dict[str, Predictions]
) -> None:
    """Refuse artifacts of a run with other seeds."""
    if selection.keys() != groups_of(params.seeds, params.ensemble.seeds).keys():
        raise ValueError(f"{paths.SELECTION} has other seeds than params.yaml: run `dvc repro`.")
    for model, of_model in predictions.items():
        if of_model.seeds != params.seeds:
            path = paths.test_predictions(params.slots[model])
            raise ValueError(f"{path} has other seeds than params.yaml: run `dvc repro`.")


def _mean_curve(slot: str, seeds: list[int]) -> Curve:
    """Mean over the seeds that reached each epoch; early stopping may end some before others."""
    curves = [read_curve(paths.history(slot, seed), CURVE_SCORES) for seed in seeds]
    mean = []
    for number in range(max(map(len, curves))):
        rows = [curve[number] for curve in curves if number < len(curve)]
        scores = {name: float(np.mean([row[name] for row in rows])) for name in CURVE_SCORES}
        mean.append({"epoch": number + 1, **scores})
    return mean


def _validation(slot: str, params: Params) -> list[dict[str, np.ndarray]]:
    """What each seed predicted on its validation fold, as `train` wrote it."""
    return [read_arrays(paths.validation_predictions(slot, seed)) for seed in params.seeds]


def _recognised(arrays: dict[str, np.ndarray], views: str) -> np.ndarray:
    return arrays[array_name(views)].argmax(1) == arrays["labels"]


def _over_seeds(predictions: Predictions, classes: int) -> np.ndarray:
    labels = predictions.labels
    return sum(confusion_matrix(labels, of_seed, classes) for of_seed in predictions.predicted)


def _mistakes(arrays: dict[str, np.ndarray]) -> Mistakes:
    return Mistakes(
        images=arrays["mistake_images"],
        index=arrays["mistake_index"],
        label=arrays["labels"][arrays["mistake_index"]],
        predicted=arrays["mistake_predicted"],
        confidence=arrays["mistake_confidence"],
    )
