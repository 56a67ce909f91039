"""Predictions of an ensemble for the training images, which method `distill` learns from."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from thumbnets import paths, runtime
from thumbnets.data.arrays import read_split
from thumbnets.data.views import VIEWS
from thumbnets.ensembles.members import training
from thumbnets.ensembles.rules import Ensemble, combine, members_of
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.evaluation.views import predict_view
from thumbnets.methods.weights import load_weights
from thumbnets.training.batches import Images
from thumbnets.training.classifier import Classifier


def teacher(
    ensembles: list[Ensemble], weights: Mapping[tuple[str, int], Path], views: str, *, threads: int
) -> dict[str, np.ndarray]:
    """What method `distill` learns from: the selected ensembles' predictions for training images.

    Args:
        ensembles: Ensembles of all groups of seeds.
        weights: File of each training, by block and seed.
        views: Set of views, a key of `VIEWS`.
        threads: Number of compute threads.

    Returns:
        `log_probabilities` from `teach`, `views`, `classes`, and `sha256` of the images.

    Raises:
        ValueError: Images or weights are missing or damaged.
    """
    runtime.prepare(threads=threads)
    device, data = runtime.device(), read_split(paths.TRAIN)
    asked = chosen(ensembles)
    members = {
        name: load_weights(path, device)
        for (model, seed), path in weights.items()
        if (name := training(model, seed)) in asked
    }
    return {
        "log_probabilities": teach(ensembles, members, Images.of(data, device), views),
        "views": np.array(views),
        "classes": np.array(data.meta.classes),
        "sha256": np.array(data.meta.sha256),
    }


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
