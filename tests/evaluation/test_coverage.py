"""Coverage against accuracy, counted by hand."""

import numpy as np
import pytest

from thumbnets.evaluation.coverage import coverage


def test_answers_are_counted_from_the_surest_on():
    # Margins 4, 3, 3, 1 of class 0; the two of 3 are answered together, and one of them is wrong.
    logits = np.array([[4, 0], [3, 0], [3, 0], [1, 0]], float)
    found = coverage([(logits, np.array([0, 0, 1, 0]))])
    assert found.coverage.tolist() == [1 / 4, 3 / 4, 1]
    assert found.accuracy == pytest.approx([1, 2 / 3, 3 / 4])
    assert (np.diff(found.limits) < 0).all()
    assert found.at(found.limits[1]) == (3 / 4, pytest.approx(2 / 3))
    assert found.at((found.limits[0] + found.limits[1]) / 2) == (1 / 4, 1)
    assert found.at(0) == (1, 3 / 4) and found.at(1.1) == (0, None)


def test_seeds_are_taken_together_each_with_its_temperature():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    logits = rng.normal(size=(300, 3)) + 2 * np.eye(3)[labels]
    one, scaled = (logits, labels), (10 * logits, labels)  # the same, ten times too sure
    alone, both = coverage([one]), coverage([one, scaled])
    for limit in (0.5, 0.7, 0.9):
        assert both.at(limit) == pytest.approx(alone.at(limit), abs=0.01)
