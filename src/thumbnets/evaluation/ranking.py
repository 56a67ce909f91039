"""Ranks of a run's classifiers: intervals, probability to be best, groups without a winner."""

from dataclasses import dataclass

import numpy as np

from thumbnets.evaluation.comparisons import Comparison
from thumbnets.evaluation.statistics import LEVEL, drawn_scores

NO_DIFFERENCE = "no difference shown"


@dataclass(frozen=True)
class Rank:
    """The place of a classifier among all, 1 being the best.

    Attributes:
        name: Name of the classifier.
        mean: Mean place over draws of images and seeds; ties share their places.
        low: Best end of the place's 95 % interval.
        high: Worst end of that interval.
        best: Probability that the classifier has the highest mean score; ties share it.
    """

    name: str
    mean: float
    low: float
    high: float
    best: float


def ranks(scores: dict[str, np.ndarray]) -> list[Rank]:
    """Rank classifiers by their mean scores, the best first.

    Images and seeds are drawn with replacement, the same for all classifiers. The draws say how
    well the order is known, not which differences are significant: see `compare` for those. A
    single seed says nothing about new trainings, and a few seeds say too little.

    Args:
        scores: bool or float [S, N] by name, the higher the better; same images. If one has fewer
            rows (an ensemble of several seeds each), the rows of the others are averaged to match.

    Source: Goldstein and Spiegelhalter 1996, J. R. Stat. Soc. A 159 (intervals of ranks).
    """
    names, rows = list(scores), min(map(len, scores.values()))
    alike = [of_one.reshape(rows, -1, of_one.shape[1]).mean(1) for of_one in scores.values()]
    drawn = drawn_scores(np.stack(alike))
    places = np.stack([_places(of_one, drawn) for of_one in drawn.T], axis=1)
    top = drawn == drawn.max(1, keepdims=True)
    best = (top / top.sum(1, keepdims=True)).mean(0)
    low, high = np.quantile(places, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    found = [
        Rank(name, *map(float, of_one))
        for name, *of_one in zip(names, places.mean(0), low, high, best, strict=True)
    ]
    return sorted(found, key=lambda rank: rank.mean)


def _places(scores: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Place of a classifier in each draw, float [draws]; ties share the mean of their places."""
    others = drawn.T - scores
    return (others > 0).sum(0) + ((others == 0).sum(0) + 1) / 2


def indistinct(ranked: list[Rank], comparisons: list[Comparison]) -> list[list[str]]:
    """Largest groups of neighbours by rank in which no pair differs significantly.

    They are the bars of a critical-difference diagram, by the paired tests of the run.

    Args:
        ranked: As `ranks` gives them.
        comparisons: Comparisons of all pairs of these classifiers.

    Source: Demšar 2006, Journal of Machine Learning Research 7, figure 1, where the test is
    Nemenyi's over data sets.
    """
    names = [rank.name for rank in ranked]
    alike = {frozenset((c.a, c.b)) for c in comparisons if c.verdict == NO_DIFFERENCE}
    found: list[list[str]] = []
    end = 0
    for start in range(len(names)):
        last = start + 1
        while last < len(names) and all(
            frozenset((name, names[last])) in alike for name in names[start:last]
        ):
            last += 1
        if last > end and last - start > 1:
            found.append(names[start:last])
        end = max(end, last)
    return found
