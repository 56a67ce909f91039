"""Augmentations of whole batches, with an independent draw for every image.

Each works on uint8 images as they lie in memory (a quarter of the bytes of float32) and by index
arithmetic where it can; pixels from outside the image are 0.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from thumbnets.options import Degrees, Fraction, Pixels
from thumbnets.registry import AUGMENTATIONS
from thumbnets.training.settings import Choice

Augmentation = Callable[[Tensor, Generator], Tensor]


def pipeline(choices: list[Choice]) -> Augmentation:
    """One function that applies the chosen augmentations in order.

    Returns:
        A function of uint8 images [N, C, H, W] and a generator on their device, which returns new
        images of the same shape and dtype.
    """
    steps = [(AUGMENTATIONS.load(choice.name), choice.options) for choice in choices]

    def augment(images: Tensor, generator: Generator) -> Tensor:
        for step, options in steps:
            images = step(images, generator=generator, **options)
        return images

    return augment


@AUGMENTATIONS.register()
def shift(images: Tensor, *, generator: Generator, pixels: Pixels = 2) -> Tensor:
    """Move every image by whole pixels, each axis uniform in -pixels..pixels.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        pixels: Greatest move along an axis.
    """
    n, _, h, w = images.shape
    moves = torch.randint(-pixels, pixels + 1, (2, n), generator=generator, device=images.device)
    padded = torch.nn.functional.pad(images, (pixels, pixels, pixels, pixels))
    # The crop of each image is a view into the padded batch: gather whole rows, then columns.
    rows = _crop(padded, pixels - moves[0], h, dim=2)
    return _crop(rows, pixels - moves[1], w, dim=3)


def _crop(images: Tensor, start: Tensor, length: int, dim: int) -> Tensor:
    """`length` rows (dim 2) or columns (dim 3) of each image, from its own start."""
    index = start[:, None] + torch.arange(length, device=images.device)  # [N, length]
    shape = list(images.shape)
    shape[dim] = length
    view = [len(index), 1, 1, 1]
    view[dim] = length
    return images.gather(dim, index.view(view).expand(shape))


@AUGMENTATIONS.register()
def flip(images: Tensor, *, generator: Generator, p: Fraction = 0.5) -> Tensor:
    """Mirror images left to right.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        p: Probability for each image.
    """
    chosen = torch.rand(len(images), generator=generator, device=images.device) < p
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


@AUGMENTATIONS.register()
def rotation(images: Tensor, *, generator: Generator, degrees: Degrees = 5.0) -> Tensor:
    """Turn every image about its centre, counter-clockwise, by the nearest source pixel.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        degrees: Greatest angle; each image's is uniform in -degrees..degrees.
    """
    draw = torch.rand(len(images), generator=generator, device=images.device)
    return rotate(images, (2 * draw - 1) * math.radians(degrees))


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Turn each image counter-clockwise by its own angle.

    Args:
        images: uint8 [N, C, H, W].
        angles: float32 [N], radians.
    """
    n, c, h, w = images.shape
    y = torch.arange(h, device=images.device) - (h - 1) / 2
    x = torch.arange(w, device=images.device) - (w - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    # Where each pixel of the result comes from: the inverse turn, y pointing down.
    source_x = (x * cos - y[:, None] * sin + (w - 1) / 2).round().long()  # [N, H, W]
    source_y = (x * sin + y[:, None] * cos + (h - 1) / 2).round().long()
    inside = (source_x >= 0) & (source_x < w) & (source_y >= 0) & (source_y < h)
    index = (source_y * w + source_x).where(inside, 0).view(n, 1, h * w).expand(n, c, h * w)
    turned = images.reshape(n, c, h * w).gather(2, index).view(n, c, h, w)
    return turned * inside[:, None]


@AUGMENTATIONS.register()
def cutout(images: Tensor, *, generator: Generator, size: Pixels = 8) -> Tensor:
    """Blank one square of every image; its centre is any pixel, so it may reach over the edge.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        size: Side of the square in pixels.

    Source: DeVries and Taylor 2017, arXiv:1708.04552, section 3.2.
    """
    n, _, h, w = images.shape
    top = torch.randint(h, (n, 1), generator=generator, device=images.device) - size // 2
    left = torch.randint(w, (n, 1), generator=generator, device=images.device) - size // 2
    y, x = torch.arange(h, device=images.device), torch.arange(w, device=images.device)
    rows = (y >= top) & (y < top + size)  # [N, H]
    columns = (x >= left) & (x < left + size)  # [N, W]
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])
