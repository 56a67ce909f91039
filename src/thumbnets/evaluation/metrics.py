"""Scores of one set of predictions."""

import numpy as np
from scipy.special import log_softmax, softmax


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Expected calibration error of the predicted class, over bins of equal width.

    Args:
        confidence: float [N], probability of the predicted class.
        correct: bool [N].
        bins: Number of bins of [0, 1].

    Source: Guo et al. 2017, arXiv:1706.04599, eq. 5.
    """
    gap = np.bincount(bin_of(confidence, bins), correct.astype(float) - confidence, bins)
    return float(np.abs(gap).sum() / len(confidence))


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The bin of [0, 1] that each confidence lies in, int64 [N]; a bin holds its upper edge."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts int64 [K, K]: rows are the labels, columns the predictions."""
    flat = np.bincount(labels * classes + predicted, minlength=classes**2)
    return flat.reshape(classes, classes)


def score_probabilities(
    probabilities: np.ndarray, labels: np.ndarray, *, ece_bins: int
) -> dict[str, float | list[float]]:
    """All scores of predicted probabilities.

    Args:
        probabilities: float [N, K], rows sum to 1.
        labels: int64 [N].
        ece_bins: Bins of the calibration error.

    Returns:
        accuracy, error, top2 (fractions), nll (nats), ece, macro_f1 (fractions), and recall, one
        fraction per class. A class without images has recall and F1 of 0. Of two classes that both
        have images also `auc`.
    """
    return score_log_probabilities(to_log_probabilities(probabilities), labels, ece_bins=ece_bins)


def score_logits(
    logits: np.ndarray, labels: np.ndarray, *, ece_bins: int
) -> dict[str, float | list[float]]:
    """As `score_probabilities`, from class scores before the softmax."""
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    return score_log_probabilities(log_probabilities, labels, ece_bins=ece_bins)


def score_log_probabilities(
    log_probabilities: np.ndarray, labels: np.ndarray, *, ece_bins: int
) -> dict[str, float | list[float]]:
    """As `score_probabilities`, from log-probabilities; those of true classes are finite."""
    n, classes = log_probabilities.shape
    predicted = log_probabilities.argmax(1)
    correct = predicted == labels
    of_label = log_probabilities[np.arange(n), labels]
    # Among equal scores the lower class is ranked first, as in argmax.
    ranked_higher = (log_probabilities > of_label[:, None]) | (
        (log_probabilities == of_label[:, None]) & (np.arange(classes) < labels[:, None])
    )
    matrix = confusion_matrix(labels, predicted, classes)
    two = classes == 2 and 0 < labels.sum() < n
    correct_counts, actual, claimed = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    return {
        "accuracy": float(correct.mean()),
        "error": float(1 - correct.mean()),
        "top2": float((ranked_higher.sum(1) < 2).mean()),
        "nll": float(-of_label.mean()),
        "ece": calibration_error(np.exp(log_probabilities.max(1)), correct, ece_bins),
        "macro_f1": float((2 * correct_counts / np.maximum(actual + claimed, 1)).mean()),
        "recall": (correct_counts / np.maximum(actual, 1)).tolist(),
        **({"auc": area_under_curve(np.diff(log_probabilities)[:, 0], labels)} if two else {}),
    }


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive example scores higher than a negative one.

    Args:
        scores: float [N]; equal ones count half.
        labels: bool or int [N], 1 of a positive example; both occur.

    Source: Mann and Whitney 1947; Hanley and McNeil 1982, Radiology 143(1).
    """
    from scipy.stats import rankdata  # takes most of a second, and only two classes need it

    positive = labels.astype(bool)
    p, n = positive.sum(), (~positive).sum()
    return float((rankdata(scores)[positive].sum() - p * (p + 1) / 2) / (p * n))


def to_log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities; zeros (underflow) are replaced by the smallest normal float."""
    return np.log(np.maximum(probabilities, np.finfo(float).tiny))


def to_probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax in double precision over the last axis."""
    return softmax(logits.astype(np.float64), axis=-1)
