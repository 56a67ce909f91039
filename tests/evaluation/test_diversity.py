"""Measures of diversity: by hand, and beside scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from thumbnets.evaluation.diversity import diversity


def test_by_hand():
    labels = np.array([0, 0, 1, 1, 1, 0, 1, 0])
    # Right on 1 1 1 1 0 0 1 1 and on 1 1 0 1 1 0 0 1.
    predicted = np.array([[0, 0, 1, 1, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 0, 0]])
    found = diversity(predicted, labels, 2)
    # Both right 4 times, neither once, only the first 2, only the second 1: (4 - 2) / (4 + 2).
    assert found.q[0, 1] == found.q[1, 0] == pytest.approx(1 / 3)
    assert found.disagreement[0, 1] == pytest.approx(3 / 8)
    # Same in 5 of 8; by chance 4/8 * 5/8 + 4/8 * 3/8 = 1/2.
    assert found.kappa[0, 1] == pytest.approx((5 / 8 - 1 / 2) / (1 / 2))
    assert found.means([0, 1]) == pytest.approx({"disagreement": 3 / 8, "q": 1 / 3, "kappa": 1 / 4})


def test_means_are_over_pairs_of_the_members():
    labels = np.zeros(4, int)
    predicted = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1]])
    found = diversity(predicted, labels, 2)
    assert found.means([0, 1])["disagreement"] == 0 and found.means([0, 1])["q"] == 1
    # Pairs 0 1, 0 2, 1 2 disagree on 0, 2, 2 of 4.
    assert found.means([2, 0, 1])["disagreement"] == pytest.approx(1 / 3)
    assert found.means([0]) == {"disagreement": None, "q": None, "kappa": None}


def test_without_a_value():
    """Two that are always right: whether their mistakes go together can't be told."""
    labels = np.array([0, 1])
    means = diversity(np.stack([labels, labels]), labels, 2).means([0, 1])
    assert means == {"disagreement": 0, "q": None, "kappa": 1}
    means = diversity(np.zeros((2, 3), int), np.zeros(3, int), 2).means([0, 1])
    assert means == {"disagreement": 0, "q": None, "kappa": None}


@given(st.integers(0, 9999), st.integers(2, 6))
def test_kappa_is_that_of_scikit_learn(seed, classes):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 50)
    noisy = rng.random((3, 50)) < 0.4
    predicted = np.where(noisy, rng.integers(0, classes, (3, 50)), labels)
    found = diversity(predicted, labels, classes)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert found.kappa[a, b] == pytest.approx(cohen_kappa_score(predicted[a], predicted[b]))
        assert -1 <= found.q[a, b] <= 1 or np.isnan(found.q[a, b])
        assert found.disagreement[a, b] == pytest.approx((predicted[a] != predicted[b]).mean())
