"""Ranks and groups, on scores whose order is plain."""

from dataclasses import replace

import numpy as np
import pytest

from thumbnets.evaluation.comparisons import Comparison, compare
from thumbnets.evaluation.ranking import Rank, indistinct, ranks
from thumbnets.evaluation.statistics import Estimate


def scores(**shares: float) -> dict[str, np.ndarray]:
    """Classifiers that recognise such shares of 1,000 images, with two seeds."""
    rng = np.random.default_rng(0)
    return {name: rng.random((2, 1_000)) < share for name, share in shares.items()}


def test_a_plain_order_has_certain_ranks():
    found = ranks(scores(c=0.5, a=0.9, b=0.7))
    assert found == [Rank("a", 1, 1, 1, 1), Rank("b", 2, 2, 2, 0), Rank("c", 3, 3, 3, 0)]


def test_two_that_are_the_same_share_their_places():
    of = scores(a=0.9, b=0.5)
    found = ranks({"b": of["b"], "a": of["a"], "twin": of["a"].copy()})
    assert [(r.name, r.mean, r.best) for r in found] == [
        ("a", 1.5, 0.5),
        ("twin", 1.5, 0.5),
        ("b", 3, 0),
    ]


def test_what_is_close_is_uncertain():
    of = scores(worst=0.4, x=0.9, y=0.9)
    found = {rank.name: rank for rank in ranks(of)}
    assert (found["x"].low, found["x"].high) == (1, 2) == (found["y"].low, found["y"].high)
    assert 0.02 < found["x"].best < 0.98 and found["worst"].low == 3
    assert sum(rank.best for rank in found.values()) == pytest.approx(1)
    assert sum(rank.mean for rank in found.values()) == pytest.approx(6)


def test_the_chance_to_be_best_is_that_of_the_normal_approximation():
    a = np.repeat([True, False, True], [60, 40, 900])[None]
    b = np.repeat([False, True, True], [60, 40, 900])[None]
    # 20 images ahead of 100 in doubt: z = 2, of which ties take a little.
    assert ranks({"a": a, "b": b})[0].best == pytest.approx(0.977, abs=0.01)


def test_an_ensemble_with_fewer_rows_is_ranked_with_means():
    of = scores(a=0.6, b=0.5)
    assert [r.name for r in ranks(of | {"ensemble": np.ones((1, 1_000), bool)})][0] == "ensemble"


def pairs(*different: str) -> list[Comparison]:
    """All pairs of a to d; in the named pairs, the first is significantly better."""
    none = Comparison("", "", Estimate(0.1, 0, 1), p=1.0, mcnemar=None, superiority=None)
    names = [(x, y) for x in "abcd" for y in "abcd" if x < y]
    return [replace(none, a=x, b=y, p=0.0 if x + y in different else 1.0) for x, y in names]


@pytest.mark.parametrize(
    ("different", "groups"),
    [
        ((), ["abcd"]),
        (("ad",), ["abc", "bcd"]),
        (("ab", "ac", "ad"), ["bcd"]),
        (("ab", "ac", "ad", "bc", "bd"), ["cd"]),
        (("ac", "ad", "bd", "bc"), ["ab", "cd"]),
        (("bc",), ["ab", "cd"]),  # a and d do not differ, but are no neighbours
        (("ab", "ac", "ad", "bc", "bd", "cd"), []),
    ],
)
def test_groups_are_the_bars_of_the_diagram(different, groups):
    ranked = [Rank(name, i, i, i, 0) for i, name in enumerate("abcd")]
    assert indistinct(ranked, pairs(*different)) == [list(group) for group in groups]


def test_groups_of_a_run():
    of = scores(x=0.9, y=0.9, z=0.5)
    assert [sorted(group) for group in indistinct(ranks(of), compare(of))] == [["x", "y"]]
