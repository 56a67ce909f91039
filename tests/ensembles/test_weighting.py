"""Weights of least loss: a mixture solved by hand, and the conditions of the one least value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbnets.ensembles.selection import nll
from thumbnets.ensembles.weighting import fit_weights

LABELS = np.zeros(4, int)


def of_label(*members: list[float]) -> np.ndarray:
    """Probabilities [M, N, 2] with the given values for label 0."""
    p = np.array(members)
    return np.stack([p, 1 - p], axis=2)


def test_by_hand():
    # log(0.8 w + 0.2 (1 - w)) three times, log(0.2 w + 0.8 (1 - w)) once: least where
    # 3 * 0.6 / (0.2 + 0.6 w) = 0.6 / (0.8 - 0.6 w), so 2.4 - 1.8 w = 0.2 + 0.6 w, w = 11 / 12.
    p = of_label([0.8, 0.8, 0.8, 0.2], [0.2, 0.2, 0.2, 0.8])
    assert fit_weights(p, LABELS) == pytest.approx([11 / 12, 1 / 12], abs=1e-5)


def test_a_member_that_is_worse_everywhere_has_no_say():
    p = of_label([0.8, 0.6, 0.7, 0.9], [0.7, 0.5, 0.6, 0.8])
    assert fit_weights(p, LABELS).tolist() == [1, 0]
    assert fit_weights(p[:1], LABELS).tolist() == [1]


@settings(max_examples=30)
@given(st.integers(0, 9999), st.permutations(range(5)))
def test_nothing_could_be_gained_by_shifting_weight(seed, order):
    """Conditions of Karush, Kuhn and Tucker: equal gain of all that have a say, less of others."""
    rng = np.random.default_rng(seed)
    p, labels = rng.dirichlet(np.ones(3), (5, 60)), rng.integers(0, 3, 60)
    weights = fit_weights(p, labels)
    assert weights.sum() == pytest.approx(1, abs=1e-5) and (weights >= 0).all()
    likely = p[:, np.arange(60), labels]
    gain = (likely / (weights @ likely)).mean(1)
    assert gain[weights > 0] == pytest.approx(1, abs=1e-3) and (gain < 1 + 1e-3).all()
    assert fit_weights(p[list(order)], labels) == pytest.approx(weights[list(order)], abs=1e-3)
    mixed = np.tensordot(weights / weights.sum(), p, axes=1)
    assert nll(mixed, labels) <= min(nll(m, labels) for m in [*p, p.mean(0)]) + 1e-9


def test_certain_mistakes_of_all_are_borne():
    p = of_label([0.0, 0.9, 0.9, 0.9], [0.0, 0.5, 0.5, 0.5])
    assert fit_weights(p, LABELS).tolist() == [1, 0]
