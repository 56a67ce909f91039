"""Test predictions of a run: of a model as `evaluate` wrote them, of the ensemble put together."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from thumbnets import paths
from thumbnets.artifacts import parsing, read_arrays, read_json
from thumbnets.ensembles.members import by_training, model_of
from thumbnets.ensembles.rules import combine, members_of
from thumbnets.evaluation.metrics import to_log_probabilities

ENSEMBLE = "ensemble"  # which no model block can be called


@dataclass(frozen=True)
class Predictions:
    """Of one classifier, on all test images.

    Attributes:
        log_probabilities: float [S, N, K], of a hard vote logarithms of the shares of votes. Of
            ensembles with several seeds each there are S / seeds instead.
        labels: int64 [N].
        seeds: S seeds, one a training.
        hard: Whether it is a hard vote, whose shares are no probabilities.
    """

    log_probabilities: np.ndarray
    labels: np.ndarray
    seeds: list[int]
    hard: bool = False

    @property
    def predicted(self) -> np.ndarray:
        """The likeliest class of each seed and image, int64 [S, N]."""
        return self.log_probabilities.argmax(2)


def read_predictions(name: str) -> Predictions:
    """Read the test predictions of a model block, or of the `ensemble` that counts.

    Raises:
        ValueError: An artifact is missing, or the ensemble's are of different runs.
    """
    if name == ENSEMBLE:
        return _read_ensemble()
    path = paths.test_predictions(name)
    arrays = read_arrays(path)
    if "seeds" not in arrays:
        raise ValueError(f"{path} is of an older version, without its seeds: run `dvc repro`.")
    with parsing(path):
        return _checked(arrays["logits"], arrays["labels"], arrays["seeds"])


def _checked(logits: np.ndarray, labels: np.ndarray, seeds: np.ndarray) -> Predictions:
    """Make predictions of arrays whose dtypes and shapes fit each other.

    Raises:
        ValueError: They do not, or a logit is not finite.
    """
    if labels.dtype.kind not in "iu" or seeds.dtype.kind not in "iu":
        raise ValueError(f"labels and seeds must be integers, got {labels.dtype}, {seeds.dtype}")
    if logits.ndim != 3 or logits.shape[:2] != (*seeds.shape, *labels.shape) or not logits.size:
        raise ValueError(f"logits must be [seeds, images, classes], got {list(logits.shape)}")
    if logits.dtype.kind != "f" or not np.isfinite(logits).all():
        raise ValueError("logits must be finite")
    if not (0 <= labels.min() and labels.max() < logits.shape[2]):
        raise ValueError(f"labels must be in 0..{logits.shape[2] - 1}")
    return Predictions(log_softmax(logits.astype(float), axis=2), labels, seeds.tolist())


def _read_ensemble() -> Predictions:
    counted, selection = read_json(paths.ENSEMBLE_METRICS), read_json(paths.SELECTION)
    if counted.get("rule") not in next(iter(selection.values())):
        raise ValueError(f"{paths.SELECTION} is of an older version: run `dvc repro`.")
    ensembles = {group: of_group[counted["rule"]] for group, of_group in selection.items()}
    names = sorted({model_of(t) for chosen in ensembles.values() for t in members_of(chosen)})
    members = {name: read_predictions(name) for name in names}
    check_alike(members)
    first = members[names[0]]
    # JSON sorts groups by their names; what counts is the order of the seeds.
    groups = sorted(ensembles, key=lambda group: _place(group, first.seeds))
    if [int(seed) for group in groups for seed in group.split()] != first.seeds:
        raise ValueError(f"{paths.SELECTION} is of other seeds than {names[0]}: run `dvc repro`.")
    probabilities = by_training(
        {name: np.exp(member.log_probabilities) for name, member in members.items()}, first.seeds
    )
    voted = [combine(ensembles[group], probabilities, counted["voting"]) for group in groups]
    return Predictions(
        log_probabilities=to_log_probabilities(np.stack(voted)),
        labels=first.labels,
        seeds=first.seeds,
        hard=counted["voting"] == "hard",
    )


def _place(group: str, seeds: list[int]) -> int:
    first = int(group.split()[0])
    return seeds.index(first) if first in seeds else -1


def check_alike(predictions: dict[str, Predictions]) -> None:
    """Refuse predictions by name that can't be paired.

    Raises:
        ValueError: Two of them are of other seeds or other test images.
    """
    (first, of_first), *others = predictions.items()
    for name, other in others:
        if other.seeds != of_first.seeds:
            raise ValueError(
                f"{first} has test predictions of seeds {of_first.seeds}, {name} of {other.seeds}: "
                "only runs with the same seeds can be paired. Run `dvc repro`."
            )
        if not np.array_equal(other.labels, of_first.labels):
            raise ValueError(
                f"{first} and {name} were scored on other test images: only the same images can "
                "be paired. Run `dvc repro`."
            )


def accuracy(predictions: Predictions) -> np.ndarray:
    """Whether each test image is recognised, bool [S, N]."""
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


# What classifiers are compared by: a score of each seed and image, the higher the better.
SCORES = {"accuracy": accuracy, "nll": nll}
