"""The variance of a mean over seeds and images, with p-values and intervals of that mean."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special  # not stats, whose import takes most of a second

from thumbnets.evaluation.statistics import ALPHA, LEVEL, Estimate

DECIMALS = 9  # of log-likelihoods: beyond them is the rounding of an ensemble of one member

# From this many images on, their variance counts as known: Student's quantiles are within 0.2 % of
# normal ones.
_MANY = 1_000

_STEPS = 1_000  # of the sum over chi-squared values of seeds
_STEPS_OF_BOTH = 400, 128  # of seeds and of images, if the sum is over both

# Bound on the variance by seeds, in multiples of the variance of one training by its images or of
# the estimated variance by seeds, whichever is larger. Without it two or three seeds could not even
# tell 50 % from 90 %: their estimate never rules out a variance that makes such a gain chance.
_MOST = 64


@dataclass(frozen=True)
class TwoWay:
    """The mean of a table of seeds by images, both of which are samples.

    Its variance has two estimated parts: that of seeds with seeds - 1 degrees of freedom, and that
    of images with images - 1, which counts as known if images are many. `p_value` and `half_width`
    average over the true values that these variances may have, so they claim little if seeds, or
    the groups that stand for images, are few. For a single image, or a single group, only the mean
    is known: all else is NaN.

    Attributes:
        mean: Mean of the table.
        images: Estimated variance of the mean by the choice of images, including `least`.
        seeds: Estimated variance of the mean by the choice of seeds; 0 for a single seed.
        least: Lower bound of the variance by seeds: the part that neither seeds nor images explain.
        most: Upper bound of the variance by seeds.
        shape: Seeds S and images N.

    Source: Tsui and Weerahandi 1989, J. Am. Stat. Assoc. 84 (generalised p-values), for the sum of
    variances of the two-way layout (Hillis, Berbaum and Metz 2008, Academic Radiology 15). Like the
    Behrens-Fisher test, which is the same with a known variance, it keeps its level. The bound
    `most` is ours.
    """

    mean: float
    images: float
    seeds: float
    least: float
    most: float
    shape: tuple[int, int]

    @classmethod
    def of(cls, gain: np.ndarray) -> "TwoWay":
        """From a table of gains float [S, N], one row per seed."""
        seeds, images = gain.shape
        mean = gain.mean()
        if images == 1:
            return cls(float(mean), math.nan, math.nan, math.nan, math.nan, gain.shape)
        if seeds == 1:
            by_image = float(gain.var(ddof=1) / images)
            return cls(float(mean), by_image, 0.0, 0.0, 0.0, gain.shape)
        of_seed, of_image = gain.mean(1), gain.mean(0)
        rest = gain - of_seed[:, None] - of_image + mean
        by_rest = float((rest**2).sum() / ((seeds - 1) * (images - 1)) / gain.size)
        by_seed = float(of_seed.var(ddof=1) / seeds)
        by_image = float(of_image.var(ddof=1) / images)
        return cls.of_parts(float(mean), by_image, by_seed, by_rest, gain.shape)

    @classmethod
    def of_parts(
        cls, mean: float, by_image: float, by_seed: float, by_rest: float, shape: tuple[int, int]
    ) -> "TwoWay":
        """From the mean squares of images, of seeds and of the rest, each divided by S N."""
        alone = max(by_image - by_rest, 0.0)
        of_one = alone + shape[0] * by_rest  # variance of one training's mean, by its images
        most = max(_MOST * of_one / shape[0] + by_rest, _MOST * by_seed)
        return cls(mean, by_image, by_seed, by_rest, most, shape)

    def p_value(self) -> float:
        """Two-sided p-value of a true mean of zero."""
        return float(self._beyond(abs(self.mean)))

    def half_width(self, level: float) -> float:
        """Half the width of the interval at this level: the true means with p above 1 - level."""
        if math.isnan(self.images):
            return math.nan
        if not self.images + self.seeds + self.least:
            return 0.0
        if self.shape[0] == 1:
            quantile = special.stdtrit(self.shape[1] - 1, (1 + level) / 2)
            return float(quantile * np.sqrt(self.images))
        from scipy import optimize

        upper = np.sqrt(self.images + self.seeds + self.least)
        while self._beyond(upper) > 1 - level:
            upper *= 2
        return float(optimize.brentq(lambda half: self._beyond(half) - (1 - level), 0, upper))

    def _beyond(self, distance: float) -> float:
        """Probability that the mean is at least that far from the true one."""
        seeds, images = self.shape
        if math.isnan(self.images):
            return math.nan
        if not self.images + self.seeds + self.least:
            return float(distance == 0)
        if seeds == 1:
            return 2 * special.stdtr(images - 1, -distance / np.sqrt(self.images))
        few = images < _MANY
        values, of_seeds = _chi_squared(seeds - 1, _STEPS_OF_BOTH[0] if few else _STEPS)
        by_seed = np.clip(self.seeds * (seeds - 1) / values, self.least, self.most)
        by_image, of_images = np.array([self.images]), np.ones(1)
        if few:
            values, of_images = _chi_squared(images - 1, _STEPS_OF_BOTH[1])
            by_image = self.images * (images - 1) / values
        deviation = np.sqrt(np.maximum(by_image - self.least, 0)[:, None] + by_seed)
        return float(of_images @ (2 * special.ndtr(-distance / deviation)) @ of_seeds)


def paired_gain(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Mean score of a minus that of b, with a 95 % interval over images and seeds.

    The interval holds the gains that `comparisons.paired_test` would not reject at 5 %; its ends
    are NaN where that has no p-value. A single seed says nothing about new trainings: the interval
    is then over images alone.

    Args:
        a: bool or float [S, N], score of each seed and image, the higher the better: whether the
            image is classified correctly, or the log-likelihood of its label.
        b: bool or float [S, N], the same for the other; same seeds and images.

    Source: see `TwoWay`. `docs/statistics.md` has its coverage by simulation.
    """
    table = TwoWay.of(a.astype(float) - b)
    half = math.nan if gains_equally(a, b) else table.half_width(LEVEL)
    return Estimate(table.mean, table.mean - half, table.mean + half)


def gains_equally(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether all of a few images or groups show the same gain of two classifiers that differ.

    The estimated variance is then zero, which says nothing: so few could not reach `ALPHA` by their
    signs alone.

    Args:
        a: bool or float [S, N], as for `paired_gain`.
        b: bool or float [S, N], the same for the other.
    """
    gain = a.astype(float) - b
    few = 2.0 ** (1 - gain.shape[1]) > ALPHA
    return few and np.ptp(gain) < 10.0**-DECIMALS and not np.array_equal(a, b)


@cache
def _chi_squared(freedom: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of a chi-squared variable on a logarithmic scale, and their weights."""
    half = freedom / 2
    ends = 2 * special.gammaincinv(half, 1e-17), special.chdtri(freedom, 1e-25)
    values = np.exp(np.linspace(*np.log(ends), steps))
    density = special.xlogy(half - 1, values) - values / 2 - special.gammaln(half)
    weights = np.exp(density - np.log(2) * freedom / 2) * values
    return values, weights / weights.sum()
