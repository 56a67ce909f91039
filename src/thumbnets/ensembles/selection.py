"""Greedy forward selection of ensemble members with replacement.

Source: Caruana et al. 2004, "Ensemble selection from libraries of models", ICML, section 2.
"""

from collections.abc import Callable

import numpy as np

_TOLERANCE = 1e-12  # objectives closer than this are equal: rounding must not choose a member


def least_loss(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """Mean negative log-likelihood in nats, to be made small."""
    return (_nll(probabilities, labels),)


def best_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """Error, to be made small; equal errors, which are common, are ranked by loss."""
    return (
        float(np.mean(probabilities.argmax(1) != labels)),
        _nll(probabilities, labels),
    )


OBJECTIVES: dict[str, Callable[[np.ndarray, np.ndarray], tuple[float, ...]]] = {
    "loss": least_loss,
    "accuracy": best_accuracy,
}


def select(
    probabilities: np.ndarray, labels: np.ndarray, *, objective: str, steps: int
) -> np.ndarray:
    """Choose members one by one, each time the one that makes the mean of probabilities best.

    A member may be chosen again, which gives it more weight. Of the ensembles on the way the best
    one is kept, of equal ones the smallest; among equal members the first is chosen.

    Args:
        probabilities: float [M, N, K] of the members on validation images.
        labels: int64 [N].
        objective: A key of `OBJECTIVES`.
        steps: How many choices are made.

    Returns:
        int64 [M], how often each member was chosen: its weight.
    """
    score = OBJECTIVES[objective]
    total = np.zeros(probabilities.shape[1:])
    chosen: list[int] = []
    scores: list[tuple[float, ...]] = []
    for size in range(1, steps + 1):
        candidates = [score((total + member) / size, labels) for member in probabilities]
        best = _first_best(candidates)
        total += probabilities[best]
        chosen.append(best)
        scores.append(candidates[best])
    kept = chosen[: _first_best(scores) + 1]
    return np.bincount(kept, minlength=len(probabilities))


def _first_best(scores: list[tuple[float, ...]]) -> int:
    """Index of the smallest tuple, the first of those that are equal but for rounding."""
    best = 0
    for index, score in enumerate(scores):
        for value, held in zip(score, scores[best], strict=True):
            if value < held - _TOLERANCE:
                best = index
            if abs(value - held) > _TOLERANCE:
                break
    return best


def _nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    of_label = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, np.finfo(float).tiny)).mean())


def select_members(
    names: list[str], probabilities: np.ndarray, labels: np.ndarray, *, steps: int
) -> dict[str, dict]:
    """Select once for each objective.

    Args:
        names: The members.
        probabilities: float [M, N, K] on validation images.
        labels: int64 [N].
        steps: How many choices are made.

    Returns:
        For each objective: `votes` (how often each chosen member was chosen), and the loss and
        accuracy of the mean of probabilities on the validation images.
    """
    result = {}
    for objective in OBJECTIVES:
        votes = select(probabilities, labels, objective=objective, steps=steps)
        mean = np.tensordot(votes / votes.sum(), probabilities, axes=1)
        result[objective] = {
            "votes": {name: int(v) for name, v in zip(names, votes, strict=True) if v},
            "validation_loss": _nll(mean, labels),
            "validation_accuracy": float(np.mean(mean.argmax(1) == labels)),
        }
    return result
