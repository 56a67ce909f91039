"""Intervals of the scores of each class, and of their means, over test images or groups."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from thumbnets.evaluation.statistics import LEVEL, Interval, wilson_bounds
from thumbnets.training.class_scores import ratio


@dataclass(frozen=True)
class ClassIntervals:
    """95 % intervals of means over seeds; the sample is the test images, or groups of them.

    Attributes:
        precision, recall, f1: One interval per class; None where the score is undefined.
        balanced_accuracy: Interval of the mean recall of the classes that have images.
        accuracy: Interval of the accuracy.
        groups: Number of groups; None where each image is by itself.
    """

    precision: list[Interval | None]
    recall: list[Interval | None]
    f1: list[Interval | None]
    balanced_accuracy: Interval
    accuracy: Interval
    groups: int | None = None


def class_intervals(
    labels: np.ndarray, predicted: np.ndarray, classes: int, group: np.ndarray | None = None
) -> ClassIntervals:
    """Wilson intervals of proportions in a sample of images or of groups.

    F1 has one as well: it is 2 u / (1 + u), where u is the share of hits among the images that
    belong to the class or are predicted as it. The interval of the balanced accuracy combines those
    of the recalls, which rest on different images.

    Args:
        labels: int64 [N].
        predicted: int64 [S, N], predicted classes of each seed.
        classes: Number of classes.
        group: int64 [N], number of the group of each image, from 0; None: each is by itself.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22; Zou, Huang and Zhang 2009, Computational Statistics
    and Data Analysis 53 (sums of proportions); groups by their effective number of images, Dean and
    Pagano 2015, J. Surv. Stat. Methodol. 3.
    """
    of_seeds = [_counts(labels, of_seed, classes, group) for of_seed in predicted]
    hits, actual, claimed = (np.mean(of, axis=0) for of in zip(*of_seeds, strict=True))
    grouped = group is not None
    recall = Sample(hits, actual, grouped)
    precision = Sample(hits, claimed, grouped, _over_seeds(of_seeds, lambda h, _, c: ratio(h, c)))
    f1 = _over_seeds(of_seeds, lambda h, a, c: ratio(2 * h, np.where(a > 0, a + c, 0)))
    union = np.where(actual.sum(0) > 0, actual + claimed - hits, 0)
    either = Sample(hits, union, grouped, None if f1 is None else f1 / (2 - f1))
    low, high = either.bounds()
    return ClassIntervals(
        precision=_intervals(*precision.bounds()),
        recall=_intervals(*recall.bounds()),
        f1=_intervals(2 * low / (1 + low), 2 * high / (1 + high)),
        balanced_accuracy=_of_mean(recall),
        accuracy=_intervals(
            *Sample(hits.sum(1)[:, None], actual.sum(1)[:, None], grouped).bounds()
        )[0],
        groups=len(hits) if grouped else None,
    )


@dataclass(frozen=True)
class Sample:
    """Proportions, with their hits and trials by group, or in one group of all images.

    Attributes:
        hits: float [G, K].
        trials: float [G, K].
        grouped: Whether the groups are the sample; otherwise the images are.
        means: Mean proportion over seeds, float [K], for seeds with different numbers of trials;
            None: hits over trials.
    """

    hits: np.ndarray
    trials: np.ndarray
    grouped: bool
    means: np.ndarray | None = None

    @property
    def total(self) -> np.ndarray:
        """Trials of each proportion, [K]."""
        return self.trials.sum(0)

    @property
    def shares(self) -> np.ndarray:
        """The proportions [K]; NaN without trials."""
        return ratio(self.hits.sum(0), self.total) if self.means is None else self.means

    @property
    def influence(self) -> np.ndarray:
        """Contribution of each group to the error of each proportion, float [G, K]."""
        of_sums = ratio(self.hits.sum(0), self.total)
        return ratio(
            self.hits - of_sums * self.trials, np.broadcast_to(self.total, self.hits.shape)
        )

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends [K]; NaN without trials."""
        groups = (self.trials > 0).sum(0) if self.grouped else None
        variance = (self.influence**2).sum(0) if self.grouped else None
        return _bounds(self.shares, self.total, groups, variance)


def _bounds(
    share: np.ndarray, total: np.ndarray, groups: np.ndarray | None, squares: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval; of groups: for the number of independent images of the same variance."""
    total = np.where(total > 0, total, np.nan)
    if groups is None:
        return wilson_bounds(share, total, special.ndtri((1 + LEVEL) / 2))
    # One group has no variance; if all groups are right (or all wrong), each counts as one image.
    freedom = np.maximum(groups - 1, 1)
    variance = squares * groups / freedom
    effective = ratio(share * (1 - share), variance)
    effective = np.where(np.isnan(effective) | (groups < 2), groups, effective)
    effective = np.where(groups > 0, np.minimum(effective, total), np.nan)
    return wilson_bounds(share, effective, special.stdtrit(freedom, (1 + LEVEL) / 2))


def _of_mean(recall: Sample) -> Interval:
    """The interval of the mean of the recalls that are defined."""
    defined = recall.total > 0
    share, (low, high) = recall.shares[defined], (end[defined] for end in recall.bounds())
    mean, classes = share.mean(), defined.sum()
    low = mean - np.sqrt(((share - low) ** 2).sum()) / classes
    high = mean + np.sqrt(((high - share) ** 2).sum()) / classes
    if recall.grouped:  # a group may have images of several classes: their recalls are correlated
        squares = (recall.influence[:, defined].mean(1) ** 2).sum()
        one, groups = np.array([mean]), np.array([len(recall.hits)])
        ends = _bounds(one, np.array([recall.total.sum()]), groups, np.array([squares]))
        low, high = min(low, ends[0][0]), max(high, ends[1][0])
    return Interval(float(max(low, 0)), float(min(high, 1)))


def _counts(
    labels: np.ndarray, predicted: np.ndarray, classes: int, group: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, images and predictions per group and class, of one seed: float or int [G, K] each."""
    group = np.zeros_like(labels) if group is None else group
    groups = int(group.max()) + 1

    def table(of_class: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        flat = np.bincount(group * classes + of_class, weights, groups * classes)
        return flat.reshape(groups, classes)

    return table(labels, predicted == labels), table(labels), table(predicted)


def _over_seeds(
    of_seeds: list[tuple[np.ndarray, ...]], score: Callable[..., np.ndarray]
) -> np.ndarray | None:
    """Mean of a score over the seeds where it is defined; None for a single seed.

    `score` takes the hits, images and predictions of each class.
    """
    if len(of_seeds) == 1:
        return None
    scores = np.stack([score(*(table.sum(0) for table in tables)) for tables in of_seeds])
    return ratio(np.nansum(scores, axis=0), (~np.isnan(scores)).sum(0))


def _intervals(low: np.ndarray, high: np.ndarray) -> list[Interval | None]:
    """Intervals from their ends [K], clipped to 0..1."""
    return [
        None if np.isnan(a) else Interval(float(max(a, 0)), float(min(b, 1)))
        for a, b in zip(low, high, strict=True)
    ]
