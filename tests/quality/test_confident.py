"""Confident learning, on numbers that were worked out by hand."""

import numpy as np
import pytest

from thumbnets.quality.confident import find_label_errors, thresholds

LABELS = np.array([0, 0, 0, 1, 1])
ZERO = np.array([0.9, 0.8, 0.1, 0.3, 0.4])  # probability of class 0
PROBABILITIES = np.stack([ZERO, 1 - ZERO], axis=1)


def test_thresholds_joint_and_ranking_by_hand():
    # t_0 = (0.9 + 0.8 + 0.1) / 3, t_1 = (0.7 + 0.6) / 2; the last image reaches neither.
    assert thresholds(PROBABILITIES, LABELS) == pytest.approx([0.6, 0.65])
    found = find_label_errors(PROBABILITIES, LABELS)
    assert found.joint.tolist() == [[2, 1], [0, 1]]
    assert found.places.tolist() == [2] and found.suggested.tolist() == [1]
    assert found.margins == pytest.approx([0.1 - 0.9])
    # Rows scaled to 3 and 2 labels: a third of class 0 is wrong, which is 1 of 5.
    assert found.share == pytest.approx(0.2)


def test_the_likeliest_of_several_classes_that_reach_their_threshold():
    labels = np.array([0, 1, 2, 2])
    probabilities = np.array(
        [[0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.1, 0.4, 0.5], [0.5, 0.45, 0.05]]
    )
    # Thresholds 0.5, 0.35, 0.275: the last image reaches those of 0 and 1.
    found = find_label_errors(probabilities, labels)
    assert found.joint.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert (found.places.tolist(), found.suggested.tolist()) == ([3], [0])


def test_a_label_that_is_predicted_is_not_called_wrong():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.8, 0.2]])
    # Thresholds 0.75 and 0.25: class 1 is reached by the second image, which is taken for 0.
    found = find_label_errors(probabilities, labels)
    assert found.joint.tolist() == [[1, 1], [1, 1]]
    assert (found.places.tolist(), found.suggested.tolist()) == ([3], [0])


def test_worst_first_and_a_class_without_images_is_never_suggested():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    probabilities = rng.dirichlet([0.3] * 4, 300)
    probabilities[:100, 3] += 5  # confidently of a class that no label has
    found = find_label_errors(probabilities / probabilities.sum(1, keepdims=True), labels)
    assert len(found.places) and 3 not in found.suggested
    assert (np.diff(found.margins) >= 0).all() and 0 < found.share < 1
