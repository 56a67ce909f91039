"""The most confident mistakes."""

import numpy as np
import pytest

from thumbnets.evaluation.mistakes import confident_mistakes

# Probabilities of five images and two classes; the label is always 0.
P = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.05, 0.95], [0.2, 0.8]])
LABELS = np.zeros(5, int)


def test_the_most_confident_come_first_and_ties_in_order():
    found = confident_mistakes(np.log(P)[None], LABELS, 10)
    assert found["index"].tolist() == [3, 1, 4, 2]
    assert found["predicted"].tolist() == [1, 1, 1, 1]
    assert found["confidence"] == pytest.approx([0.95, 0.8, 0.8, 0.6])
    assert found["confidence"].dtype == np.float32


@pytest.mark.parametrize(("count", "index"), [(0, []), (2, [3, 1])])
def test_so_many_at_most(count, index):
    assert confident_mistakes(np.log(P)[None], LABELS, count)["index"].tolist() == index


def test_the_mean_of_probabilities_over_seeds_decides():
    seeds = np.log(np.array([[[0.01, 0.99]], [[0.6, 0.4]]]))
    found = confident_mistakes(seeds, np.array([0]), 5)
    assert found["confidence"] == pytest.approx([(0.99 + 0.4) / 2])
    assert confident_mistakes(seeds, np.array([1]), 5)["index"].size == 0
