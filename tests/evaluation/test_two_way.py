"""Gains over seeds and images: their interval and p, against scipy and by simulation."""

import numpy as np
import pytest
from scipy import stats

from thumbnets.evaluation.two_way import TwoWay, paired_gain


def pair(seeds: int, images: int, a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """Two classifiers that are right on much the same images."""
    rng = np.random.default_rng(seeds)
    hardness = rng.random(images)
    noise = rng.normal(0, 0.1, (2, seeds, images))
    return hardness + noise[0] < a, hardness + noise[1] < b


def test_gain_of_one_seed_is_close_to_the_normal_paired_interval():
    a, b = pair(1, 10_000, 0.9, 0.89)
    gain = paired_gain(a, b)
    difference = a[0].astype(float) - b[0]
    half = 1.959964 * difference.std(ddof=1) / np.sqrt(10_000)
    assert gain.mean == pytest.approx(difference.mean())
    assert gain.low == pytest.approx(gain.mean - half, abs=0.05 * half)
    assert gain.high == pytest.approx(gain.mean + half, abs=0.05 * half)


def test_pairing_narrows_the_interval():
    a, b = pair(1, 10_000, 0.9, 0.89)
    paired = paired_gain(a, b)
    apart = paired_gain(a, np.roll(b, 1, axis=1))
    assert apart.mean == paired.mean
    assert paired.high - paired.low < 0.9 * (apart.high - apart.low)


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_gain_contains_its_mean_and_turns_with_the_order(seeds):
    a, b = pair(seeds, 2_000, 0.9, 0.85)
    there, back = paired_gain(a, b), paired_gain(b, a)
    assert there.low <= there.mean <= there.high
    assert there.mean == pytest.approx(a.mean() - b.mean())
    assert back.mean == pytest.approx(-there.mean)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


def test_seeds_that_disagree_widen_the_interval():
    a = np.zeros((2, 1_000), bool)
    a[0, :100] = True  # better by 10 points with one seed, equal with the other
    gain = paired_gain(a, np.zeros_like(a))
    assert gain.mean == pytest.approx(0.05)
    half = 12.7062 * 0.05  # t of one degree of freedom: two seeds say little
    assert 0.5 * half < gain.high - 0.05 < half and gain.low < 0
    one = paired_gain(a.any(0, keepdims=True)[:, ::2], np.zeros((1, 500), bool))
    assert one.high - one.low < gain.high - gain.low


def test_classifiers_that_are_alike_have_no_gain():
    a = pair(3, 500, 0.9, 0.9)[0]
    gain = paired_gain(a, a)
    assert (gain.mean, gain.low, gain.high) == (0, 0, 0)
    always = paired_gain(np.ones((1, 50), bool), np.zeros((1, 50), bool))
    assert (always.mean, always.low, always.high) == (1, 1, 1)


def test_coverage_of_the_gain_is_about_95_percent():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        a, b = rng.random((1, 300)) < 0.8, rng.random((1, 300)) < 0.7
        gain = paired_gain(a, b)
        hits += gain.low <= 0.1 <= gain.high
    assert hits >= 50  # 57 expected; fewer than 50 has a chance of 1 in 1,000


def test_gain_of_losses_is_close_to_the_normal_paired_interval():
    """Every image is a pattern of its own, which is drawn in another way."""
    a, b = np.random.default_rng(0).gamma(2, size=(2, 1, 1_000))
    gain = paired_gain(a, b)
    half = 1.959964 * (a - b).std(ddof=1) / np.sqrt(1_000)
    assert gain.mean == pytest.approx((a - b).mean())
    assert gain.low == pytest.approx(gain.mean - half, abs=0.05 * half)
    assert gain.high == pytest.approx(gain.mean + half, abs=0.05 * half)


def test_coverage_over_images_and_seeds_is_about_95_percent():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(30):
        image, seed = rng.normal(0, 1, 60), rng.normal(0, 0.2, (8, 1))
        gain = paired_gain(0.3 + image + seed + rng.normal(0, 0.5, (8, 60)), np.zeros((8, 60)))
        hits += gain.low <= 0.3 <= gain.high
    assert hits >= 25  # 28 expected; fewer than 25 has a chance of 1 in 100


@pytest.mark.parametrize("images", [2, 3, 8, 60])
def test_few_images_have_students_quantile_if_all_seeds_agree(images):
    gain = np.random.default_rng(images).normal(0.3, 1, images)
    table = TwoWay.of(np.stack([gain] * 3))
    student = stats.ttest_1samp(gain, 0)
    assert table.p_value() == pytest.approx(student.pvalue, rel=1e-6)
    half = np.ptp(student.confidence_interval(0.95)) / 2
    assert table.half_width(0.95) == pytest.approx(half, rel=1e-6)


@pytest.mark.parametrize("groups", [2, 3, 10])
def test_few_groups_claim_as_seldom_as_they_say(groups):
    """With the variance of images taken as known, 26, 18 and 7 of 100 were claimed."""
    rng = np.random.default_rng(0)
    of_groups, rest = rng.normal(0, 1, (300, 1, groups)), rng.normal(0, 0.3, (300, 5, groups))
    claimed = [TwoWay.of(gain).p_value() < 0.05 for gain in of_groups + rest]
    assert np.mean(claimed) < 0.08  # 24 of 300, where 15 are expected: a chance of 1 in 100
