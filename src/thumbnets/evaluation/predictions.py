"""Test predictions of a model as written by stage `evaluate`, and scores to compare models by."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from thumbnets import paths
from thumbnets.artifacts import parsing, read_arrays
from thumbnets.data.arrays import check_group
from thumbnets.evaluation.statistics import of_groups


@dataclass(frozen=True)
class Predictions:
    """Predictions of one classifier on all test images.

    Attributes:
        log_probabilities: float [S, N, K]; for a hard vote, logarithms of the shares of votes. An
            ensemble of several seeds has one row per group of seeds.
        labels: int64 [N].
        seeds: Seeds of the run, one training each.
        hard: Whether it is a hard vote, whose shares are not probabilities.
        group: int64 [N], number of the group of each image, from 0; None: each is by itself.
    """

    log_probabilities: np.ndarray
    labels: np.ndarray
    seeds: list[int]
    hard: bool = False
    group: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """The likeliest class of each seed and image, int64 [S, N]."""
        return self.log_probabilities.argmax(2)


def read_predictions(name: str) -> Predictions:
    """Read the test predictions of a slot (see `paths`).

    Raises:
        ValueError: The file is missing or damaged, or of an older version.
    """
    path = paths.test_predictions(name)
    arrays = read_arrays(path)
    if "seeds" not in arrays:
        raise ValueError(f"{path} is of an older version, without its seeds: run `dvc repro`.")
    with parsing(path):
        return _checked(arrays["logits"], arrays["labels"], arrays["seeds"], arrays.get("group"))


def _checked(
    logits: np.ndarray, labels: np.ndarray, seeds: np.ndarray, group: np.ndarray | None
) -> Predictions:
    """Make predictions from arrays whose dtypes and shapes fit each other.

    Raises:
        ValueError: The arrays do not fit, or a logit is not finite.
    """
    if labels.dtype.kind not in "iu" or seeds.dtype.kind not in "iu":
        raise ValueError(f"labels and seeds must be integers, got {labels.dtype}, {seeds.dtype}")
    if logits.ndim != 3 or logits.shape[:2] != (*seeds.shape, *labels.shape) or not logits.size:
        raise ValueError(f"logits must be [seeds, images, classes], got {list(logits.shape)}")
    if logits.dtype.kind != "f" or not np.isfinite(logits).all():
        raise ValueError("logits must be finite")
    if not (0 <= labels.min() and labels.max() < logits.shape[2]):
        raise ValueError(f"labels must be in 0..{logits.shape[2] - 1}")
    if group is not None:
        check_group(group, len(labels))
    log_probabilities = log_softmax(logits.astype(float), axis=2)
    return Predictions(log_probabilities, labels, seeds.tolist(), group=group)


def check_alike(predictions: dict[str, Predictions]) -> None:
    """Check that predictions, by name, can be paired.

    Raises:
        ValueError: Two of them have different seeds or different test images.
    """
    (first, of_first), *others = predictions.items()
    for name, other in others:
        if other.seeds != of_first.seeds:
            raise ValueError(
                f"{first} has test predictions of seeds {of_first.seeds}, {name} of {other.seeds}: "
                "only runs with the same seeds can be paired. Run `dvc repro`."
            )
        same_groups = np.array_equal(other.group, of_first.group)  # None is None, too
        if not np.array_equal(other.labels, of_first.labels) or not same_groups:
            raise ValueError(
                f"{first} and {name} were scored on other test images: only the same images can "
                "be paired. Run `dvc repro`."
            )


def accuracy(predictions: Predictions) -> np.ndarray:
    """Whether each test image is classified correctly, bool [S, N]."""
    return predictions.predicted == predictions.labels


def nll(predictions: Predictions) -> np.ndarray:
    """Log-likelihood of each label in nats, the negative of the loss, float [S, N].

    Raises:
        ValueError: A hard vote has no probabilities.
    """
    if predictions.hard:
        raise ValueError("Shares of hard votes are no probabilities: compare them by accuracy.")
    labels = predictions.labels
    return predictions.log_probabilities[:, np.arange(len(labels)), labels]


# Scores that classifiers are compared by, one per seed and image; higher is better.
SCORES = {"accuracy": accuracy, "nll": nll}


def scores_to_compare(predictions: Predictions, metric: str) -> np.ndarray:
    """The scores of each seed and image, or of each seed and group if images come in groups.

    Args:
        predictions: Predictions of one classifier.
        metric: Name of the score, a key of `SCORES`.
    """
    return of_groups(SCORES[metric](predictions), predictions.group)
