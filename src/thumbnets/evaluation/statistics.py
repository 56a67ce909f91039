"""Statistics of scores: intervals over seeds, over images, and of differences."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

LEVEL = 0.95
ALPHA = 0.01  # level of significance, after Holm's correction
_RESAMPLES = 10_000
_MAX_CELLS = 4_000_000  # values of a table of draws that are held at once


@dataclass(frozen=True)
class Interval:
    """A value between its bounds."""

    low: float
    high: float


def t_interval(values: np.ndarray) -> Interval | None:
    """Student's 95 % interval of the mean of independent values.

    None for a single value, and if all are equal: their spread is then unknown, and an interval of
    width zero would claim too much.

    Args:
        values: float [S], one per seed.
    """
    if len(values) < 2 or np.ptp(values) == 0:
        return None
    half = special.stdtrit(len(values) - 1, (1 + LEVEL) / 2) * _standard_error(values)
    return Interval(float(np.mean(values) - half), float(np.mean(values) + half))


def _standard_error(values: np.ndarray) -> float:
    return np.std(values, ddof=1) / np.sqrt(len(values))


def wilson_interval(share: float, n: float) -> Interval:
    """Wilson's 95 % interval of a proportion that was observed in `n` trials.

    Args:
        share: Fraction of successes; over several seeds, their mean.
        n: Number of test images.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22.
    """
    low, high = wilson_bounds(share, n, special.ndtri((1 + LEVEL) / 2))
    return Interval(float(low), float(high))


def wilson_bounds(
    share: np.ndarray | float, n: np.ndarray | float, z: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of Wilson's interval, for the quantile `z` of its level."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return centre - half, centre + half


def summarise(values: np.ndarray) -> dict[str, float | None]:
    """Mean, standard deviation (n - 1) and 95 % t-interval over seeds; None where there is none."""
    interval = t_interval(values)
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "ci_low": interval.low if interval else None,
        "ci_high": interval.high if interval else None,
    }


def of_groups(scores: np.ndarray, group: np.ndarray | None) -> np.ndarray:
    """Scores of groups of images, which replace those of images where they are drawn or compared.

    Images of a group (a patient, a video) are alike, so the independent sample is the groups. A
    group's score is the sum over its images of the score minus the overall mean, rescaled: the
    variance of the mean is then that of a ratio of two sums, for groups of any size.

    Args:
        scores: bool or float [S, N], score of each seed and image.
        group: int64 [N], number of the group of each image, from 0; None: each is by itself.

    Returns:
        float [S, G], with the mean of each row unchanged; without groups the scores as they are.

    Source: Cochran 1977, Sampling Techniques, section 9A.1 (linearised ratio of clusters).
    """
    if group is None:
        return scores
    excess = scores - scores.mean()
    groups = int(group.max()) + 1
    sums = np.stack([np.bincount(group, of_seed, groups) for of_seed in excess])
    return sums * (groups / len(group)) + scores.mean()


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval over images and seeds; NaN where that is not known."""

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """As a dict for JSON, with None for NaN."""
        return {key: None if math.isnan(of) else of for key, of in vars(self).items()}


def superiority(a: np.ndarray, b: np.ndarray) -> Estimate | None:
    """Probability that a training of a scores better than one of b; None for a single seed.

    It is the share of all pairs (a seed of a, a seed of b) that a wins; ties count half. The
    interval draws images and seeds with replacement, independently of each other: it has width zero
    if every training of a is far better, and is too narrow with few seeds.

    Args:
        a: bool or float [S, N], as for `paired_gain`.
        b: bool or float [S, N], the same for the other.

    Source: Bouthillier et al. 2021, arXiv:2103.03098, section 4 (there with paired seeds).
    """
    seeds = len(a)
    if seeds < 2:
        return None
    rng = np.random.default_rng(0)
    means = _drawn_means(np.concatenate([a, b]).astype(float), rng)
    times = _drawn_seeds(seeds, rng)
    wins = _wins(means[:, :seeds], means[:, seeds:])
    drawn = np.einsum("ds,dst,dt->d", times, wins, times) / seeds**2  # exactly 1 if a wins all
    return _estimate(_wins(a.mean(1), b.mean(1)).mean(), drawn)


def drawn_scores(scores: np.ndarray) -> np.ndarray:
    """Mean scores float [draws, M] over images and seeds that are drawn with replacement.

    Args:
        scores: float [M, S, N]; a draw has the same images and seeds for all M.
    """
    models, seeds, images = scores.shape
    rng = np.random.default_rng(0)
    means = _drawn_means(scores.reshape(models * seeds, images), rng)
    weights = _drawn_seeds(seeds, rng) / seeds
    return np.einsum("dms,ds->dm", means.reshape(-1, models, seeds), weights)


def _wins(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pairs of scores float [..., S]: 1 where a's is higher, 1/2 where equal: float [..., S, S]."""
    above, equal = a[..., :, None] > b[..., None, :], a[..., :, None] == b[..., None, :]
    return above + 0.5 * equal


def _drawn_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means float [draws, C] of rows float [C, N] over images drawn with replacement."""
    # Images with the same values are interchangeable, so it is enough to draw how often each
    # pattern occurs.
    patterns, counts = np.unique(values.T, axis=0, return_counts=True)
    images = values.shape[1]
    at_once = -(-_MAX_CELLS // len(counts))
    sizes = [min(at_once, _RESAMPLES - done) for done in range(0, _RESAMPLES, at_once)]
    return np.concatenate([_occurrences(counts, n, rng) @ patterns for n in sizes]) / images


def _occurrences(counts: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each pattern is drawn, int64 [draws, P]; `counts` int64 [P] are its images."""
    images = int(counts.sum())
    if 10 * len(counts) < images:
        return rng.multinomial(images, counts / images, size=draws)
    # With many patterns it is quicker to draw images.
    pattern = np.repeat(np.arange(len(counts)), counts)
    drawn = (pattern[rng.integers(images, size=images)] for _ in range(draws))
    return np.stack([np.bincount(of_draw, minlength=len(counts)) for of_draw in drawn])


def _drawn_seeds(seeds: int, rng: np.random.Generator) -> np.ndarray:
    """How often each seed is drawn with replacement, int64 [draws, S]."""
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=_RESAMPLES)


def _estimate(mean: float, drawn: np.ndarray) -> Estimate:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(mean), float(low), float(high))
