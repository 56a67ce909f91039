"""Scores of one set of predictions."""

import numpy as np
from scipy.special import log_softmax, softmax

from thumbnets.training.class_scores import ClassScores, confusion_matrix, mean_of_defined

UNEVEN = 1.5  # ratio of the commonest to the rarest class above which classes are uneven

# Scores with one value per class.
BY_CLASS = ("precision", "recall", "f1")

Scores = dict[str, float | list[float | None]]


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
    """The bin of [0, 1] that each confidence lies in, int64 [N]; a bin includes its upper edge."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def uneven(counts: np.ndarray) -> bool:
    """Whether the commonest class has more than `UNEVEN` times as many images as the rarest.

    Args:
        counts: int [K], images of each class.
    """
    return bool(max(counts) > UNEVEN * min(counts))


def score_probabilities(probabilities: np.ndarray, labels: np.ndarray, *, ece_bins: int) -> Scores:
    """All scores of predicted probabilities.

    Args:
        probabilities: float [N, K], rows sum to 1.
        labels: int64 [N].
        ece_bins: Bins of the calibration error.

    Returns:
        accuracy, error, top2 (fractions), nll (nats), ece, macro_f1 (fractions), and precision,
        recall and f1, one fraction per class, None where it is undefined (see `ClassScores`). Means
        over classes skip classes without images. If classes are uneven, also `balanced_accuracy`,
        the mean recall; for two classes that both have images, also `auc`.
    """
    return score_log_probabilities(to_log_probabilities(probabilities), labels, ece_bins=ece_bins)


def score_logits(logits: np.ndarray, labels: np.ndarray, *, ece_bins: int) -> Scores:
    """As `score_probabilities`, from class scores before the softmax."""
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    return score_log_probabilities(log_probabilities, labels, ece_bins=ece_bins)


def score_log_probabilities(
    log_probabilities: np.ndarray, labels: np.ndarray, *, ece_bins: int
) -> Scores:
    """As `score_probabilities`, from log-probabilities, which are finite for the true classes."""
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
    of_classes = ClassScores.of(matrix)
    balanced = {"balanced_accuracy": mean_of_defined(of_classes.recall)}
    return {
        "accuracy": float(correct.mean()),
        "error": float(1 - correct.mean()),
        "top2": float((ranked_higher.sum(1) < 2).mean()),
        "nll": float(-of_label.mean()),
        "ece": calibration_error(np.exp(log_probabilities.max(1)), correct, ece_bins),
        "macro_f1": mean_of_defined(of_classes.f1),
        **{name: _or_none(getattr(of_classes, name)) for name in BY_CLASS},
        **(balanced if uneven(matrix.sum(1)) else {}),
        **({"auc": area_under_curve(np.diff(log_probabilities)[:, 0], labels)} if two else {}),
    }


def _or_none(values: np.ndarray) -> list[float | None]:
    """Values with None for NaN, which JSON does not have."""
    return [None if np.isnan(value) else float(value) for value in values]


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive example scores higher than a negative one.

    Args:
        scores: float [N]; equal ones count half.
        labels: bool or int [N], 1 for a positive example; both values occur.

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
