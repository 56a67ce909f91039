"""Heat maps: which pixels of an image speak for its class, found by covering parts of it.

Covering (occlusion) looks at nothing inside the network, so that it is the same for every network
and for an ensemble.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from thumbnets.artifacts import replacing
from thumbnets.data.arrays import Meta

_PATCH = 4  # the side of an image in sides of the patch that covers a part of it
_STEPS = 4  # steps by which the patch moves its own side
_SHOWN = 224  # pixels, at least, of the side of a picture
_HOT = (230, 30, 30)  # RGB


def heatmap(
    image: np.ndarray, log_probabilities: Callable[[np.ndarray], np.ndarray], meta: Meta
) -> np.ndarray:
    """How much the log-probability of the predicted class falls when a part is covered.

    A patch of the mean colour of the training images, a quarter of the side, is moved over the
    image. The value of a pixel is the mean fall over all patches that cover it (0 for a rise), as a
    fraction of the largest.

    Args:
        image: uint8 [C, H, W], of the size that the model takes.
        log_probabilities: From images uint8 [N, C, H, W] to float64 [N, K].
        meta: Metadata of the training images.

    Returns:
        float64 [H, W], 0 to 1; all 0 if no part speaks for the class.

    Source: Zeiler and Fergus 2014, arXiv:1311.2901, section 4.2; there the patch is grey.
    """
    side = image.shape[1]
    patch = max(1, side // _PATCH)
    starts = _starts(side, patch)
    colour = np.rint(255 * np.array(meta.mean)).astype(np.uint8)[:, None, None]
    covered = np.repeat(image[None], 1 + len(starts) ** 2, axis=0)  # the first as it is
    corners = [(top, left) for top in starts for left in starts]
    for number, (top, left) in enumerate(corners, 1):
        covered[number, :, top : top + patch, left : left + patch] = colour
    first, *others = log_probabilities(covered)
    predicted = first.argmax()
    falls, times = np.zeros((side, side)), np.zeros((side, side))
    for (top, left), found in zip(corners, others, strict=True):
        area = np.s_[top : top + patch, left : left + patch]
        falls[area] += first[predicted] - found[predicted]
        times[area] += 1
    heat = np.maximum(falls / times, 0)
    return heat / heat.max() if heat.max() > 0 else heat


def _starts(side: int, patch: int) -> list[int]:
    """Where the patch begins, so that its steps reach both ends."""
    last = side - patch
    return sorted({*range(0, last, max(1, patch // _STEPS)), last})


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image with its heat map in red over it.

    Args:
        image: uint8 [C, H, W].
        heat: float [H, W], 0 to 1.

    Returns:
        uint8 [3, H, W].
    """
    colours = np.broadcast_to(image, (3, *image.shape[1:]))
    share = 0.7 * heat
    return np.rint((1 - share) * colours + share * np.array(_HOT)[:, None, None]).astype(np.uint8)


def write_overlay(path: Path, image: np.ndarray, heat: np.ndarray) -> None:
    """Write what `overlay` gives, enlarged, as PNG.

    Raises:
        OSError: The disk is full or read-only.
    """
    mixed = overlay(image, heat).transpose(1, 2, 0)
    times = max(1, -(-_SHOWN // len(heat)))
    with replacing(path) as file:
        Image.fromarray(mixed.repeat(times, 0).repeat(times, 1)).save(file, "PNG")
