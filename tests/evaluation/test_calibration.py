"""Temperatures and reliability, by hand and against their definitions."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from thumbnets.evaluation.calibration import (
    MAX_TEMPERATURE,
    calibrate,
    fit_temperature,
    reliability,
)
from thumbnets.evaluation.metrics import calibration_error, score_logits


def sure(odds: float, right: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, 2] that give class 0 the odds, and labels: so many are 0, so many 1."""
    labels = np.repeat([0, 1], [right, wrong])
    return np.tile([np.log(odds), 0.0], (right + wrong, 1)), labels


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits float [N, 4], and labels drawn from just those probabilities."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, 4))
    labels = (softmax(logits, 1).cumsum(1) < rng.random((n, 1))).sum(1)
    return logits, labels


def test_temperature_by_hand():
    # Odds of 49 where 3 of 4 are right, with half an image more of each class 3.5 to 1.5.
    expected = np.log(49) / np.log(3.5 / 1.5)
    assert fit_temperature(*sure(49, 3, 1)) == pytest.approx(expected, rel=1e-4)
    expected = np.log(3) / np.log(90.5 / 10.5)
    assert fit_temperature(*sure(3, 90, 10)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("factor", [0.4, 1, 3])
def test_a_known_factor_is_found(factor):
    logits, labels = drawn(20_000, 0)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.03)


def test_few_images_that_are_all_right_are_no_certainty():
    # 5.5 to 0.5: a share of 11/12, whatever the scale of the logits.
    for odds in (2, 3, 10):
        logits, labels = sure(odds, 5, 0)
        probabilities = softmax(logits / fit_temperature(logits, labels), axis=1)
        assert probabilities[0, 0] == pytest.approx(11 / 12, rel=1e-4)


def test_the_temperature_follows_the_scale_and_makes_the_loss_least():
    logits, labels = drawn(300, 1)
    best = fit_temperature(logits, labels)
    assert fit_temperature(5 * logits, labels) == pytest.approx(5 * best, rel=1e-4)
    assert fit_temperature(logits.astype(np.float32) + 7, labels) == pytest.approx(best, rel=1e-4)

    def loss(temperature: float) -> float:
        """Loss of the images, plus that of an extra image with a uniform label."""
        one_more = -log_softmax(logits / temperature, 1).mean()
        nll = score_logits(logits / temperature, labels, ece_bins=5)["nll"]
        return nll + one_more / len(labels)

    least = loss(best)
    for other in np.geomspace(0.05, 20, 400):
        assert loss(other) >= least - 1e-9


def test_temperatures_are_bounded():
    assert fit_temperature(*sure(1.05, 50, 0)) == pytest.approx(1 / MAX_TEMPERATURE, rel=1e-3)
    assert fit_temperature(*sure(3, 0, 5)) == pytest.approx(MAX_TEMPERATURE, rel=1e-3)


def test_reliability_by_hand():
    # Confidences 0.6 (wrong), 0.7 (right), 0.9 (right): of four bins the third and the last.
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
    found = reliability(np.log(probabilities), np.array([1, 1, 0]), 4)
    assert found.confidence == pytest.approx([0.65, 0.9])
    assert found.accuracy == pytest.approx([0.5, 1])
    assert found.share == pytest.approx([2 / 3, 1 / 3])


def test_the_error_is_the_mean_distance_from_the_diagonal():
    logits, labels = drawn(500, 2)
    found = reliability(3 * logits, labels, 15)
    distance = (found.share * np.abs(found.accuracy - found.confidence)).sum()
    confidence = softmax(3 * logits, 1).max(1)
    expected = calibration_error(confidence, logits.argmax(1) == labels, 15)
    assert distance == pytest.approx(expected) and expected > 0.1
    assert found.share.sum() == pytest.approx(1)


def test_calibration_by_hand():
    logits, labels = sure(9, 3, 1)
    # 90 % sure and 75 % right; at a temperature of 2, 75 % sure: 4 of 5, with one more 4.5 of 6.
    found = calibrate([sure(9, 4, 1)], logits[None], labels, bins=10)
    assert found.temperature == pytest.approx(2, rel=1e-4)
    assert found.ece == pytest.approx((0.15, 0), abs=1e-4)
    before, after = -(3 * np.log(0.9) + np.log(0.1)) / 4, -(3 * np.log(0.75) + np.log(0.25)) / 4
    assert found.nll == pytest.approx((before, after), rel=1e-6)
    assert [float(r.confidence[0]) for r in found.reliability] == pytest.approx([0.9, 0.75], 1e-4)


def test_every_seed_has_a_temperature_of_its_own_validation_images():
    logits, labels = drawn(20_000, 3)
    factors = np.array([1, 4])
    test = factors[:, None, None] * logits
    found = calibrate([(k * logits, labels) for k in factors], test, labels, bins=15)
    assert found.temperature == pytest.approx(2.5, rel=0.03)
    assert found.ece[1] < 0.02 < found.ece[0]
    # The test labels have no say in it.
    other = calibrate([(k * logits, labels) for k in factors], test, 3 - labels, bins=15)
    assert other.temperature == found.temperature
