"""Calibration: reliability of predicted probabilities, and temperature scaling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from thumbnets.evaluation.metrics import bin_of, score_logits

MAX_TEMPERATURE = 20.0  # temperatures are searched from 1 / MAX_TEMPERATURE to this


@dataclass(frozen=True)
class Reliability:
    """Reliability of a classifier's confidence, one value for each bin that holds images.

    Attributes:
        confidence: float [B], mean probability of the predicted class.
        accuracy: float [B], share of images that are classified correctly.
        share: float [B], share of all images in the bin.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    share: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """Calibration on the test images before and after temperature scaling; means over seeds.

    Attributes:
        temperature: Divisor of the logits.
        ece: Expected calibration error before and after.
        nll: Negative log-likelihood in nats, before and after.
        reliability: Reliability of the pooled predictions of all seeds, before and after.
    """

    temperature: float
    ece: tuple[float, float]
    nll: tuple[float, float]
    reliability: tuple[Reliability, Reliability]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature from 1/20 to 20 with the smallest negative log-likelihood.

    One extra image counts, whose label is uniform over the classes. Without it, a network that is
    right (or wrong) on all of a few images would be taken to be so on every image. Among thousands
    of images it moves the temperature by about a hundredth.

    Args:
        logits: float [N, K], images that the network was not trained on.
        labels: int64 [N].

    Source: Guo et al. 2017, arXiv:1706.04599, section 4.2; the extra image is the prior of Platt
    1999, "Probabilistic Outputs for Support Vector Machines", section 2.2, with half its weight.
    """

    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        scaled = log_softmax(logits.astype(float) / np.exp(logarithm), axis=1)
        return -scaled[np.arange(len(labels)), labels].mean() - scaled.mean() / len(labels)

    # The loss is convex in the inverse temperature, hence unimodal in its logarithm.
    bound = np.log(MAX_TEMPERATURE)
    found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def reliability(logits: np.ndarray, labels: np.ndarray, bins: int) -> Reliability:
    """Accuracy by confidence, over equal-width bins of [0, 1].

    Args:
        logits: float [N, K].
        labels: int64 [N].
        bins: Number of bins; those without an image are left out.

    Source: Guo et al. 2017, section 2.
    """
    log_probabilities = log_softmax(logits.astype(float), axis=1)
    confidence = np.exp(log_probabilities.max(1))
    index = bin_of(confidence, bins)
    counts = np.bincount(index, minlength=bins)
    held = counts > 0
    correct = np.bincount(index, log_probabilities.argmax(1) == labels, bins)
    return Reliability(
        confidence=np.bincount(index, confidence, bins)[held] / counts[held],
        accuracy=correct[held] / counts[held],
        share=counts[held] / len(labels),
    )


def calibrate(
    validation: Sequence[tuple[np.ndarray, np.ndarray]],
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    bins: int,
) -> Calibration:
    """Fit a temperature for each seed on its validation images, and score it on the test images.

    Args:
        validation: Logits float [V, K] and labels int64 [V] of the validation fold of each seed.
        logits: float [S, N, K], test images.
        labels: int64 [N].
        bins: Number of bins of the calibration error.
    """
    temperatures = [fit_temperature(*of_seed) for of_seed in validation]
    versions = logits, logits / np.array(temperatures)[:, None, None]
    scores = [[score_logits(s, labels, ece_bins=bins) for s in version] for version in versions]

    def means(name: str) -> tuple[float, float]:
        before, after = (float(np.mean([s[name] for s in version])) for version in scores)
        return before, after

    before, after = (
        reliability(np.concatenate(version), np.tile(labels, len(version)), bins)
        for version in versions
    )
    return Calibration(
        temperature=float(np.mean(temperatures)),
        ece=means("ece"),
        nll=means("nll"),
        reliability=(before, after),
    )
