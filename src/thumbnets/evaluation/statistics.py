"""What a measured score is worth: intervals over seeds, over images, and of differences."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A value between its bounds."""

    low: float
    high: float


def t_interval(values: np.ndarray) -> Interval | None:
    """Student's 95 % interval of the mean of independent values; None for a single one.

    Args:
        values: float [S], one a seed.
    """
    if len(values) < 2:
        return None
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values)
    return Interval(float(np.mean(values) - half), float(np.mean(values) + half))


def wilson_interval(share: float, n: int) -> Interval:
    """Wilson's 95 % interval of a share that was seen in `n` trials.

    Args:
        share: Fraction of successes; over several seeds, their mean.
        n: Number of test images.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22.
    """
    z = stats.norm.ppf((1 + LEVEL) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Interval(float(centre - half), float(centre + half))


def summarise(values: np.ndarray) -> dict[str, float | None]:
    """Mean, standard deviation (n - 1) and 95 % t-interval over seeds; None where n is 1."""
    interval = t_interval(values)
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "ci_low": interval.low if interval else None,
        "ci_high": interval.high if interval else None,
    }


@dataclass(frozen=True)
class Gain:
    """How much more often one classifier is right than another, on the same images and seeds."""

    mean: float
    low: float
    high: float


def paired_gain(a: np.ndarray, b: np.ndarray) -> Gain:
    """Difference in accuracy of a over b with a 95 % bootstrap interval over images and seeds.

    Images and seeds are drawn with replacement, independently of each other; a pair stays a pair.
    A single seed tells nothing of what new trainings would give, and a few tell too little: with S
    seeds their share of the variance comes out (S - 1) / S as large as it is.

    Args:
        a: bool [S, N], whether a is right, for each seed and image.
        b: bool [S, N], likewise, same seeds and images.

    Source: Efron and Tibshirani 1993, chapter 13 (percentile interval).
    """
    difference = a.astype(np.int8) - b.astype(np.int8)
    seeds, images = difference.shape
    rng = np.random.default_rng(0)
    # Images with the same differences over all seeds are interchangeable, so it is enough to draw
    # how often each pattern occurs.
    patterns, counts = np.unique(difference.T, axis=0, return_counts=True)
    drawn_images = rng.multinomial(images, counts / images, size=_RESAMPLES) / images
    drawn_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=_RESAMPLES) / seeds
    gains = np.einsum("bp,ps,bs->b", drawn_images, patterns, drawn_seeds, optimize=True)
    low, high = np.quantile(gains, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Gain(float(difference.mean()), float(low), float(high))
