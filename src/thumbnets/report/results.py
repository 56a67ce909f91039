"""What the report rests on: the artifacts of one run, read and checked against its params.

The test split itself is not among them: test images that the report shows were put beside the
predictions by `evaluate`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import keep_only, read_arrays, read_json
from thumbnets.data.arrays import Meta, read_meta
from thumbnets.ensembles.members import groups_of
from thumbnets.evaluation.comparisons import Comparison, compare
from thumbnets.evaluation.metrics import confusion_matrix
from thumbnets.evaluation.predictions import (
    ENSEMBLE,
    Predictions,
    accuracy,
    check_alike,
    read_predictions,
)
from thumbnets.evaluation.summaries import Scores
from thumbnets.evaluation.views import VIEWS, array_name
from thumbnets.params import Params
from thumbnets.report.records import read_curve, read_findings

Curve = list[dict[str, float]]

CURVE_SCORES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Mistakes:
    """The most confident mistakes of the headline model, most confident first.

    Attributes:
        images: uint8 [M, C, H, W].
        index: int64 [M], place among the test images.
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
    """All artifacts of a run, by model where there is one a model.

    Attributes:
        params: What the run was asked for.
        meta: Of the training images.
        classes: Of the examples: of the images, or of what the models see in their place.
        found: What a look at all images found, as `preprocess.Findings`.
        metrics: Test metrics over seeds.
        ensemble: Test metrics of the ensembles, as `score_ensembles` gives them.
        summary: As `summaries.summary` gives it.
        selection: By group of seeds and rule, as `fit_rules` gives it.
        curves: A row an epoch: `epoch`, and each of `CURVE_SCORES` as a mean over seeds.
        validation: For each seed logits float32 [V, K] and labels int64 [V] of its validation fold.
        judged: All that the file of validation predictions of the first seed holds.
        views: For each set of views and each seed whether an image of its validation fold was
            recognised under it, bool [V].
        predictions: Of the test images, by model and of the ensemble that counts.
        right: bool [S, N], whether a test image was recognised; the best classifier first.
        confusion: int64 [K, K], test images of all seeds by label and prediction.
        ensemble_confusion: Likewise, of the ensemble that counts.
        mistakes: Of the headline model.
    """

    params: Params
    meta: Meta
    classes: list[str]
    found: dict[str, Any]
    metrics: dict[str, Scores]
    ensemble: Scores
    summary: Scores
    selection: dict[str, Any]
    curves: dict[str, Curve]
    validation: dict[str, list[tuple[np.ndarray, np.ndarray]]]
    judged: dict[str, dict[str, np.ndarray]]
    views: dict[str, dict[str, list[np.ndarray]]]
    predictions: dict[str, Predictions]
    right: dict[str, np.ndarray]
    confusion: dict[str, np.ndarray]
    ensemble_confusion: np.ndarray
    mistakes: Mistakes

    @property
    def matrices(self) -> dict[str, np.ndarray]:
        """The confusion matrices to be shown: the ensemble's, then those of the models."""
        return {ENSEMBLE: self.ensemble_confusion} | self.confusion

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """All pairs of classifiers by accuracy, the better one of each pair first."""
        return compare(self.right)


def remove_strays(params: Params) -> None:
    """Remove seeds that `params` no longer name from the folders that the report rests on.

    Raises:
        ValueError: A run of `params` is missing.
    """
    for model in params.run:
        keep_only(paths.HISTORY / model, [f"{seed}.csv" for seed in params.seeds])
        keep_only(paths.VALIDATION / model, [f"{seed}.npz" for seed in params.seeds])


def read_results(params: Params) -> Results:
    """Read the artifacts of the run that `params` describe.

    Raises:
        ValueError: An artifact is missing, or holds other seeds than `params`.
    """
    meta = read_meta(paths.TRAIN / "meta.json")
    metrics = {model: read_json(paths.metrics(model)) for model in params.run}
    ensemble = read_json(paths.ENSEMBLE_METRICS)
    selection = read_json(paths.SELECTION)
    predictions = {model: read_predictions(model) for model in params.run}
    _check_seeds(params, selection, predictions)
    predictions[ENSEMBLE] = read_predictions(ENSEMBLE)
    check_alike(predictions)
    validation = {model: _validation(model, params) for model in params.run}
    headline = read_arrays(paths.test_predictions(params.model))
    classes = headline["classes"].tolist()

    right = {name: accuracy(of_name) for name, of_name in predictions.items()}
    confusion = {name: _over_seeds(of_name, len(classes)) for name, of_name in predictions.items()}
    return Results(
        params=params,
        meta=meta,
        classes=classes,
        found=read_findings(paths.FINDINGS),
        metrics=metrics,
        ensemble=ensemble,
        summary=read_json(paths.SUMMARY),
        selection=selection,
        curves={model: _mean_curve(model, params.seeds) for model in params.run},
        validation={
            model: [
                (arrays[array_name(params.evaluation.tta)], arrays["labels"]) for arrays in runs
            ]
            for model, runs in validation.items()
        },
        judged={model: runs[0] for model, runs in validation.items()},
        views={
            model: {name: [_recognised(arrays, name) for arrays in runs] for name in VIEWS}
            for model, runs in validation.items()
        },
        predictions=predictions,
        right={name: right[name] for name in sorted(right, key=lambda name: -right[name].mean())},
        ensemble_confusion=confusion.pop(ENSEMBLE),
        confusion=confusion,
        mistakes=_mistakes(headline),
    )


def _check_seeds(
    params: Params, selection: dict[str, Any], predictions: dict[str, Predictions]
) -> None:
    """Refuse artifacts of a run with other seeds."""
    if selection.keys() != groups_of(params.seeds, params.ensemble.seeds).keys():
        raise ValueError(f"{paths.SELECTION} is of other seeds than params.yaml: run `dvc repro`.")
    for model, of_model in predictions.items():
        if of_model.seeds != params.seeds:
            path = paths.test_predictions(model)
            raise ValueError(f"{path} is of other seeds than params.yaml: run `dvc repro`.")


def _mean_curve(model: str, seeds: list[int]) -> Curve:
    """Mean over the seeds that reached an epoch; early stopping may end some before others."""
    curves = [read_curve(paths.history(model, seed), CURVE_SCORES) for seed in seeds]
    mean = []
    for number in range(max(map(len, curves))):
        rows = [curve[number] for curve in curves if number < len(curve)]
        scores = {name: float(np.mean([row[name] for row in rows])) for name in CURVE_SCORES}
        mean.append({"epoch": number + 1, **scores})
    return mean


def _validation(model: str, params: Params) -> list[dict[str, np.ndarray]]:
    """What each seed predicted on its validation fold, as `train` wrote it."""
    return [read_arrays(paths.validation_predictions(model, seed)) for seed in params.seeds]


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
