"""What an ensemble says of the training images, for networks that learn from it (`distill`)."""

from collections.abc import Iterable

import numpy as np
from tqdm import tqdm

from thumbnets.ensembles.scoring import combine
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.evaluation.views import VIEWS, transformed
from thumbnets.training.batches import Images
from thumbnets.training.classifier import Classifier


def teach(
    votes: list[dict[str, int]],
    members: dict[str, list[Classifier]],
    images: Images,
    views: str,
) -> np.ndarray:
    """Log-probabilities of the mean over seeds of the selected ensembles, view by view.

    Args:
        votes: For each seed how often each member was chosen.
        members: For each model one classifier a seed, in the same order.
        images: The training images.
        views: A key of `VIEWS`.

    Returns:
        float32 [V, N, K].
    """
    taught = []
    for view in tqdm(VIEWS[views], "teaching", leave=False, delay=2, disable=None):
        probabilities = {
            name: np.stack([to_probabilities(_logits(c, images, view)) for c in classifiers])
            for name, classifiers in members.items()
        }
        of_seeds = [combine(v, probabilities, number, "soft") for number, v in enumerate(votes)]
        taught.append(np.log(np.maximum(np.mean(of_seeds, axis=0), 1e-12)))
    return np.stack(taught).astype(np.float32)


def chosen(votes: Iterable[dict[str, int]]) -> list[str]:
    """The members that were chosen for any seed, sorted."""
    return sorted({name for of_seed in votes for name in of_seed})


def _logits(classifier: Classifier, images: Images, view: tuple[bool, int, int]) -> np.ndarray:
    parts = images.split(classifier.at_once)
    return np.concatenate([classifier.logits(transformed(some, *view)) for some in parts])
