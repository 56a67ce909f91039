"""Votes: three ways to combine logits that disagree, and ties."""

import numpy as np
import pytest
from scipy.special import softmax

from thumbnets.ensembles.voting import VOTES, hard_vote, soft_vote

EQUAL = np.full(3, 1 / 3)


def votes_for(*classes: int, of: int = 4) -> np.ndarray:
    """Probabilities [M, 1, K] of members that each are sure of a class."""
    return np.eye(of)[list(classes)][:, None]


def test_soft_hard_and_fused_votes_can_disagree():
    logits = np.array([[4.0, 0, 0], [0, 1.5, 0], [0, 1.5, 0]])[:, None]
    p = softmax(logits, axis=2)
    soft = soft_vote(p, EQUAL)
    assert soft[0] == pytest.approx([0.424408, 0.466848, 0.108743], abs=1e-6)
    assert soft.argmax(1) == 1
    fused = softmax(logits.mean(0), axis=1)  # not offered: it would say class 0
    assert fused[0] == pytest.approx([0.505018, 0.361861, 0.133121], abs=1e-6)
    hard = hard_vote(p, EQUAL)
    assert hard[0] == pytest.approx([1 / 3, 2 / 3, 0]) and hard.argmax(1) == 1


@pytest.mark.parametrize(("classes", "winner"), [((2, 0), 0), ((3, 1, 3, 1), 1), ((3, 3, 0), 3)])
def test_a_tie_goes_to_the_lower_class(classes, winner):
    weights = np.full(len(classes), 1 / len(classes))
    assert hard_vote(votes_for(*classes), weights).argmax(1) == winner


def broken_ties() -> list[tuple[int, int, int]]:
    """Ties of class 0 with two members for class 1, the rest for class 2, that class 0 loses."""
    found = []
    for total in range(2, 26):
        for a in range(1, total):
            for b in range(1, total - a):
                rest = total - 2 * (a + b)
                if 0 <= rest < a + b:
                    weights = np.array([a + b, a, b, rest]) / total
                    if hard_vote(votes_for(0, 1, 1, 2), weights).argmax(1) != 0:
                        found.append((a, b, rest))
    return found


def test_a_weighted_tie_goes_to_the_lower_class():
    assert broken_ties() == []


def test_weights_count():
    p = votes_for(0, 1, 2)
    for vote in VOTES.values():
        assert vote(p, np.array([0.2, 0.5, 0.3]))[0] == pytest.approx([0.2, 0.5, 0.3, 0])


@pytest.mark.parametrize("voting", VOTES)
def test_votes_are_shares_and_one_member_is_itself(voting):
    p = np.random.default_rng(0).dirichlet(np.ones(5), (4, 20))
    votes = VOTES[voting](p, np.array([0.1, 0.2, 0.3, 0.4]))
    assert votes.shape == (20, 5) and votes.sum(1) == pytest.approx(np.ones(20))
    alone = VOTES[voting](p[:1], np.ones(1))
    assert (alone.argmax(1) == p[0].argmax(1)).all()
