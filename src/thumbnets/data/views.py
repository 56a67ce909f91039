"""Views: mirrored and moved versions of an image, for test-time augmentation.

Free of torch at import, because the params check reads the names.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

View = tuple[bool, int, int]  # whether mirrored left to right, then pixels down and to the right

_MOVES = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]

VIEWS: dict[str, list[View]] = {
    "none": [(False, 0, 0)],
    "flip": [(mirrored, 0, 0) for mirrored in (False, True)],
    "shift": [(False, *move) for move in _MOVES],
    "flip_shift": [(mirrored, *move) for mirrored in (False, True) for move in _MOVES],
}


def transformed(images: "Tensor", mirrored: bool, down: int, right: int) -> "Tensor":
    """Images mirrored left to right, then moved; the uncovered pixels are zero.

    Args:
        images: uint8 [N, C, H, W].
        mirrored: Whether the images are mirrored.
        down, right: Distance that the images move, in pixels.

    Returns:
        Images of the same shape and dtype.
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
