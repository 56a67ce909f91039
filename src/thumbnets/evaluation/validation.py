"""Validation predictions of a model, by which to choose without looking at test images."""

import numpy as np
from scipy.special import log_softmax

from thumbnets import paths
from thumbnets.artifacts import parsing, read_arrays
from thumbnets.evaluation.predictions import Predictions
from thumbnets.evaluation.views import array_name


def read_validation(slot: str, seeds: list[int], views: str) -> list[Predictions]:
    """Read what each seed of a slot (see `paths`) predicts for its validation images.

    Args:
        slot: Where the predictions lie.
        seeds: Seeds of the run.
        views: Views of an image whose predictions are averaged, a key of `VIEWS`.

    Returns:
        One for each seed.

    Raises:
        ValueError: A file is missing or damaged.
    """
    return [_read(slot, seed, views) for seed in seeds]


def _read(slot: str, seed: int, views: str) -> Predictions:
    file = paths.validation_predictions(slot, seed)
    arrays = read_arrays(file)
    with parsing(file):
        logits, labels = arrays[array_name(views)], arrays["labels"]
        if logits.shape[:-1] != labels.shape or not np.isfinite(logits).all():
            raise ValueError(f"logits must be finite and of {len(labels)} images")
        log_probabilities = log_softmax(logits.astype(float), axis=1)[None]
        return Predictions(log_probabilities, labels, [seed], group=arrays.get("group"))


def joined(runs: list[Predictions]) -> Predictions:
    """Predictions of several seeds for the same validation images.

    Raises:
        ValueError: The seeds have different validation images.
    """
    first = runs[0]
    if not all(np.array_equal(run.labels, first.labels) for run in runs):
        raise ValueError("The seeds were validated on different images: run `dvc repro`.")
    return Predictions(
        np.concatenate([run.log_probabilities for run in runs]),
        first.labels,
        [seed for run in runs for seed in run.seeds],
        group=first.group,
    )


def over_folds(scores: list[np.ndarray], folds: list[int]) -> np.ndarray:
    """Mean score on each fold, float [1, F]: where folds rotate, they are what is sampled.

    Pooling the images of all folds would count the trainings, of which each fold has its own, as
    fixed.

    Args:
        scores: bool or float [V] for each seed, scores of its validation images.
        folds: Fold that each seed was validated on; seeds that share one count by their mean.
    """
    of_folds: dict[int, list[float]] = {}
    for fold, of_seed in zip(folds, scores, strict=True):
        of_folds.setdefault(fold, []).append(of_seed.mean())
    return np.array([[np.mean(of_fold) for of_fold in of_folds.values()]])
