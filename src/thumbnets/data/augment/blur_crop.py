"""Crops and blurs: every row and column of the result is a weighted mean of those of the source."""

from functools import cache

import torch
from torch import Generator, Tensor

from thumbnets.data.augment.rectangles import first_of, tries
from thumbnets.options import Fraction, Pixels, Ratios, Shares
from thumbnets.registry import AUGMENTATIONS


@AUGMENTATIONS.register()
def resized_crop(
    images: Tensor,
    *,
    generator: Generator,
    area: Shares = (0.08, 1.0),
    aspect: Ratios = (0.75, 1.3333333333333333),
) -> Tensor:
    """Cut a random rectangle out of every image, and stretch it to the image's size.

    The distribution is that of torchvision's RandomResizedCrop with bilinear interpolation: an
    image stays as it is if none of ten tries of size and aspect ratio lies inside it.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        area: Range of the rectangle's area as a fraction of the image, uniform.
        aspect: Range of height / width; its logarithm is uniform.

    Source: Szegedy et al. 2015, arXiv:1409.4842, section 6.
    """
    n, _, h, w = images.shape
    draws = torch.rand(2, 10, n, generator=generator, device=images.device)
    place = torch.rand(2, n, generator=generator, device=images.device)
    sides = tries(draws, area, aspect, h, w)
    fits = (sides >= 1).all(0) & (sides[0] <= h) & (sides[1] <= w)
    height, width = first_of(sides, fits)
    height, width = height.where(fits.any(0), h), width.where(fits.any(0), w)
    top, left = (place[0] * (h - height + 1)).floor(), (place[1] * (w - width + 1)).floor()
    return _weighted(images, _stretch(h, top, height), _stretch(w, left, width))


def _stretch(length: int, start: Tensor, size: Tensor) -> Tensor:
    """Weights float32 [N, length, length] that stretch `size` pixels from `start` on to `length`.

    Interpolation is linear between the centres of two pixels, and constant beyond the last one.
    """
    at = torch.arange(length, dtype=torch.float32, device=start.device)
    place = (at + 0.5) * (size / length)[:, None] - 0.5
    place = start[:, None] + torch.minimum(place.clamp_(min=0), size[:, None] - 1)
    return (1 - (place[..., None] - at).abs_()).clamp_(min=0)


@AUGMENTATIONS.register()
def blur(
    images: Tensor,
    *,
    generator: Generator,
    p: Fraction = 0.5,
    sigma: Ratios = (0.1, 2.0),
    radius: Pixels = 1,
) -> Tensor:
    """Blur images with a Gaussian, each by its own width; images are padded by reflection.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        p: Probability for each image.
        sigma: Range of the Gaussian's standard deviation in pixels, uniform.
        radius: Radius of the kernel, which has 2 * radius + 1 pixels per side.

    Raises:
        ValueError: The radius is not smaller than the image's side.

    Source: Chen et al. 2020, arXiv:2002.05709, appendix A (a kernel of a tenth of the image).
    """
    h, w = images.shape[2:]
    if radius >= min(h, w):
        raise ValueError(f"radius of blur must be less than the image's {min(h, w)}, got {radius}.")
    chosen, width = torch.rand(2, len(images), generator=generator, device=images.device)
    width = sigma[0] + (sigma[1] - sigma[0]) * width
    taps = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (taps / width[:, None]) ** 2)
    kernel = torch.where((chosen < p)[:, None], kernel, (taps == 0).float())
    kernel = kernel / kernel.sum(1, keepdim=True)
    rows, columns = (
        (kernel @ _mirrored(side, radius, images.device).flatten(1)).view(-1, side, side)
        for side in (h, w)
    )
    return _weighted(images, rows, columns)


@cache
def _mirrored(length: int, radius: int, device: torch.device) -> Tensor:
    """Source pixels of each of K kernel pixels, one-hot: float32 [K, length, length], 0 and 1."""
    at = torch.arange(length, device=device)
    source = (at + torch.arange(-radius, radius + 1, device=device)[:, None]).abs()
    source = (length - 1) - (length - 1 - source).abs()
    return torch.nn.functional.one_hot(source, length).float()


def _weighted(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Means of rows, and then of columns, with weights float32 [N, H, H] and [N, W, W]."""
    mixed = rows[:, None] @ images.float() @ columns.mT[:, None]
    return mixed.round_().clamp_(0, 255).short().to(torch.uint8)
