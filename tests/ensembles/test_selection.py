"""Greedy selection: the worked example, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbnets.ensembles import selection
from thumbnets.ensembles.selection import (
    OBJECTIVES,
    best_accuracy,
    least_loss,
    rank,
    select,
    select_in_bags,
    sorted_start,
)

# Probability of class 0 by three models on four images.
CLASS_0 = np.array([[0.9, 0.4, 0.2, 0.6], [0.6, 0.7, 0.55, 0.3], [0.3, 0.8, 0.1, 0.45]])
EXAMPLE = np.stack([CLASS_0, 1 - CLASS_0], axis=2)
LABELS = np.array([0, 0, 1, 1])


def votes(objective: str, steps: int) -> list[int]:
    return select(EXAMPLE, LABELS, objective=objective, steps=steps).tolist()


def test_scores_of_the_example():
    losses = [least_loss(p, LABELS)[0] for p in EXAMPLE]
    assert losses == pytest.approx([0.540271, 0.505671, 0.532578], abs=1e-6)
    assert [best_accuracy(p, LABELS)[0] for p in EXAMPLE] == [0.5, 0.25, 0.25]


def test_least_loss_takes_1_then_2_then_0():
    assert [votes("loss", steps) for steps in (1, 2, 3)] == [[0, 1, 0], [0, 1, 1], [1, 1, 1]]
    mean = EXAMPLE.mean(0)
    assert least_loss(mean, LABELS)[0] == pytest.approx(0.474641, abs=1e-6)
    assert best_accuracy(mean, LABELS)[0] == 0.0


@pytest.mark.parametrize("steps", [4, 5, 6])
def test_of_equal_ensembles_the_smallest_is_kept(steps):
    # Going on, 1, 2, 0 again, ends at the same mean of six: the first three are kept.
    assert votes("loss", steps) == [1, 1, 1]


def test_best_accuracy_takes_1_then_0():
    assert [votes("accuracy", steps) for steps in (1, 2)] == [[0, 1, 0], [1, 1, 0]]
    assert best_accuracy(EXAMPLE[:2].mean(0), LABELS)[0] == 0.0


def test_among_ensembles_of_equal_accuracy_the_loss_decides():
    # Two members are all right already; with the third they are so at less loss.
    assert votes("accuracy", 6) == [1, 1, 1]


def test_a_member_may_be_chosen_again():
    labels = np.array([0])
    p = np.array([[[0.8, 0.2]], [[0.1, 0.9]]])
    assert select(p, labels, objective="loss", steps=4).tolist() == [1, 0]
    # The best mix of these two is 2 : 1.
    p = np.stack([[0.9, 0.9, 0.3], [0.3, 0.3, 0.95]])
    p = np.stack([p, 1 - p], 2)
    chosen = select(p, np.zeros(3, int), objective="loss", steps=3)
    assert chosen.sum() == 3 and chosen[0] == 2


def test_macro_f1_prefers_who_finds_the_rare_class():
    """Both are right on three of four; one finds none of class 1, and is surer of what it says."""
    labels = np.array([0, 0, 0, 1])
    blind, seeing = np.array([0.9, 0.9, 0.9, 0.6]), np.array([0.6, 0.6, 0.4, 0.4])
    p = np.stack([[of, 1 - of] for of in (blind, seeing)]).transpose(0, 2, 1)
    assert rank(p, labels, objective="loss") == rank(p, labels, objective="accuracy") == [0, 1]
    assert rank(p, labels, objective="macro_f1") == [1, 0]
    # Of class 0 two of three are found; of class 1 the one, and one image is taken for it.
    assert OBJECTIVES["macro_f1"](p[1], labels)[0] == pytest.approx(-(0.8 + 2 / 3) / 2)


def test_equal_members_and_rounding_choose_the_first():
    twins = np.stack([EXAMPLE[1], EXAMPLE[1] + 1e-15, EXAMPLE[1]])
    for objective in OBJECTIVES:
        assert select(twins, LABELS, objective=objective, steps=7).tolist() == [1, 0, 0]
        assert select(twins[::-1], LABELS, objective=objective, steps=7).tolist() == [1, 0, 0]


@settings(max_examples=30)
@given(st.integers(0, 9999), st.sampled_from(sorted(OBJECTIVES)), st.integers(1, 12))
def test_is_never_worse_than_the_best_single_model(seed, objective, steps):
    rng = np.random.default_rng(seed)
    p, labels = rng.dirichlet(np.ones(3), (5, 20)), rng.integers(0, 3, 20)
    chosen = select(p, labels, objective=objective, steps=steps)
    assert chosen.shape == (5,) and 1 <= chosen.sum() <= steps and (chosen >= 0).all()
    mean = np.tensordot(chosen / chosen.sum(), p, axes=1)
    score = OBJECTIVES[objective]
    first = min(score(member, labels) for member in p)
    assert score(mean, labels)[0] <= first[0] + 1e-9
    more = select(p, labels, objective=objective, steps=steps + 3)
    longer = np.tensordot(more / more.sum(), p, axes=1)
    assert score(longer, labels)[0] <= score(mean, labels)[0] + 1e-9


def test_a_certain_mistake_has_a_finite_loss():
    p = np.array([[[0.0, 1.0]], [[0.5, 0.5]]])
    assert np.isfinite(least_loss(p[0], np.array([0]))[0])
    assert select(p, np.array([0]), objective="loss", steps=2).tolist() == [0, 1]


def test_members_are_ranked_by_themselves():
    # Losses 0.540, 0.506, 0.533; errors 0.5, 0.25, 0.25, of which the second has less loss.
    assert rank(EXAMPLE, LABELS, objective="loss") == [1, 2, 0]
    assert rank(EXAMPLE, LABELS, objective="accuracy") == [1, 2, 0]
    assert rank(EXAMPLE[[1, 1, 0, 1]], LABELS, objective="loss") == [0, 1, 3, 2]


def test_a_sorted_start_has_as_many_of_the_best_as_do_well():
    # In this order the losses of the means are 0.506, 0.487, 0.475.
    assert sorted_start(EXAMPLE, LABELS, objective="loss", most=3) == [1, 2, 0]
    assert sorted_start(EXAMPLE, LABELS, objective="loss", most=2) == [1, 2]
    wrong = np.stack([EXAMPLE[1], 1 - EXAMPLE[1]])
    assert sorted_start(wrong, LABELS, objective="loss", most=2) == [0]


def test_what_was_chosen_beforehand_stays():
    wrong = np.stack([EXAMPLE[1], 1 - EXAMPLE[1]])
    # 0, then 1, 0: a half of the wrong one; then ever more of the right one, to 4 : 1.
    chosen = select(wrong, LABELS, objective="loss", steps=5, begin=[1])
    assert chosen.tolist() == [4, 1]
    assert select(wrong, LABELS, objective="loss", steps=1, begin=[1]).tolist() == [0, 1]


def test_bags_by_hand(monkeypatch):
    """With every bag the whole library, the mean of the bags is the one selection."""
    monkeypatch.setattr(selection, "_BAG_FRACTION", 1.0)
    monkeypatch.setattr(selection, "_LIBRARY_FRACTION", 1.0)
    weights = select_in_bags(EXAMPLE, LABELS, objective="loss", steps=6)
    assert weights == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    # Kept are two of three, the best: 1 and 2. A half would be one, but a bag has two at least.
    monkeypatch.setattr(selection, "_BAG_FRACTION", 0.5)
    monkeypatch.setattr(selection, "_LIBRARY_FRACTION", 0.6)
    both = EXAMPLE[1:]
    begin = sorted_start(both, LABELS, objective="loss", most=6)
    votes = select(both, LABELS, objective="loss", steps=6, begin=begin)
    weights = select_in_bags(EXAMPLE, LABELS, objective="loss", steps=6)
    assert weights == pytest.approx([0, *(votes / votes.sum())])


@settings(max_examples=15)
@given(st.integers(0, 9999), st.sampled_from(sorted(OBJECTIVES)), st.permutations(range(6)))
def test_the_order_of_the_pool_does_not_matter(seed, objective, order):
    rng = np.random.default_rng(seed)
    p, labels = rng.dirichlet(np.ones(3), (6, 40)), rng.integers(0, 3, 40)
    for choose in (select, select_in_bags):
        weights = choose(p, labels, objective=objective, steps=8)
        turned = choose(p[list(order)], labels, objective=objective, steps=8)
        assert turned == pytest.approx(weights[list(order)])
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
