"""Intervals of the scores of classes, by hand, by bootstrap, and by how often they hold."""

import numpy as np
import pytest
from scipy import stats

from thumbnets.evaluation.by_class import class_intervals
from thumbnets.evaluation.statistics import wilson_interval

LABELS = np.array([0] * 8 + [1] * 4)
PREDICTED = np.array([[0] * 6 + [1] * 2 + [1] * 3 + [0]])  # 6 of 8, and 3 of 4


def ends(interval) -> tuple[float, float]:
    return interval.low, interval.high


def test_precision_and_recall_have_wilsons_interval_of_their_images():
    found = class_intervals(LABELS, PREDICTED, 3)
    assert ends(found.recall[0]) == pytest.approx(ends(wilson_interval(6 / 8, 8)))
    assert ends(found.recall[1]) == pytest.approx(ends(wilson_interval(3 / 4, 4)))
    assert ends(found.precision[0]) == pytest.approx(ends(wilson_interval(6 / 7, 7)))
    assert ends(found.precision[1]) == pytest.approx(ends(wilson_interval(3 / 5, 5)))
    assert ends(found.accuracy) == pytest.approx(ends(wilson_interval(9 / 12, 12)))
    assert found.recall[2] is found.precision[2] is found.f1[2] is None  # no image, no claim


def test_f1_has_wilsons_interval_of_what_it_rests_on():
    f1 = class_intervals(LABELS, PREDICTED, 2).f1[0]
    # 6 hits of the 9 images that are of class 0 or taken for it: F1 is 2 * 6 / (8 + 7).
    share = wilson_interval(6 / 9, 9)
    assert ends(f1) == pytest.approx([2 * u / (1 + u) for u in ends(share)])
    assert f1.low < 12 / 15 < f1.high


def test_a_class_taken_for_but_without_images_has_a_precision_alone():
    found = class_intervals(np.zeros(4, int), np.array([[0, 0, 1, 1]]), 2)
    assert found.precision[1].low == 0 and found.recall[1] is found.f1[1] is None
    assert ends(found.balanced_accuracy) == pytest.approx(ends(wilson_interval(0.5, 4)))


def test_the_interval_of_f1_is_near_that_of_a_bootstrap():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 900, p=[0.7, 0.2, 0.1])
    predicted = np.where(rng.random(900) < 0.8, labels, rng.integers(0, 3, 900))
    found = class_intervals(labels, predicted[None], 3)
    drawn = rng.integers(900, size=(2_000, 900))
    a, b = labels[drawn], predicted[drawn]
    for of in range(3):
        f1 = 2 * ((a == of) & (b == of)).sum(1) / ((a == of).sum(1) + (b == of).sum(1))
        assert ends(found.f1[of]) == pytest.approx(np.quantile(f1, [0.025, 0.975]), abs=0.015)
    recalls = np.mean([((a == of) & (b == of)).sum(1) / (a == of).sum(1) for of in range(3)], 0)
    expected = np.quantile(recalls, [0.025, 0.975])
    assert ends(found.balanced_accuracy) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("grouped", [False, True])
def test_of_seeds_that_claim_more_or_less_it_holds_the_mean(grouped):
    """Class 1 is claimed once by one seed and right, by the other 40 times and right once."""
    labels = np.array([1] + [0] * 60)
    rare, often = np.zeros((2, 61), int)
    rare[0], often[:40] = 1, 1
    group = np.arange(61) // 2 if grouped else None
    found = class_intervals(labels, np.stack([rare, often]), 2, group)
    precision, f1 = (1 + 1 / 40) / 2, (1 + 2 / 41) / 2
    assert found.precision[1].low < precision < found.precision[1].high
    assert found.f1[1].low < f1 < found.f1[1].high
    if not grouped:
        assert ends(found.precision[1]) == pytest.approx(ends(wilson_interval(precision, 20.5)))


def test_over_seeds_it_is_of_the_mean():
    one, other = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    found = class_intervals(np.array([0, 0, 1, 1]), np.stack([one, other]), 2)
    assert ends(found.recall[0]) == pytest.approx(ends(wilson_interval(0.75, 2)))
    assert ends(found.precision[1]) == pytest.approx(ends(wilson_interval((1 + 2 / 3) / 2, 2.5)))


def test_groups_by_hand():
    """Four groups of two images, right on 2, 2, 2 and 0 of them: as four images, not eight."""
    labels, predicted = np.zeros(8, int), np.array([[0] * 6 + [1] * 2])
    found = class_intervals(labels, predicted, 2, np.repeat(np.arange(4), 2))
    # Variance of the mean of 1, 1, 1, 0: 0.1875 * 4 / 3 / 4 = 1 / 16, that of three images.
    z, n, p = stats.t.ppf(0.975, 3), 3, 0.75
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    assert ends(found.accuracy) == pytest.approx((centre - half, centre + half))
    assert found.groups == 4


def test_groups_that_are_all_right_count_one_each_and_one_alone_tells_nothing():
    zeros = np.zeros(60, int)
    found = class_intervals(zeros, zeros[None], 1, np.repeat(np.arange(20), 3))
    z = stats.t.ppf(0.975, 19)
    assert ends(found.recall[0]) == pytest.approx((20 / (20 + z**2), 1))
    alone = class_intervals(zeros, zeros[None], 1, zeros)
    assert alone.accuracy.low < 0.01 and alone.accuracy.high == 1


@pytest.mark.parametrize("few", [False, True])
def test_intervals_hold_where_images_of_a_group_are_alike(few):
    """40 patients of 1 to 11 images; one is recognised on nearly all of them, another on few."""
    rng, held = np.random.default_rng(0), {True: [], False: []}
    groups, classes = (12, 1) if few else (40, 2)
    for _ in range(250):
        group = np.repeat(np.arange(groups), rng.integers(1, 12, groups))
        labels = rng.integers(0, classes, len(group))
        right = rng.random(len(group)) < rng.beta(2, 0.5, groups)[group]
        predicted = np.where(right, labels, classes)[None]
        for grouped in (True, False):
            found = class_intervals(labels, predicted, classes + 1, group if grouped else None)
            of = [found.accuracy, found.balanced_accuracy, found.recall[0]]
            held[grouped].append([i.low <= 0.8 <= i.high for i in of])
    assert (np.mean(held[True], 0) > 0.92).all() and (np.mean(held[False], 0) < 0.9).all()
    assert (np.mean(held[True], 0) < 0.99).all()  # nor is it too wide
