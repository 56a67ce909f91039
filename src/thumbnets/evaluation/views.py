"""Predictions under several views of an image (`data.views`), and their average.

Importing it does not import torch, because the params check reads the names.
"""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from thumbnets.data.views import VIEWS, View, transformed

if TYPE_CHECKING:
    from thumbnets.training.classifier import Batched, Classifier


def array_name(views: str) -> str:
    """Name, in a file of predictions, of the array of logits under a set of views."""
    return "logits" if views == "none" else f"logits_{views}"


def predict(
    classifier: "Classifier", images: "Batched", names: Iterable[str]
) -> dict[str, np.ndarray]:
    """Logits under several sets of views; each view is computed once.

    Args:
        classifier: Trained network with its metadata.
        images: uint8 [N, C, H, W], or bags of images; read in chunks, so they may be memory-mapped.
        names: Keys of `VIEWS`.

    Returns:
        For each name float32 [N, K]: plain logits of a single view, otherwise their `average`.
    """
    needed = dict.fromkeys(view for name in names for view in VIEWS[name])
    seen = {view: predict_view(classifier, images, view) for view in needed}
    return {
        name: seen[VIEWS[name][0]]
        if len(VIEWS[name]) == 1
        else average(np.stack([seen[view] for view in VIEWS[name]]))
        for name in names
    }


def predict_view(classifier: "Classifier", images: "Batched", view: View) -> np.ndarray:
    """Logits float32 [N, K] of images, or bags of them, under a single view.

    Raises:
        ValueError: A logit is not finite.
    """
    from thumbnets.training.classifier import check_finite  # needs torch

    mirrored, down, right = view
    seen = partial(transformed, mirrored=mirrored, down=down, right=right)
    return check_finite(classifier.logits(images, view=seen))


def average(logits: np.ndarray) -> np.ndarray:
    """Combine predictions of several views as soft voting does: the log of mean probabilities.

    A mean of logits would give more weight to views with larger logits, and depend on a constant
    that softmax ignores. The softmax of the result is the mean of the views' probabilities.

    Args:
        logits: float [V, N, K], class scores of each view before the softmax.

    Returns:
        float [N, K], of the same dtype: log-probabilities, and so logits.
    """
    wide = logits.astype(np.float64)
    log_probabilities = wide - np.logaddexp.reduce(wide, axis=2, keepdims=True)
    mean = np.logaddexp.reduce(log_probabilities, axis=0) - np.log(len(logits))
    return mean.astype(logits.dtype)
