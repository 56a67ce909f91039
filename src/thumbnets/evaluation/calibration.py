"""Whether confidence can be believed: reliability, and a temperature that mends it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from thumbnets.evaluation.metrics import bin_of, score_logits

HOTTEST = 20.0  # temperatures from 1 / HOTTEST on are looked at


@dataclass(frozen=True)
class Reliability:
    """What a classifier's confidence is worth, a value for each bin that holds images.

    Attributes:
        confidence: float [B], mean probability of the predicted class.
        accuracy: float [B], share of images that are recognised.
        share: float [B], share of all images that lie in the bin.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    share: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """A classifier on the test images, before and after its temperature; means over seeds.

    Attributes:
        temperature: What logits are divided by.
        ece: Expected calibration error before and after.
        nll: Negative log-likelihood in nats, before and after.
        reliability: Of all seeds' predictions together, before and after.
    """

    temperature: float
    ece: tuple[float, float]
    nll: tuple[float, float]
    reliability: tuple[Reliability, Reliability]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes the negative log-likelihood least, from 1/20 to 20.

    Args:
        logits: float [N, K], of images that the network was not trained on.
        labels: int64 [N].

    Source: Guo et al. 2017, arXiv:1706.04599, section 4.2.
    """

    def loss(logarithm: float) -> float:
        scaled = log_softmax(logits.astype(float) / np.exp(logarithm), axis=1)
        return -scaled[np.arange(len(labels)), labels].mean()

    # The loss is convex in the inverse temperature, so it has one valley in the logarithm too.
    bound = np.log(HOTTEST)
    found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def reliability(logits: np.ndarray, labels: np.ndarray, bins: int) -> Reliability:
    """Accuracy by confidence, over bins of equal width of [0, 1].

    Args:
        logits: float [N, K].
        labels: int64 [N].
        bins: How many; those without an image are left out.

    Source: Guo et al. 2017, section 2.
    """
    log_probabilities = log_softmax(logits.astype(float), axis=1)
    confidence = np.exp(log_probabilities.max(1))
    index = bin_of(confidence, bins)
    counts = np.bincount(index, minlength=bins)
    held = counts > 0
    right = np.bincount(index, log_probabilities.argmax(1) == labels, bins)
    return Reliability(
        confidence=np.bincount(index, confidence, bins)[held] / counts[held],
        accuracy=right[held] / counts[held],
        share=counts[held] / len(labels),
    )


def calibrate(
    validation: Sequence[tuple[np.ndarray, np.ndarray]],
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    bins: int,
) -> Calibration:
    """Fit a temperature for each seed on its validation images, and see what it does to the test.

    Args:
        validation: For each seed logits float [V, K] and labels int64 [V] of its validation fold.
        logits: float [S, N, K], test images.
        labels: int64 [N].
        bins: Of the calibration error.
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
