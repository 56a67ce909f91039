"""Comparisons of classifiers: McNemar's test, and tests paired over test images and seeds."""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from thumbnets.evaluation.statistics import ALPHA, Estimate, superiority
from thumbnets.evaluation.two_way import DECIMALS, TwoWay, gains_equally, paired_gain


def mcnemar(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p-value of the exact McNemar test of two trainings on the same images.

    Args:
        a: bool [N], whether one training classifies each image correctly.
        b: bool [N], whether the other does.

    Source: Dietterich 1998, Neural Computation 10, section 3.1; exact: the binomial distribution
    of the images that only one of the two classifies correctly.
    """
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    tosses = only_a + only_b
    ways, extreme = 1, 0  # ways to get `heads` heads, and at most that many: exact integers
    for heads in range(min(only_a, only_b) + 1):
        extreme += ways
        ways = ways * (tosses - heads) // (heads + 1)
    return min(1.0, 2 * extreme / 2**tosses)


def paired_test(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p-value of a mean gain of zero, with both images and seeds as random samples.

    The seeds share their images, so their results are not independent: one McNemar test of all of
    them would give p-values that are too small. With a single seed this is Student's paired test
    over images. `docs/statistics.md` has simulated type I error rates.

    Args:
        a: bool or float [S, N], score of each seed and image.
        b: bool or float [S, N], the same for the other; same seeds and images.

    Returns:
        The p-value; NaN if only the mean is known: for one image or group, or few that gain alike.

    Source: see `TwoWay`.
    """
    return math.nan if gains_equally(a, b) else TwoWay.of(a.astype(float) - b).p_value()


def pair_p(a: np.ndarray, b: np.ndarray) -> float:
    """p-value: of the exact McNemar test for accuracies of one seed, else of `paired_test`.

    Args:
        a: bool or float [S, N], as for `paired_test`.
        b: bool or float [S, N], the same for the other.
    """
    accuracies = a.dtype == bool and b.dtype == bool
    return mcnemar(a[0], b[0]) if accuracies and len(a) == 1 else paired_test(a, b)


def holm(p: list[float]) -> list[float]:
    """p-values adjusted for multiple tests, to control the family-wise error rate.

    Source: Holm 1979, Scand. J. Stat. 6, in the form of adjusted p-values.
    """
    order = np.argsort(p, kind="stable")
    scaled = np.sort(p) * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted.tolist()


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same images and seeds.

    Attributes:
        a: Name of one classifier.
        b: Name of the other.
        gain: Mean score of a minus that of b.
        p: p-value of no gain from `pair_p`, after Holm's correction for all pairs of the table that
            differ: an ensemble of one member and that member are one classifier.
        mcnemar: p-value of the exact McNemar test, median over seeds, not corrected; None for
            scores other than accuracy, and for the mean accuracy of an ensemble's seeds. It is
            about these trainings, not about new ones.
        superiority: Probability that a training of a scores better than one of b; None for a
            single seed, or a single ensemble. Without bounds where up to four seeds would give
            them no width.
    """

    a: str
    b: str
    gain: Estimate
    p: float
    mcnemar: float | None
    superiority: Estimate | None

    @property
    def verdict(self) -> str:
        """Verdict on a: `better`, `worse` or `no difference shown`."""
        return verdict(self.gain.mean, self.p)


def verdict(gain: float, p: float) -> str:
    """Verdict on a gain with its corrected p-value."""
    if not p < ALPHA:  # also where p is NaN, as for a single group of images
        return "no difference shown"
    return "better" if gain > 0 else "worse"


def compare(scores: dict[str, np.ndarray]) -> list[Comparison]:
    """Compare all pairs of classifiers, in the order of their names.

    Args:
        scores: bool or float [S, N] by name, the higher the better; same seeds and images. An
            ensemble of several seeds has fewer rows.
    """
    scores = {
        name: of if of.dtype == bool else np.round(of, DECIMALS) for name, of in scores.items()
    }
    pairs = list(combinations(scores, 2))
    paired = [_paired(scores[a], scores[b]) for a, b in pairs]
    mcnemars = [_mcnemar_of_seeds(*of_pair) for of_pair in paired]
    p = _adjusted(paired)
    return [
        Comparison(
            a=a,
            b=b,
            gain=paired_gain(*of_pair),
            p=adjusted,
            mcnemar=alone,
            superiority=_superiority(*of_pair),
        )
        for (a, b), of_pair, adjusted, alone in zip(pairs, paired, p, mcnemars, strict=True)
    ]


def _superiority(a: np.ndarray, b: np.ndarray) -> Estimate | None:
    """As `superiority`, but without an interval of zero width that a few seeds leave."""
    found, seeds = superiority(a, b), len(a)
    if found is None or found.low < found.high or np.array_equal(a, b):
        return found
    by_chance = 2 / math.comb(2 * seeds, seeds)  # that all seeds of one are ahead
    return Estimate(found.mean, math.nan, math.nan) if by_chance > ALPHA else found


def _adjusted(paired: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """p-values after Holm's correction: a repeated pair is one test, and equal scores are none."""
    keys = [frozenset((a.tobytes(), b.tobytes())) for a, b in paired]
    tests = {key: pair_p(*pair) for key, pair in zip(keys, paired, strict=True) if len(key) == 2}
    adjusted = dict(zip(tests, holm(list(tests.values())), strict=True))
    return [adjusted.get(key, 1.0) for key in keys]


def _paired(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring both to the same number of rows, by means over the seeds of each ensemble."""
    rows = min(len(a), len(b))
    a, b = (
        scores if len(scores) == rows else scores.reshape(rows, -1, scores.shape[1]).mean(1)
        for scores in (a, b)
    )
    return a, b


def _mcnemar_of_seeds(a: np.ndarray, b: np.ndarray) -> float | None:
    if a.dtype != bool or b.dtype != bool:
        return None
    return float(np.median([mcnemar(*of_seed) for of_seed in zip(a, b, strict=True)]))
