"""Scores of predictions, against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as sk

from thumbnets.evaluation.metrics import (
    BY_CLASS,
    area_under_curve,
    calibration_error,
    confusion_matrix,
    score_logits,
    score_probabilities,
    to_probabilities,
    uneven,
)


def case(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random logits float32, and labels of which some classes may be missing."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) * 2
    logits[np.arange(n), labels] += 1.5
    return logits.astype(np.float32), labels


def undefined(values: np.ndarray, where: np.ndarray) -> list[float | None]:
    return [None if out else pytest.approx(v) for v, out in zip(values, where, strict=True)]


@settings(max_examples=25)
@given(st.integers(1, 200), st.integers(3, 8), st.integers(0, 999))
def test_scores_are_those_of_scikit_learn(n, classes, seed):
    logits, labels = case(n, classes, seed)
    scores = score_logits(logits, labels, ece_bins=15)
    p, predicted, every = to_probabilities(logits), logits.argmax(1), np.arange(classes)
    counts, claims = np.bincount(labels, None, classes), np.bincount(predicted, None, classes)
    present = np.flatnonzero(counts)  # means are over classes that have images
    by_class = sk.precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "error": sk.zero_one_loss(labels, predicted),
        "top2": sk.top_k_accuracy_score(labels, p, k=2, labels=every),
        "nll": sk.log_loss(labels, p, labels=every),
        "macro_f1": sk.f1_score(
            labels, predicted, labels=present, average="macro", zero_division=0
        ),
    }
    if counts.max() > 1.5 * counts.min():
        expected["balanced_accuracy"] = sk.recall_score(
            labels, predicted, labels=present, average="macro"
        )
    assert set(scores) == {*expected, "ece", "precision", "recall", "f1"}
    assert scores["precision"] == undefined(by_class[0], claims == 0)
    assert scores["recall"] == undefined(by_class[1], counts == 0)
    assert scores["f1"] == undefined(by_class[2], counts == 0)
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    matrix = confusion_matrix(labels, predicted, classes)
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(labels, predicted, labels=every))


def test_probabilities_and_logits_score_alike():
    logits, labels = case(50, 4, 0)
    by_logits = score_logits(logits, labels, ece_bins=10)
    by_probabilities = score_probabilities(softmax(logits, axis=1), labels, ece_bins=10)
    for name in BY_CLASS:
        assert by_logits.pop(name) == by_probabilities.pop(name)
    assert by_probabilities == pytest.approx(by_logits, rel=1e-5)


def test_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    scores = score_probabilities(p, np.array([0, 1, 2, 1]), ece_bins=2)
    assert scores["accuracy"] == scores["error"] == 0.5
    assert scores["top2"] == 0.75  # of the third image the class is last
    assert scores["nll"] == pytest.approx(-np.log([0.7, 0.6, 0.2, 0.2]).mean())
    assert scores["recall"] == [1.0, 0.5, 0.0]
    assert scores["precision"] == [0.5, 1.0, 0.0]
    assert scores["f1"] == pytest.approx([2 / 3, 2 / 3, 0])
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert scores["balanced_accuracy"] == 0.5  # 1 : 2 : 1 is uneven
    # Confidences 0.7, 0.6, 0.5, 0.7; 0.5 is in the lower bin: gaps 0.5 and 2 - (2 right) = 0.
    assert scores["ece"] == pytest.approx((abs(0 - 0.5) + abs(2 - (0.7 + 0.6 + 0.7))) / 4)


def test_what_is_undefined_is_none_and_not_in_the_means():
    p = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]])
    scores = score_probabilities(p, np.array([0, 0, 1]), ece_bins=2)  # none of classes 2 and 3
    assert scores["recall"] == [0.5, 0.0, None, None]
    assert scores["precision"] == [1.0, 0.0, 0.0, None]  # none is taken for class 3
    assert scores["f1"] == [pytest.approx(2 / 3), 0.0, None, None]
    assert scores["macro_f1"] == pytest.approx(1 / 3)
    assert scores["balanced_accuracy"] == 0.25


@pytest.mark.parametrize(("counts", "expected"), [([2, 3], False), ([2, 4], True), ([0, 1], True)])
def test_classes_are_uneven_beyond_one_and_a_half(counts, expected):
    assert uneven(np.array(counts)) is expected
    labels = np.repeat([0, 1], counts)
    scores = score_logits(np.zeros((len(labels), 2)), labels, ece_bins=2)
    assert ("balanced_accuracy" in scores) is expected


def test_equal_scores_rank_the_lower_class_first():
    scores = score_logits(np.zeros((3, 3)), np.array([0, 1, 2]), ece_bins=5)
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert scores["recall"] == [1.0, 0.0, 0.0]
    assert scores["top2"] == pytest.approx(2 / 3)
    assert scores["nll"] == pytest.approx(np.log(3))
    hard = score_probabilities(np.array([[1.0, 0, 0]]), np.array([0]), ece_bins=5)
    assert hard["accuracy"] == hard["top2"] == 1.0 and hard["nll"] == 0.0


def test_large_logits_neither_overflow_nor_lose_their_loss():
    logits = np.array([[1e4, 0.0], [0.0, 1e4]], dtype=np.float32)
    assert score_logits(logits, np.array([0, 0]), ece_bins=5)["nll"] == pytest.approx(5e3)
    assert to_probabilities(logits).tolist() == [[1, 0], [0, 1]]
    assert to_probabilities(np.zeros((2, 3, 4))).sum(-1) == pytest.approx(np.ones((2, 3)))


def ece(confidence: list[float], correct: list[int], bins: int) -> float:
    return calibration_error(np.array(confidence), np.array(correct, bool), bins)


def test_calibration_error_by_hand():
    # Bins (0, 0.5] and (0.5, 1]: 1 of 2 right at 0.45 on average, 1 of 2 right at 0.8.
    assert ece([0.4, 0.5, 0.6, 1.0], [1, 0, 1, 0], 2) == pytest.approx(0.5 * 0.05 + 0.5 * 0.3)
    assert ece([0.4, 0.5, 0.6, 1.0], [1, 0, 1, 0], 1) == pytest.approx(abs(0.5 - 0.625))


def test_a_bin_holds_its_upper_edge():
    # 0.5 and 0.75 are the upper edges of bins 2 and 3 of 4: apart their gaps add up.
    assert ece([0.5, 0.75], [1, 0], 4) == pytest.approx((0.5 + 0.75) / 2)
    assert ece([0.5, 0.51], [1, 0], 4) == pytest.approx((0.5 + 0.51) / 2)
    assert ece([0.51, 0.75], [1, 0], 4) == pytest.approx(abs(1 - 1.26) / 2)
    assert ece([0.0, 1.0], [0, 1], 4) == 0.0  # both ends have a bin


def test_calibration_error_of_a_calibrated_classifier_is_small():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 20_000)
    correct = rng.random(20_000) < confidence
    assert calibration_error(confidence, correct, 15) < 0.02
    assert calibration_error(confidence, correct * 0 == 1, 15) == pytest.approx(0.6, abs=0.01)
    assert calibration_error(confidence, correct, 15) == pytest.approx(naive(confidence, correct))


def naive(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """The definition, bin by bin."""
    total = 0.0
    for low, high in zip(np.arange(bins) / bins, np.arange(1, bins + 1) / bins, strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            total += inside.mean() * gap
    return total


def test_confusion_has_labels_in_rows():
    matrix = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1]), 4)
    assert matrix.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("tied", [False, True])
def test_the_area_under_the_curve_is_that_of_sklearn(tied):
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 200), rng.normal(size=200)
    scores = scores.round() if tied else scores
    logits = np.stack([np.zeros(200), scores + labels], 1)
    expected = sk.roc_auc_score(labels, logits[:, 1])
    assert area_under_curve(logits[:, 1], labels) == pytest.approx(expected, abs=1e-12)
    found = score_logits(logits, labels, ece_bins=15)
    assert found["auc"] == pytest.approx(expected, abs=1e-12)


def test_the_area_under_the_curve_is_of_two_classes_that_both_occur():
    logits = np.zeros((4, 2))
    assert "auc" not in score_logits(logits, np.zeros(4, int), ece_bins=2)
    assert "auc" not in score_logits(np.zeros((4, 3)), np.array([0, 1, 2, 1]), ece_bins=2)
    assert score_logits(logits, np.array([0, 1, 0, 1]), ece_bins=2)["auc"] == 0.5
