"""Rectangles of random size and aspect ratio, for crops and erasing."""

import math

import torch
from torch import Tensor

from thumbnets.options import Ratios, Shares


def tries(draws: Tensor, area: Shares, aspect: Ratios, h: int, w: int) -> Tensor:
    """Heights and widths of rectangles, whole pixels, [2, T, N]; from uniform `draws` [2, T, N]."""
    pixels = h * w * (area[0] + (area[1] - area[0]) * draws[0])
    low, high = math.log(aspect[0]), math.log(aspect[1])
    root = torch.exp((low + (high - low) * draws[1]) / 2)
    return torch.stack([pixels.sqrt() * root, pixels.sqrt() / root]).round()


def first_of(tries: Tensor, fits: Tensor) -> Tensor:
    """Of the tries [2, T, N] the first one that `fits`, bool [T, N], or else the first: [2, N]."""
    first = fits.byte().argmax(0)  # of equal ones the first, or 0 if none fits
    return tries.gather(1, first.expand(2, 1, -1))[:, 0]
