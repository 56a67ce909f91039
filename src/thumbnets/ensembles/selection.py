"""Ensemble selection: choosing members one by one, with replacement, from a library of models.

Source: Caruana et al. 2004, "Ensemble selection from libraries of models", ICML, section 2; pruning
of the library: Caruana, Munson and Niculescu-Mizil 2006, "Getting the most out of ensemble
selection", ICDM, section 4.
"""

from collections.abc import Callable
from math import ceil

import numpy as np

from thumbnets.training.class_scores import macro_f1

_TOLERANCE = 1e-12  # objectives closer than this are equal: rounding must not choose a member

_BAGS = 20
_LIBRARY_FRACTION = 0.8  # share of all members, the best ones, from which bags are drawn
_BAG_FRACTION = 0.5  # share of the library that is drawn for each bag

Score = tuple[float, ...]


def least_loss(probabilities: np.ndarray, labels: np.ndarray) -> Score:
    """Mean negative log-likelihood in nats, to be minimised."""
    return (nll(probabilities, labels),)


def best_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> Score:
    """Error, to be minimised; equal errors, which are common, are ranked by loss."""
    return (float(np.mean(probabilities.argmax(1) != labels)), nll(probabilities, labels))


def best_macro_f1(probabilities: np.ndarray, labels: np.ndarray) -> Score:
    """Negated macro F1, to be minimised; equal ones are ranked by loss."""
    predicted = probabilities.argmax(1)
    return (-macro_f1(labels, predicted, probabilities.shape[1]), nll(probabilities, labels))


OBJECTIVES: dict[str, Callable[[np.ndarray, np.ndarray], Score]] = {
    "loss": least_loss,
    "accuracy": best_accuracy,
    "macro_f1": best_macro_f1,
}


def nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats; finite also where a label has probability 0."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, np.finfo(float).tiny)).mean())


def rank(probabilities: np.ndarray, labels: np.ndarray, *, objective: str) -> list[int]:
    """Rank members by their own scores, the best first; equal ones stay in their order.

    Args:
        probabilities: float [M, N, K] of the members on validation images.
        labels: int64 [N].
        objective: Name of the objective, a key of `OBJECTIVES`.
    """
    scores = {m: OBJECTIVES[objective](p, labels) for m, p in enumerate(probabilities)}
    ranked = []
    while scores:
        waiting = list(scores)
        ranked.append(waiting[_first_best(list(scores.values()))])
        del scores[ranked[-1]]
    return ranked


def select(
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    objective: str,
    steps: int,
    begin: list[int] | None = None,
) -> np.ndarray:
    """Choose members one by one, each time the one that improves the mean of probabilities most.

    A member may be chosen again, which gives it more weight. The best ensemble of any size is kept,
    the smallest of equal ones; among equal members the first one is chosen.

    Args:
        probabilities: float [M, N, K] of the members on validation images.
        labels: int64 [N].
        objective: Name of the objective, a key of `OBJECTIVES`.
        steps: Number of choices, including those of `begin`.
        begin: Indices of members that are chosen beforehand.

    Returns:
        int64 [M], how often each member was chosen: its weight.
    """
    score = OBJECTIVES[objective]
    chosen = list(begin or [])
    total = probabilities[chosen].sum(0)
    scores = [score(total / len(chosen), labels)] if chosen else []
    smallest = max(len(chosen), 1)
    for size in range(len(chosen) + 1, steps + 1):
        candidates = [score((total + member) / size, labels) for member in probabilities]
        best = _first_best(candidates)
        total = total + probabilities[best]
        chosen.append(best)
        scores.append(candidates[best])
    selected = chosen[: smallest + _first_best(scores)]
    return np.bincount(selected, minlength=len(probabilities))


def sorted_start(
    probabilities: np.ndarray, labels: np.ndarray, *, objective: str, most: int
) -> list[int]:
    """Sorted initialisation: the best members, in the number with the best mean of probabilities.

    Args:
        probabilities: float [M, N, K] of the members on validation images.
        labels: int64 [N].
        objective: Name of the objective, a key of `OBJECTIVES`.
        most: Largest number of members.
    """
    ranked = rank(probabilities, labels, objective=objective)[:most]
    sizes = np.arange(1, len(ranked) + 1)[:, None, None]
    means = probabilities[ranked].cumsum(0) / sizes
    return ranked[: _first_best([OBJECTIVES[objective](mean, labels) for mean in means]) + 1]


def select_in_bags(
    probabilities: np.ndarray, labels: np.ndarray, *, objective: str, steps: int
) -> np.ndarray:
    """Mean weights of selections from bags: random halves (two or more) of the better members.

    A selection from all members may overfit the validation images; the mean over bags is more
    robust. Each selection begins with `sorted_start`. Bags are drawn from the members' ranks, so
    the order of the pool does not matter.

    Args:
        probabilities: float [M, N, K] of the members on validation images.
        labels: int64 [N].
        objective: Name of the objective, a key of `OBJECTIVES`.
        steps: Number of choices from each bag.

    Returns:
        float [M], sums to 1.
    """
    ranked = rank(probabilities, labels, objective=objective)
    library = np.array(ranked[: ceil(_LIBRARY_FRACTION * len(ranked))])
    size = min(
        len(library), max(2, ceil(_BAG_FRACTION * len(library)))
    )  # a single member leaves no choice
    rng = np.random.default_rng(0)
    weights = np.zeros(len(probabilities))
    for _ in range(_BAGS):
        drawn = rng.choice(len(library), size, replace=False)
        bag = library[np.sort(drawn)]
        begin = sorted_start(probabilities[bag], labels, objective=objective, most=steps)
        votes = select(probabilities[bag], labels, objective=objective, steps=steps, begin=begin)
        weights[bag] += votes / votes.sum() / _BAGS
    return weights


def _first_best(scores: list[Score]) -> int:
    """Index of the smallest tuple, the first of those that are equal up to rounding."""
    best = 0
    for index, score in enumerate(scores):
        for value, held in zip(score, scores[best], strict=True):
            if value < held - _TOLERANCE:
                best = index
            if abs(value - held) > _TOLERANCE:
                break
    return best
