"""Predictions of an ensemble for the training images, which method `distill` learns from."""

from collections.abc import Iterable

import numpy as np
from tqdm import tqdm

from thumbnets.data.views import VIEWS
from thumbnets.ensembles.rules import Ensemble, combine, members_of
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.evaluation.views import predict_view
from thumbnets.training.batches import Images
from thumbnets.training.classifier import Classifier


def teach(
    ensembles: list[Ensemble],
    members: dict[str, Classifier],
    images: Images,
    views: str,
) -> np.ndarray:
    """Log-probabilities of the mean of the selected ensembles, view by view.

    Args:
        ensembles: Ensembles of all groups of seeds.
        members: Classifier of each member training.
        images: Training images.
        views: Set of views, a key of `VIEWS`.

    Returns:
        float32 [V, N, K].
    """
    taught = []
    for view in tqdm(VIEWS[views], "teaching", leave=False, delay=2, disable=None):
        probabilities = {
            name: to_probabilities(predict_view(classifier, images, view))
            for name, classifier in members.items()
        }
        combined = [combine(ensemble, probabilities, "soft") for ensemble in ensembles]
        taught.append(np.log(np.maximum(np.mean(combined, axis=0), 1e-12)))
    return np.stack(taught).astype(np.float32)


def chosen(ensembles: Iterable[Ensemble]) -> list[str]:
    """Names of the member trainings of all ensembles, sorted."""
    return sorted({name for ensemble in ensembles for name in members_of(ensemble)})
