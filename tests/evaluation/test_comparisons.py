"""Paired tests, against scipy and by hand."""

from dataclasses import astuple
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from thumbnets.evaluation.comparisons import (
    compare,
    holm,
    mcnemar,
    pair_p,
    paired_test,
    verdict,
)
from thumbnets.evaluation.statistics import of_groups, superiority
from thumbnets.evaluation.two_way import paired_gain


def only(a: int, b: int, both: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Two classifiers, bool [N]: numbers of images that only one, or both, recognise are given."""
    of_a = np.repeat([True, False, True], [a, b, both])
    of_b = np.repeat([False, True, True], [a, b, both])
    return of_a, of_b


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [
        (10, 2, 2 * (1 + 12 + 66) / 2**12),
        (0, 6, 2 / 2**6),
        (5, 5, 1),
        (1, 0, 1),
        (0, 0, 1),
        # statsmodels.stats.contingency_tables.mcnemar([[101, 121], [59, 33]], exact=True)
        (121, 59, 4.434e-06),
    ],
)
def test_mcnemar_by_hand(a, b, p):
    assert mcnemar(*only(a, b)) == pytest.approx(p, rel=1e-3)
    assert mcnemar(*only(b, a)) == mcnemar(*only(a, b))
    assert mcnemar(*only(a, b, both=500)) == mcnemar(*only(a, b))


@settings(max_examples=30)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_counts_the_outcomes_that_are_as_unlikely(a, b):
    n, fewer = a + b, min(a, b)
    tail = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    assert mcnemar(*only(a, b)) == pytest.approx(min(1, 2 * tail))


def test_one_seed_is_students_paired_test():
    a, b = np.random.default_rng(0).normal(size=(2, 1, 50))
    assert paired_test(a + 0.2, b) == pytest.approx(stats.ttest_rel(a[0] + 0.2, b[0]).pvalue)


def test_seeds_alone_are_students_test_over_seeds():
    gains = np.array([0.1, 0.3, 0.2])
    every_image_alike = np.repeat(gains[:, None], 40, axis=1)
    expected = stats.ttest_1samp(gains, 0).pvalue
    # Somewhat bolder: the variance of seeds is taken to be at most 64 times what it seems to be.
    found = paired_test(every_image_alike, np.zeros((3, 40)))
    assert 0.8 * expected < found < expected


def test_seeds_that_are_copies_add_nothing():
    gain = np.random.default_rng(0).normal(0.1, 1, 400)
    expected = stats.ttest_1samp(gain, 0).pvalue
    copies = np.stack([gain] * 3)
    assert paired_test(copies, np.zeros((3, 400))) == pytest.approx(expected, rel=1e-6)


def test_both_by_hand():
    # Means of seeds and of images 2 and 0: mean squares 4 and 4, of the rest 0. So the mean, 1,
    # estimated variances of 4 / 4 by the images and 4 / 4 by the seeds with one degree of freedom
    # each; the true value of the latter is taken to be at most 64: chi-squared of 1 / 64 and more.
    p = paired_test(np.array([[3, 1], [1, -1]]), np.zeros((2, 2)))

    # Over the roots of both, which are normal: their density is finite at 0.
    def beyond(of_images: float, of_seeds: float) -> float:
        deviation = np.sqrt(of_images**-2 + min(of_seeds**-2, 64))
        return (
            4
            * stats.norm.pdf(of_images)
            * stats.norm.pdf(of_seeds)
            * 2
            * special.ndtr(-1 / deviation)
        )

    pieces = [integrate.dblquad(beyond, *ends, 1e-9, 9)[0] for ends in ((1e-9, 1 / 8), (1 / 8, 9))]
    assert p == pytest.approx(sum(pieces), rel=1e-4)


def test_two_seeds_tell_what_is_plain():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 1_000)) < 0.9, rng.random((2, 1_000)) < 0.5
    assert paired_test(a, b) < 0.01


def test_seeds_that_agree_by_luck_count_as_the_rest():
    # Means all 1/2, the rest's mean square 1, which leaves the mean a variance of 1/4.
    p = paired_test(np.array([[1, 0], [0, 1]]), np.zeros((2, 2)))
    assert p == pytest.approx(2 * stats.norm.sf(0.5 / np.sqrt(1 / 4)), rel=1e-5)


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_the_interval_holds_what_the_test_does_not_reject(seeds):
    rng = np.random.default_rng(seeds)
    gain = rng.normal(0.1, 1, 300) + rng.normal(0, 0.1, (seeds, 1)) + rng.normal(size=(seeds, 300))
    found, none = paired_gain(gain, np.zeros_like(gain)), np.zeros_like(gain)
    for end in (found.low, found.high):
        assert paired_test(gain - end, none) == pytest.approx(0.05, abs=1e-4)


def test_seeds_that_vary_far_more_than_images_are_not_trusted():
    """The level holds from three seeds on; the test of Hillis rejected 3.1 % here."""
    rng, rejected = np.random.default_rng(3), 0
    for _ in range(2_000):
        gain = rng.normal(0, 1, 40) + rng.normal(0, np.sqrt(16 / 40), (3, 1))
        rejected += paired_test(gain + rng.normal(0, 0.5, (3, 40)), np.zeros((3, 40))) < 0.01
    assert rejected <= 33  # 20 at the level; more than 33 has a chance of 1 in 400


@pytest.mark.parametrize("seed_sd", [0, 0.05])
def test_a_true_null_is_seldom_rejected(seed_sd):
    rng, rejected = np.random.default_rng(1), 0
    for _ in range(600):
        image, seed = rng.normal(0, 1, 200), rng.normal(0, seed_sd, (4, 1))
        gain = image + seed + rng.normal(0, 1, (4, 200))
        rejected += paired_test(gain, np.zeros((4, 200))) < 0.05
    assert 1 <= rejected <= 45  # 30 expected at most, fewer where seeds have no effect


def test_all_seeds_in_one_mcnemar_would_claim_too_much():
    a, b = only(30, 14, both=200)
    pooled = mcnemar(np.tile(a, 5), np.tile(b, 5))
    (found,) = compare({"a": np.stack([a] * 5), "b": np.stack([b] * 5)})
    assert pooled < 0.0001 < 0.01 < found.p
    assert found.mcnemar == pytest.approx(mcnemar(a, b))


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        # As statsmodels' multipletests(p, method="holm") defines it: times 4, 3, 2, 1.
        ([0.001, 0.01, 0.03, 0.5], [0.004, 0.03, 0.06, 0.5]),
        ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),  # 1 * 0.04 is less than 2 * 0.03
        ([0.6, 0.7], [1, 1]),
        ([0.02], [0.02]),
    ],
)
def test_holm_by_hand(p, adjusted):
    assert holm(p) == pytest.approx(adjusted)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_as_step_by_step(p):
    """The procedure in its own words: go up the sorted p-values until one is too large."""
    alpha, rejected = 0.05, set()
    for step, index in enumerate(np.argsort(p, kind="stable")):
        if p[index] * (len(p) - step) > alpha:
            break
        rejected.add(int(index))
    assert {i for i, adjusted in enumerate(holm(p)) if adjusted <= alpha} == rejected


def test_better_needs_p_below_one_percent():
    assert verdict(0.1, 0.0099) == "better" and verdict(-0.1, 0.0099) == "worse"
    assert verdict(0.1, 0.01) == verdict(-0.1, 0.02) == "no difference shown"


@pytest.mark.parametrize("seeds", [1, 3])
def test_identical_classifiers_show_no_difference(seeds):
    right = np.random.default_rng(0).random((seeds, 100)) < 0.9
    for scores in (right, np.log(np.random.default_rng(1).random((seeds, 100)))):
        (found,) = compare({"a": scores, "b": scores.copy()})
        assert found.p == 1 and found.verdict == "no difference shown"
        assert (found.gain.mean, found.gain.low, found.gain.high) == (0, 0, 0)
        assert (found.superiority is None) == (seeds == 1)
        assert seeds == 1 or found.superiority.mean == 0.5


def test_a_classifier_under_two_names_is_tested_once():
    """As an ensemble of one member and that member: Holm's correction counts the tests."""
    a, b, c = np.random.default_rng(0).random((3, 2, 300)) < [[[0.9]], [[0.8]], [[0.7]]]
    alone = {(found.a, found.b): found.p for found in compare({"a": a, "b": b, "c": c})}
    twice = {
        (found.a, found.b): found.p for found in compare({"a": a, "b": b, "c": c, "ensemble": a})
    }
    assert {pair: twice[pair] for pair in alone} == alone
    assert twice["a", "ensemble"] == 1 and twice["b", "ensemble"] == alone["a", "b"]


@pytest.mark.parametrize("seeds", [1, 3])
def test_rounding_alone_shows_no_difference(seeds):
    """As in an ensemble of one member, whose probabilities went through exp and log."""
    scores = np.log(np.random.default_rng(0).random((seeds, 10_000)))
    (found,) = compare({"member": scores, "ensemble": np.log(np.exp(scores))})
    assert found.p == 1 and found.gain.mean == 0
    assert seeds == 1 or found.superiority.mean == 0.5


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_order_of_two_does_not_matter(seeds):
    rng = np.random.default_rng(0)
    hardness = rng.random(500)
    a, b = (hardness + rng.normal(0, 0.05, (seeds, 500)) < share for share in (0.9, 0.8))
    (there,), (back,) = compare({"a": a, "b": b}), compare({"b": b, "a": a})
    assert (there.verdict, back.verdict) == ("better", "worse")
    assert there.p == pytest.approx(back.p) and there.mcnemar == back.mcnemar
    assert there.gain.mean == pytest.approx(-back.gain.mean)
    if seeds > 1:
        assert there.superiority.mean == pytest.approx(1 - back.superiority.mean)


def test_a_table_holds_all_pairs_corrected_together():
    right = {"a": only(9, 0)[0][None], "b": only(9, 0)[1][None]}
    right["c"] = right["b"].copy()
    right["c"][0, [0, -1]] = [True, False]  # as many as b, not the same
    found = compare(right)
    assert [(pair.a, pair.b) for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    # McNemar of 9 and 0 is 2 / 2^9 = 0.0039: alone it would do, one of three it does not.
    assert [pair.mcnemar for pair in found] == pytest.approx([2 / 2**9, 2 / 2**9, 1])
    assert [pair.p for pair in found] == pytest.approx([6 / 2**9, 6 / 2**9, 1])
    assert {pair.verdict for pair in found} == {"no difference shown"}
    (alone,) = compare({"a": right["a"], "b": right["b"]})
    assert alone.verdict == "better"


def test_losses_have_no_mcnemar():
    rng = np.random.default_rng(0)
    (found,) = compare({"a": rng.normal(0.5, 1, (1, 200)), "b": rng.normal(0, 1, (1, 200))})
    assert found.mcnemar is None and found.verdict == "better"


def test_an_ensemble_of_several_seeds_is_compared_with_their_mean():
    rng = np.random.default_rng(0)
    models, ensembles = rng.random((4, 50)) < 0.7, rng.random((2, 50)) < 0.9
    [found] = compare({"ensemble": ensembles, "model": models})
    means = np.stack([models[:2].mean(0), models[2:].mean(0)])
    assert found.gain == paired_gain(ensembles, means)
    assert found.p == pytest.approx(paired_test(ensembles, means))
    assert found.mcnemar is None
    expected = superiority(ensembles, means)
    assert (expected.mean, expected.low, expected.high) == (1, 1, 1)
    assert found.superiority.mean == 1 and np.isnan(found.superiority.low)  # two seeds say little


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_seeds_that_agree_have_no_interval_in_either_direction(seeds):
    always = np.ones((seeds, 360), bool)
    seldom = np.zeros_like(always)
    for right in np.random.default_rng(0).permuted(np.tile(np.arange(360), (seeds, 1)), axis=1):
        seldom[:, right[:100]] = True
    for a, b, mean in ((always, seldom, 1), (seldom, always, 0)):
        found = compare({"a": a, "b": b})[0].superiority
        assert found.mean == mean and np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("seeds", [4, 5])
def test_a_few_seeds_that_agree_have_no_interval_of_superiority(seeds):
    """Of four seeds each, all are ordered by chance in 2 of 70 ways; of five in 2 of 252."""
    better, worse = np.ones((seeds, 50), bool), np.zeros((seeds, 50), bool)
    found = compare({"a": better, "b": worse})[0].superiority
    assert found.mean == 1 and np.isnan(found.low) == (seeds == 4)


def test_groups_of_one_image_are_images():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 50))
    order = rng.permutation(50)
    gain = paired_gain(of_groups(a, order), of_groups(b, order))
    assert astuple(gain) == pytest.approx(astuple(paired_gain(a, b)))
    assert of_groups(a, None) is a


def test_a_group_counts_once_however_often_it_is_photographed():
    """Three images of each of which there are ten copies: the variance is that of three."""
    a = np.array([[True] * 10 + [False] * 10 + [True] * 10])
    table = of_groups(a, np.repeat([0, 1, 2], 10))
    np.testing.assert_allclose(table, [[1, 0, 1]], atol=1e-12)
    b = np.zeros_like(a)
    assert pair_p(table, of_groups(b, np.repeat([0, 1, 2], 10))) == pytest.approx(
        stats.ttest_1samp([1, 0, 1], 0).pvalue
    )
    (found,) = compare({"a": table, "b": table * 0})
    assert found.mcnemar is None and found.gain.mean == pytest.approx(2 / 3)


@pytest.mark.parametrize("seeds", [1, 2])
def test_of_a_single_group_nothing_is_shown(seeds):
    rng, group = np.random.default_rng(0), np.zeros(40, int)
    a, b = rng.random((seeds, 40)) < 0.9, rng.random((seeds, 40)) < 0.2
    (found,) = compare({"a": of_groups(a, group), "b": of_groups(b, group)})
    assert found.verdict == "no difference shown" and np.isnan(found.p)
    assert found.gain.mean == pytest.approx(a.mean() - b.mean())
    assert found.gain.as_dict() == {"mean": found.gain.mean, "low": None, "high": None}


def test_groups_of_any_size_have_the_variance_of_a_ratio():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(5), [1, 2, 3, 5, 9])
    gain = rng.normal(size=(1, 20))
    table, mean = of_groups(gain, group), gain.mean()
    assert table.mean() == pytest.approx(mean)
    sums = np.array([(gain[0, group == g] - mean).sum() for g in range(5)])
    assert table.var(ddof=1) / 5 == pytest.approx(5 / 4 * (sums**2).sum() / 20**2)


@pytest.mark.parametrize("seeds", [1, 3])
def test_claims_are_as_rare_as_stated_where_images_of_a_group_are_alike(seeds):
    """Two equally good models, of which one or the other is better on a patient's images."""
    rng, wrong, held = np.random.default_rng(0), {True: [], False: []}, []
    for _ in range(200):
        group = np.repeat(np.arange(30), rng.integers(2, 12, 30))
        better = rng.normal(0, 0.4, 30)[group]
        a = rng.random((seeds, len(group))) < 0.7 + better / 2
        b = rng.random((seeds, len(group))) < 0.7 - better / 2
        for grouped in (True, False):
            pair = [of_groups(scores, group if grouped else None) for scores in (a, b)]
            wrong[grouped].append(pair_p(*pair) < 0.05)
        gain = paired_gain(of_groups(a, group), of_groups(b, group))
        held.append(gain.low <= 0 <= gain.high)
    assert np.mean(wrong[True]) < 0.09 and np.mean(held) > 0.91
    assert np.mean(wrong[False]) > 0.15


@pytest.mark.parametrize("groups", [2, 7, 8])
def test_few_groups_that_gain_alike_show_nothing(groups):
    """Two patients with ten images each, one more hit on each, are no proof of ten points."""
    group = np.repeat(np.arange(groups), 10)
    b = np.tile(np.arange(10) < 7, groups)[None]
    a = b | np.tile(np.arange(10) == 8, groups)
    tables = of_groups(a, group), of_groups(b, group)
    gain, p = paired_gain(*tables), paired_test(*tables)
    assert gain.mean == pytest.approx(0.1)
    if groups < 8:  # 2^-6 is more than ALPHA
        assert np.isnan([p, gain.low, gain.high]).all()
        found = compare(dict(zip("ab", tables, strict=True)))[0]
        assert found.verdict == "no difference shown" and np.isnan(found.p)
    else:
        assert p < 0.01 and gain.high - gain.low < 1e-6


def test_what_is_equal_gains_nothing_for_sure():
    scores = np.array([[0.2, 0.5]])
    assert paired_test(scores, scores) == 1
    assert astuple(paired_gain(scores, scores)) == (0, 0, 0)


def test_few_images_that_gain_alike_have_no_interval():
    a, b = np.ones((1, 4), bool), np.zeros((1, 4), bool)
    assert np.isnan(paired_gain(a, b).low) and pair_p(a, b) == mcnemar(a[0], b[0]) == 0.125
