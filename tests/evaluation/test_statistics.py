"""Intervals, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from thumbnets.evaluation.statistics import (
    paired_gain,
    summarise,
    superiority,
    t_interval,
    wilson_interval,
)


def test_t_interval_is_that_of_scipy():
    values = np.random.default_rng(0).normal(0.9, 0.01, 7)
    interval = t_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_t_interval_by_hand():
    interval = t_interval(np.array([1.0, 2.0, 3.0]))  # sd 1, t of two degrees 4.302653
    assert interval.high - 2 == pytest.approx(4.302653 / np.sqrt(3), abs=1e-6)
    assert interval.low == pytest.approx(4 - interval.high)
    assert t_interval(np.array([1.0])) is None


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        # statsmodels.stats.proportion.proportion_confint(right, n, method="wilson")
        (8, 10, 0.490162, 0.943318),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (50, 100, 0.403832, 0.596168),
    ],
)
def test_wilson_interval_of_known_cases(right, n, low, high):
    interval = wilson_interval(right / n, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-6)
    scipy = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((scipy.low, scipy.high), abs=1e-12)


def test_summary_of_seeds():
    assert summarise(np.array([0.5])) == {"mean": 0.5, "sd": None, "ci_low": None, "ci_high": None}
    values = np.array([0.88, 0.9, 0.89])
    summary = summarise(values)
    assert summary["mean"] == pytest.approx(0.89) and summary["sd"] == pytest.approx(0.01)
    assert summary["ci_high"] - 0.89 == pytest.approx(4.302653 * 0.01 / np.sqrt(3), abs=1e-6)


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


def runs(*shares: float) -> np.ndarray:
    """A training for each share of 20 images that it recognises, bool [S, 20]."""
    return np.arange(20) < 20 * np.array(shares)[:, None]


def test_superiority_by_hand():
    # 0.9 is above both, 0.8 above one of two.
    found = superiority(runs(0.9, 0.8), runs(0.85, 0.7))
    assert found.mean == 0.75 and found.low <= 0.75 <= found.high
    assert superiority(runs(0.85, 0.7), runs(0.9, 0.8)).mean == 0.25
    assert superiority(runs(0.9, 0.8), runs(0.8, 0.7)).mean == (1 + 1 + 0.5 + 1) / 4
    assert superiority(runs(0.9), runs(0.8)) is None


def test_superiority_is_the_statistic_of_mann_and_whitney():
    a, b = np.random.default_rng(0).normal(size=(2, 6, 30))
    u = stats.mannwhitneyu(a.mean(1), b.mean(1)).statistic
    assert superiority(a, b).mean == pytest.approx(u / 36)


def test_superiority_varies_with_images_as_well():
    close = superiority(runs(0.85, 0.85), runs(0.8, 0.8))  # one image makes the difference
    assert close.mean == 1 and close.low == 0.5 and close.high == 1
    far = superiority(runs(0.9, 0.9), runs(0.1, 0.1))
    assert (far.low, far.high) == (1, 1)
