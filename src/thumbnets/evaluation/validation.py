"""Validation predictions of a model, by which to choose without looking at test images."""

import numpy as np
from scipy.special import log_softmax

from thumbnets import paths
from thumbnets.artifacts import parsing, read_arrays
from thumbnets.evaluation.predictions import Predictions
from thumbnets.evaluation.views import array_name


def read_validation(slot: str, seeds: list[int], views: str) -> Predictions:
    """Read what all seeds of a slot (see `paths`) predict for the validation images.

    Args:
        slot: Where the predictions lie.
        seeds: Seeds of the run.
        views: Views of an image whose predictions are averaged, a key of `VIEWS`.

    Raises:
        ValueError: A file is missing or damaged, or seeds have different validation images.
    """
    files = [paths.validation_predictions(slot, seed) for seed in seeds]
    runs = [read_arrays(file) for file in files]
    for file, run in zip(files, runs, strict=True):
        with parsing(file):
            logits, labels = run[array_name(views)], run["labels"]
            if logits.shape[:-1] != labels.shape or not np.isfinite(logits).all():
                raise ValueError(f"logits must be finite and of {len(labels)} images")
        if not np.array_equal(run["indices"], runs[0]["indices"]):
            raise ValueError(
                "With split.rotate each seed has other validation images: the scores of all folds "
                "are in the report, under Cross-validation."
            )
    logits = np.stack([run[array_name(views)] for run in runs]).astype(float)
    return Predictions(
        log_probabilities=log_softmax(logits, axis=2),
        labels=runs[0]["labels"],
        seeds=seeds,
        group=runs[0].get("group"),
    )
