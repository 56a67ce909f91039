"""Findings on validation images: the gain from views, and scores over rotating folds."""

from dataclasses import dataclass

import numpy as np

from thumbnets.evaluation.statistics import Estimate, of_groups, summarise
from thumbnets.evaluation.two_way import paired_gain
from thumbnets.evaluation.validation import over_folds
from thumbnets.report.results import Results


@dataclass(frozen=True)
class ViewScore:
    """A model on its validation images under one set of views.

    Attributes:
        accuracy: Mean over seeds, or over folds where they rotate, a fraction.
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
    tables = {name: _table(of_seeds, folds, groups) for name, of_seeds in correct.items()}
    return {
        name: ViewScore(
            accuracy=float(np.mean(over_folds(of_seeds, folds))),
            gain=None if name == "none" else paired_gain(tables[name], tables["none"]),
        )
        for name, of_seeds in correct.items()
    }


def _table(
    of_seeds: list[np.ndarray], folds: list[int], groups: list[np.ndarray] | None
) -> np.ndarray:
    """Scores [S, V] of seeds that share a fold, or of the folds [1, F] where there are several."""
    if len(set(folds)) > 1:
        return over_folds(of_seeds, folds)
    return of_groups(np.stack(of_seeds), groups and groups[0])


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
    correct = [logits.argmax(1) == labels for logits, labels in results.validation[model]]
    return summarise(over_folds(correct, _folds_of_seeds(results))[0])


def _folds(results: Results) -> int:
    own = results.found["own"]  # own images may have fewer folds than the params say
    return own["folds"] if own else results.params.split.folds


def _folds_of_seeds(results: Results) -> list[int]:
    """The validation fold of each seed."""
    settings = results.params.settings[results.params.model]
    return [settings.validation_fold(seed, _folds(results)) for seed in results.params.seeds]
