"""Erasing parts of images: squares that may reach over the edge, and rectangles inside."""

import math
from typing import Literal

import torch
from torch import Generator, Tensor

from thumbnets.data.augment.rectangles import first_of, tries
from thumbnets.options import Fraction, Pixels, Ratios, Shares
from thumbnets.registry import AUGMENTATIONS


@AUGMENTATIONS.register()
def cutout(images: Tensor, *, generator: Generator, size: Pixels = 8) -> Tensor:
    """Blank one square of every image; its centre is any pixel, so it may reach over the edge.

    Blank is black. The source blanks after normalisation, so with the mean of the images.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        size: Side of the square in pixels.

    Source: DeVries and Taylor 2017, arXiv:1708.04552, section 3.2.
    """
    n, _, h, w = images.shape
    top = torch.randint(h, (n, 1), generator=generator, device=images.device) - size // 2
    left = torch.randint(w, (n, 1), generator=generator, device=images.device) - size // 2
    return images * _outside(images, top, left, size, size)


@AUGMENTATIONS.register()
def erasing(
    images: Tensor,
    *,
    generator: Generator,
    p: Fraction = 0.5,
    area: Shares = (0.02, 0.33),
    aspect: Ratios = (0.3, 3.3),
    fill: Literal["zero", "noise"] = "zero",
) -> Tensor:
    """Blank a rectangle inside the image, of random size, aspect ratio and position.

    The distribution is that of torchvision's RandomErasing: an image stays as it is if none of ten
    tries of size and aspect ratio is smaller than the image.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        p: Probability for each image.
        area: Range of the rectangle's area as a fraction of the image, uniform.
        aspect: Range of height / width; its logarithm is uniform.
        fill: Content of the rectangle: zero, or noise, uniform in 0..255 for every pixel and
            channel, as in the paper.

    Source: Zhong et al. 2017, arXiv:1708.04896.
    """
    n, _, h, w = images.shape
    draws = torch.rand(2, 10, n, generator=generator, device=images.device)
    chosen, y, x = torch.rand(3, n, generator=generator, device=images.device)
    sides = tries(draws, area, aspect, h, w)
    fits = (sides[0] < h) & (sides[1] < w)
    height, width = first_of(sides, fits).where(fits.any(0) & (chosen < p), 0)
    top, left = (y * (h - height + 1)).floor(), (x * (w - width + 1)).floor()
    keep = _outside(images, *(side[:, None] for side in (top, left, height, width)))
    if fill == "zero":
        return images * keep
    return images * keep + _noise(images, generator) * (1 - keep)


def _noise(images: Tensor, generator: Generator) -> Tensor:
    """Uniform bytes in the shape of `images`, four from each draw."""
    draws = torch.randint(
        -(2**31),
        2**31,
        (math.ceil(images.numel() / 4),),
        dtype=torch.int32,
        generator=generator,
        device=images.device,
    )
    return draws.view(torch.uint8)[: images.numel()].view(images.shape)


def _outside(
    images: Tensor, top: Tensor, left: Tensor, height: Tensor | int, width: Tensor | int
) -> Tensor:
    """uint8 [N, 1, H, W]: 0 in each image's rectangle, 1 elsewhere; arguments [N, 1], in pixels."""
    h, w = images.shape[2:]
    y, x = torch.arange(h, device=images.device), torch.arange(w, device=images.device)
    rows = (y < top) | (y >= top + height)  # [N, H]
    columns = (x < left) | (x >= left + width)  # [N, W]
    # As bytes: torch combines those several times faster than bools.
    return rows.view(torch.uint8)[:, None, :, None] | columns.view(torch.uint8)[:, None, None, :]
