"""Confident learning: finding likely wrong labels with networks that did not see the images.

Source: Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
Labels", JAIR 70, arXiv:1911.00068; `cleanlab` is theirs.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelErrors:
    """Labels that are likely wrong.

    Attributes:
        places: int64 [E], indices of the images, the likeliest error first.
        suggested: int64 [E], the classes that the images confidently belong to.
        margins: float64 [E], probability of the label minus the highest of another class.
        joint: int64 [K, K], the confident joint: images by label and confident class.
        share: Estimated share of wrong labels among all.
    """

    places: np.ndarray
    suggested: np.ndarray
    margins: np.ndarray
    joint: np.ndarray
    share: float


def find_label_errors(probabilities: np.ndarray, labels: np.ndarray) -> LabelErrors:
    """Images that are confidently of another class than their label, ranked by normalized margin.

    A label that is still the likeliest class is not called wrong: a class that is seldom recognised
    has a low threshold, which many images reach. `cleanlab` does the same.

    Args:
        probabilities: float [N, K], of networks that were not trained on these images.
        labels: int64 [N].
    """
    confident = confident_classes(probabilities, labels, thresholds(probabilities, labels))
    joint = confident_joint(confident, labels, probabilities.shape[1])
    mistaken = probabilities.argmax(1) != labels
    places = np.flatnonzero((confident >= 0) & (confident != labels) & mistaken)
    margins = normalized_margins(probabilities[places], labels[places])
    order = np.argsort(margins, kind="stable")
    return LabelErrors(
        places[order], confident[places][order], margins[order], joint, error_share(joint, labels)
    )


def thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean probability of each class over the images with that label (equation 2), float64 [K].

    The threshold of a class without images is infinite: no image confidently belongs to it.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    sums = np.bincount(labels, weights=own, minlength=classes)
    counts = np.bincount(labels, minlength=classes)
    return np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)


def confident_classes(
    probabilities: np.ndarray, labels: np.ndarray, least: np.ndarray
) -> np.ndarray:
    """The likeliest class among those that reach their threshold, int64 [N]; -1 if none does."""
    reached = np.where(probabilities >= least - 1e-6, probabilities, -1.0)  # 1e-6: rounding
    return np.where(reached.max(1) >= 0, reached.argmax(1), -1)


def confident_joint(confident: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Counts of images by label and confident class (equation 1), int64 [K, K]."""
    some = confident >= 0
    joint = np.zeros((classes, classes), np.int64)
    np.add.at(joint, (labels[some], confident[some]), 1)
    return joint


def error_share(joint: np.ndarray, labels: np.ndarray) -> float:
    """Share of wrong labels, from the joint with rows scaled to counts of labels (equation 3)."""
    counts, sums = np.bincount(labels, minlength=len(joint)), joint.sum(1)
    right = np.divide(joint.diagonal(), sums, out=np.ones(len(joint)), where=sums > 0)
    return float(1 - (counts * right).sum() / max(1, counts.sum()))


def normalized_margins(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probability of the label minus the highest of another class, float64 [N]."""
    rows = np.arange(len(labels))
    others = probabilities.astype(np.float64)
    own = others[rows, labels]
    others[rows, labels] = -np.inf
    return own - others.max(1)
