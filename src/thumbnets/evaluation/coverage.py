"""Coverage against accuracy: the gain from leaving images without an answer.

Source: Geifman and El-Yaniv 2017, arXiv:1705.08500: selective classification by the largest
probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thumbnets.evaluation.calibration import fit_temperature
from thumbnets.evaluation.metrics import to_probabilities


@dataclass(frozen=True)
class Coverage:
    """A classifier that answers only above a limit of probability, for each limit.

    Attributes:
        limits: float [L], descending: the calibrated probabilities of the predicted class that
            occur. Images whose probability is at least the limit get an answer.
        coverage: float [L], share of images that get an answer.
        accuracy: float [L], share of the answers that are right.
    """

    limits: np.ndarray
    coverage: np.ndarray
    accuracy: np.ndarray

    def at(self, limit: float) -> tuple[float, float | None]:
        """Coverage and accuracy at a limit; 0 and None if no image gets an answer."""
        answered = int(np.searchsorted(-self.limits, -limit, side="right"))
        if not answered:
            return 0.0, None
        return float(self.coverage[answered - 1]), float(self.accuracy[answered - 1])


def coverage(validation: Sequence[tuple[np.ndarray, np.ndarray]]) -> Coverage:
    """The curve over the validation images of all seeds; each seed has its own temperature.

    Args:
        validation: Logits float [V, K] and labels int64 [V] of the validation fold of each seed.
    """
    sure, right = [], []
    for logits, labels in validation:
        scaled = logits.astype(float) / fit_temperature(logits, labels)
        sure.append(to_probabilities(scaled).max(1))
        right.append(logits.argmax(1) == labels)
    confidence, correct = np.concatenate(sure), np.concatenate(right)
    order = np.argsort(-confidence, kind="stable")
    confidence, answered = confidence[order], np.arange(1, len(order) + 1)
    # Images of equal probability are answered together, so the last of them counts.
    last = np.append(np.flatnonzero(np.diff(confidence)), len(order) - 1)
    found = np.cumsum(correct[order]) / answered
    return Coverage(confidence[last], answered[last] / len(order), found[last])
