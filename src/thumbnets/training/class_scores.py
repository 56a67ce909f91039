"""Precision, recall and F1 of each class: undefined where there is nothing to score."""

from dataclasses import dataclass

import numpy as np


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts int64 [K, K]: rows are the labels, columns the predictions."""
    flat = np.bincount(labels * classes + predicted, minlength=classes**2)
    return flat.reshape(classes, classes)


@dataclass(frozen=True)
class ClassScores:
    """Scores of each class, float64 [K]; NaN where they are undefined.

    Attributes:
        precision: Share of the images predicted as the class that are of it; undefined if there are
            none.
        recall: Share of the images of the class that are predicted as it; undefined if there are
            none.
        f1: Harmonic mean of the two, 0 where no image of the class is recognised; undefined where
            recall is.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> "ClassScores":
        """The scores of a confusion matrix [K, K]."""
        hits, actual, claimed = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        of_both = np.where(actual > 0, actual + claimed, 0)
        return cls(ratio(hits, claimed), ratio(hits, actual), ratio(2 * hits, of_both))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part divided by whole; NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def mean_of_defined(values: np.ndarray) -> float:
    """Mean of the values that are not NaN, one at least."""
    return float(values[~np.isnan(values)].mean())


def macro_f1(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Mean F1 of the classes that have images.

    Args:
        labels: int64 [N], N at least 1.
        predicted: int64 [N].
        classes: Number of classes.
    """
    return mean_of_defined(ClassScores.of(confusion_matrix(labels, predicted, classes)).f1)
