"""Findings on validation images: the gain from views, and scores over rotating folds."""

from dataclasses import dataclass

import numpy as np

from thumbnets.evaluation.statistics import Estimate, of_groups, summarise
from thumbnets.evaluation.two_way import paired_gain
from thumbnets.report.results import Results


@dataclass(frozen=True)
class ViewScore:
    """A model on its validation images under one set of views.

    Attributes:
        accuracy: Mean over seeds, a fraction.
        gain: Paired gain of accuracy over a single view; None for the single view itself.
    """

    accuracy: float
    gain: Estimate | None


def view_scores(results: Results) -> dict[str, dict[str, ViewScore]]:
    """The scores of each model of the run, by set of views."""
    folds = _folds_of_seeds(results)
    return {
        model: _by_views(of_model, folds, results.validation_groups[model])
        for model, of_model in results.views.items()
    }


def _by_views(
    correct: dict[str, list[np.ndarray]], folds: list[int], groups: list[np.ndarray] | None
) -> dict[str, ViewScore]:
    # Rotating folds each have their own images: the gain is over the images of all folds in one
    # row. Seeds of the same fold share their images, so their mean counts.
    first = {fold: folds.index(fold) for fold in folds}
    group = groups and groups[0]
    if groups and len(first) > 1:
        of_folds = [groups[seed] for seed in first.values()]
        starts = np.cumsum([0, *(of_fold.max() + 1 for of_fold in of_folds[:-1])])
        group = np.concatenate([of + start for of, start in zip(of_folds, starts, strict=True)])
    rows = {name: of_groups(_table(of, folds), group) for name, of in correct.items()}
    return {
        name: ViewScore(
            accuracy=float(np.mean([np.mean(of_seed) for of_seed in of_seeds])),
            gain=None if name == "none" else paired_gain(rows[name], rows["none"]),
        )
        for name, of_seeds in correct.items()
    }


def _table(of_seeds: list[np.ndarray], folds: list[int]) -> np.ndarray:
    """Scores [S, V] of seeds that share a fold; else seed means of all folds in one row [1, V]."""
    if len(set(folds)) == 1:
        return np.stack(of_seeds)
    return np.concatenate(_means_of_folds(of_seeds, folds))[None]


def _means_of_folds(of_seeds: list[np.ndarray], folds: list[int]) -> list[np.ndarray]:
    """The mean over the seeds that share a fold, for each fold."""
    of_folds: dict[int, list[np.ndarray]] = {}
    for fold, of_seed in zip(folds, of_seeds, strict=True):
        of_folds.setdefault(fold, []).append(of_seed)
    return [np.mean(of_fold, axis=0) for of_fold in of_folds.values()]


@dataclass(frozen=True)
class CrossValidation:
    """Stratified k-fold cross-validation: the validation fold rotates over the seeds.

    Attributes:
        folds: Number of folds.
        covered: Number of folds that were used for validation.
        scores: Mean, sd and t-interval of the accuracy of each model over the folds.
    """

    folds: int
    covered: int
    scores: dict[str, dict[str, float | None]]


def cross_validation(results: Results) -> CrossValidation | None:
    """The scores over folds; None unless the params let the folds rotate."""
    params = results.params
    if not params.split.rotate:
        return None
    return CrossValidation(
        folds=_folds(results),
        covered=len(set(_folds_of_seeds(results))),
        scores={model: _over_folds(results, model) for model in params.run},
    )


def _over_folds(results: Results, model: str) -> dict[str, float | None]:
    """Scores over folds; seeds that share one count by their mean."""
    scores = [np.mean(logits.argmax(1) == labels) for logits, labels in results.validation[model]]
    return summarise(np.array(_means_of_folds(scores, _folds_of_seeds(results))))


def _folds(results: Results) -> int:
    own = results.found["own"]  # own images may have fewer folds than the params say
    return own["folds"] if own else results.params.split.folds


def _folds_of_seeds(results: Results) -> list[int]:
    """The validation fold of each seed."""
    settings = results.params.settings[results.params.model]
    return [settings.validation_fold(seed, _folds(results)) for seed in results.params.seeds]
