"""Views: the same test image seen several times, so that the predictions can be averaged.

Free of torch at import, because the params check reads the names.
"""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from thumbnets.training.classifier import Batched, Classifier

View = tuple[bool, int, int]  # whether mirrored left to right, then pixels down and to the right

_MOVES = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]

VIEWS: dict[str, list[View]] = {
    "none": [(False, 0, 0)],
    "flip": [(mirrored, 0, 0) for mirrored in (False, True)],
    "shift": [(False, *move) for move in _MOVES],
    "flip_shift": [(mirrored, *move) for mirrored in (False, True) for move in _MOVES],
}


def array_name(views: str) -> str:
    """Under what name the logits of a set of views stand in a file of predictions."""
    return "logits" if views == "none" else f"logits_{views}"


def predict(
    classifier: "Classifier", images: "Batched", names: Iterable[str]
) -> dict[str, np.ndarray]:
    """Logits under several sets of views; each view is looked at once.

    Args:
        classifier: Trained.
        images: uint8 [N, C, H, W], or bags of images; looked at in parts, so they may be mapped.
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


def transformed(images: "Tensor", mirrored: bool, down: int, right: int) -> "Tensor":
    """Images mirrored left to right, then moved; zeros come in where they move away.

    Args:
        images: uint8 [N, C, H, W].
        mirrored: Whether they are mirrored.
        down, right: Pixels that they move.

    Returns:
        Of the same shape and dtype.
    """
    if mirrored:
        images = images.flip(3)
    if not (down or right):
        return images
    h, w = images.shape[2:]
    moved = images.new_zeros(images.shape)
    moved[:, :, max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)] = images[
        :, :, max(-down, 0) : h - max(down, 0), max(-right, 0) : w - max(right, 0)
    ]
    return moved


def average(logits: np.ndarray) -> np.ndarray:
    """Combine predictions of several views as soft voting does: the log of mean probabilities.

    A mean of logits would let the view with the widest logits decide, and depend on a constant
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
