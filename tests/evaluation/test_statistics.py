"""Intervals, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from thumbnets.evaluation.statistics import (
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
