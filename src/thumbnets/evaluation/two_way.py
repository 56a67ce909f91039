"""The variance of a mean over seeds and images, and what may be said of that mean."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special  # not stats, whose import takes most of a second

from thumbnets.evaluation.statistics import LEVEL, Estimate

# From so many images on their variance counts as known: Student's quantiles are 0.2 % from normal.
_MANY = 1_000

_STEPS = 1_000  # of the sum over chi-squared values of seeds
_STEPS_OF_BOTH = 400, 128  # of seeds and of images, where both are summed over

# A training's gain varies by its seed at most that many times as much as by its images, or as it
# seems to. Without a bound two or three seeds could not even tell 50 % from 90 %: no estimate of
# theirs rules out what would make that chance.
_MOST = 64


@dataclass(frozen=True)
class TwoWay:
    """A mean of a table of seeds by images that is a sample of both.

    Its variance has two parts, each an estimate: that of seeds with seeds - 1 degrees of freedom,
    that of images with images - 1, which of many is as good as known. `p_value` and `half_width`
    are means over the values that they may have had, so they claim little where the seeds, or the
    groups that stand for images, are few. Of a single image, or group of them, nothing is known but
    the mean: all else is NaN.

    Attributes:
        mean: Mean of the table.
        images: Estimated variance of the mean by the choice of images, with `least`.
        seeds: Estimated variance of the mean by the choice of seeds; 0 for a single seed.
        least: What is known to be the least of `seeds`: that of what neither explains.
        most: What it is taken to be at most.
        shape: Seeds S and images N.

    Source: Tsui and Weerahandi 1989, J. Am. Stat. Assoc. 84 (generalised p-values), of the sum of
    variances of the two-way layout (Hillis, Berbaum and Metz 2008, Academic Radiology 15). As the
    test of Behrens and Fisher, which is the same with a known variance, it keeps its level. The
    bound `most` is ours.
    """

    mean: float
    images: float
    seeds: float
    least: float
    most: float
    shape: tuple[int, int]

    @classmethod
    def of(cls, gain: np.ndarray) -> "TwoWay":
        """Of a float [S, N], a row for each seed."""
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
        """Of the mean squares of images, of seeds and of the rest, each over S N."""
        alone = max(by_image - by_rest, 0.0)
        of_one = alone + shape[0] * by_rest  # variance of one training's mean, by its images
        most = max(_MOST * of_one / shape[0] + by_rest, _MOST * by_seed)
        return cls(mean, by_image, by_seed, by_rest, most, shape)

    def p_value(self) -> float:
        """Two-sided p of a true mean of zero."""
        return float(self._beyond(abs(self.mean)))

    def half_width(self, level: float) -> float:
        """Half the width of the interval of this level: true means whose p is above 1 - level."""
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
    """Mean score of a less that of b, with a 95 % interval over images and seeds.

    The interval holds the gains that `comparisons.paired_test` would not reject at 5 %. A single
    seed tells nothing of what new trainings would give: then it is of images alone.

    Args:
        a: bool or float [S, N], score of each seed and image, the higher the better: whether the
            image is classified correctly, or the log-likelihood of its label.
        b: bool or float [S, N], the same for the other; same seeds and images.

    Source: see `TwoWay`. `docs/statistics.md` has its coverage by simulation.
    """
    table = TwoWay.of(a.astype(float) - b)
    half = table.half_width(LEVEL)
    return Estimate(table.mean, table.mean - half, table.mean + half)


@cache
def _chi_squared(freedom: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of a chi-squared variable on a logarithmic scale, and their weights."""
    half = freedom / 2
    ends = 2 * special.gammaincinv(half, 1e-17), special.chdtri(freedom, 1e-25)
    values = np.exp(np.linspace(*np.log(ends), steps))
    density = special.xlogy(half - 1, values) - values / 2 - special.gammaln(half)
    weights = np.exp(density - np.log(2) * freedom / 2) * values
    return values, weights / weights.sum()
