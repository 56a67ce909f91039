"""Views: the same test image seen several times, so that the predictions can be averaged.

Free of torch at import, because the params check reads the names.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from thumbnets.registry import unknown

if TYPE_CHECKING:
    from torch import Tensor

_MOVES = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]

# For each set its views: whether mirrored left to right, then pixels down and to the right.
VIEWS: dict[str, list[tuple[bool, int, int]]] = {
    "none": [(False, 0, 0)],
    "flip": [(mirrored, 0, 0) for mirrored in (False, True)],
    "shift": [(False, *move) for move in _MOVES],
    "flip_shift": [(mirrored, *move) for mirrored in (False, True) for move in _MOVES],
}


def views(images: "Tensor", name: str) -> Iterator["Tensor"]:
    """The views of a set, one after another; the first is the images themselves.

    Args:
        images: uint8 [N, C, H, W].
        name: A key of `VIEWS`.

    Returns:
        Batches of the same shape and dtype; zeros come in where an image moves away.

    Raises:
        ValueError: There is no such set.
    """
    if name not in VIEWS:
        raise ValueError(unknown("set of views", name, VIEWS))
    return (
        _moved(images.flip(3) if mirrored else images, down, right)
        for mirrored, down, right in VIEWS[name]
    )


def _moved(images: "Tensor", down: int, right: int) -> "Tensor":
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
