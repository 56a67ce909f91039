"""Moving, mirroring, turning, shearing, scaling and bending images.

Moves and mirrorings are by whole pixels: rows and images are copied as they lie in memory. The
others sample every pixel from a position of its own.
"""

import math
from functools import cache

import torch
from torch import Generator, Tensor
from torch.nn.functional import grid_sample, pad

from thumbnets.options import (
    AcuteDegrees,
    Blur,
    Degrees,
    Distance,
    Fraction,
    NonNegative,
    Pixels,
    Ratios,
)
from thumbnets.registry import AUGMENTATIONS


@AUGMENTATIONS.register()
def shift(images: Tensor, *, generator: Generator, pixels: Pixels = 2) -> Tensor:
    """Move every image by whole pixels, each axis uniform in -pixels..pixels.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        pixels: Greatest move along an axis.
    """
    moves = torch.randint(
        -pixels, pixels + 1, (2, len(images)), generator=generator, device=images.device
    )
    return move(images, *moves, pixels)


def move(images: Tensor, down: Tensor, right: Tensor, pixels: int) -> Tensor:
    """Move each image by its own whole pixels.

    Args:
        images: uint8 [N, C, H, W].
        down: int64 [N], -pixels to pixels.
        right: int64 [N], likewise.
        pixels: Greatest move along an axis.
    """
    n, c, h, w = images.shape
    padded = pad(images.contiguous(), (pixels, pixels, pixels, pixels))
    width = w + 2 * pixels
    # A row of the result is `w` neighbours in memory: find where each begins.
    rows = torch.arange(0, padded.numel(), width, device=images.device)
    rows = rows.view(n, c, -1)[:, :, pixels : pixels + h]
    starts = rows + (pixels - right - down * width)[:, None, None]
    return padded.view(-1).unfold(0, w, 1).index_select(0, starts.flatten()).view(n, c, h, w)


@AUGMENTATIONS.register()
def flip(images: Tensor, *, generator: Generator, p: Fraction = 0.5) -> Tensor:
    """Mirror images left to right.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        p: Probability for each image.
    """
    return mirror(images, torch.rand(len(images), generator=generator, device=images.device) < p)


def mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the images that are `chosen`, bool [N], left to right."""
    n = len(images)
    both = torch.cat([images, images.flip(3)])
    return both.index_select(0, torch.arange(n, device=images.device) + n * chosen)


@AUGMENTATIONS.register()
def alternating_flip(images: Tensor, *, generator: Generator, epoch: int, index: Tensor) -> Tensor:
    """Mirror each image in every other epoch: a random half in the first, the others in the next.

    Seed, image and epoch decide alone: both views of SimCLR, the members of an ensemble and repeats
    of an image in an epoch are mirrored alike.

    Args:
        images: uint8 [N, C, H, W].
        generator: Generator whose seed (not its state) decides which half begins, so that a resumed
            training continues in the same order.
        epoch: Number of the epoch, from 1.
        index: int64 [N], each image's place in the training set.

    Source: Jordan 2024, arXiv:2404.00498, section 3.6; here with a hash that depends on the seed.
    """
    return mirror(images, ((_hashed(index, generator.initial_seed()) + epoch) & 1).bool())


def _hashed(index: Tensor, seed: int) -> Tensor:
    """Fair, unrelated bits for each number, int64: the finaliser of SplitMix64 (Steele 2014)."""
    bits = index + seed % 2**63
    bits = (bits ^ (bits >> 30)) * -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9 modulo 2**64
    bits = (bits ^ (bits >> 27)) * -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB
    return bits ^ (bits >> 31)


@AUGMENTATIONS.register()
def rotation(images: Tensor, *, generator: Generator, degrees: Degrees = 5.0) -> Tensor:
    """Turn every image about its centre, by the nearest source pixel.

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
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    return _map(images, torch.stack([cos, -sin, zero, sin, cos, zero]).view(2, 3, -1))


@AUGMENTATIONS.register()
def affine(
    images: Tensor,
    *,
    generator: Generator,
    degrees: Degrees = 5.0,
    translate: Distance = 1,
    scale: Ratios = (1.0, 1.0),
    shear: AcuteDegrees = 0.0,
) -> Tensor:
    """Shear, scale and turn every image about its centre, then move it: one look-up per pixel.

    The distribution is that of torchvision's RandomAffine except for moves: there a rounded uniform
    draw gives the greatest move half the weight of the others; here all have the same weight, as
    in `shift`.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        degrees: Greatest angle; each image's is uniform in -degrees..degrees.
        translate: Greatest move in pixels, each axis uniform in -translate..translate.
        scale: Range of the factor of size, uniform.
        shear: Greatest angle by which columns lean, in degrees; uniform in -shear..shear.
    """
    n, device = len(images), images.device
    turn, size, lean = torch.rand(3, n, generator=generator, device=device)
    moves = torch.randint(-translate, translate + 1, (2, n), generator=generator, device=device)
    return transform(
        images,
        angles=(2 * turn - 1) * math.radians(degrees),
        moves=moves,
        scales=scale[0] + (scale[1] - scale[0]) * size,
        shears=(2 * lean - 1) * math.radians(shear),
    )


def transform(
    images: Tensor, *, angles: Tensor, moves: Tensor, scales: Tensor, shears: Tensor
) -> Tensor:
    """Map each image by its own shear, scale, counter-clockwise turn and move, in this order.

    Args:
        images: uint8 [N, C, H, W].
        angles: float32 [N], radians.
        moves: int64 [2, N], pixels down and to the right.
        scales: float32 [N], factors.
        shears: float32 [N], radians: a row above the centre goes right for a positive one.
    """
    cos, sin, (down, right) = angles.cos() / scales, angles.sin() / scales, moves
    # The inverse of a turn and a scale, ...
    x = torch.stack([cos, -sin, sin * down - cos * right])
    y = torch.stack([sin, cos, -sin * right - cos * down])
    # ... and then of the shear.
    return _map(images, torch.stack([x + shears.tan() * y, y]))


def _map(images: Tensor, inverse: Tensor) -> Tensor:
    """Take for every pixel of the result the nearest one of the source.

    Args:
        images: uint8 [N, C, H, W].
        inverse: float32 [2, 3, N]: the x and the y that a pixel comes from as sums of its x, its y
            and 1, in pixels from the centre.
    """
    n, _, h, w = images.shape
    pixels, half = _pixels(h, w, images.device)
    places = (inverse / half).mT @ pixels.view(3, h * w)
    return _sample(images, places.view(2, n, h, w), "nearest")


@cache
def _pixels(h: int, w: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """x, y and 1 of every pixel, from the centre, float32 [3, H, W]; half of the size [2, 1, 1]."""
    y = torch.arange(h, device=device) - (h - 1) / 2
    x = torch.arange(w, device=device) - (w - 1) / 2
    y, x = torch.meshgrid(y, x, indexing="ij")
    half = torch.tensor([[[w / 2]], [[h / 2]]], device=device)
    return torch.stack([x, y, torch.ones_like(x)]), half


def _sample(images: Tensor, places: Tensor, mode: str) -> Tensor:
    """Sample every pixel from a position of its own.

    Args:
        images: uint8 [N, C, H, W].
        places: float32 [2, N, H, W], x and y of the position, -1 and 1 being the outer edges of the
            image.
        mode: Interpolation, nearest or bilinear.
    """
    grid = places.permute(1, 2, 3, 0)
    sampled = grid_sample(images.float(), grid, mode=mode, align_corners=False)
    return sampled.round_().short().to(torch.uint8)  # 3 times slower without int16 in between


@AUGMENTATIONS.register()
def elastic(
    images: Tensor, *, generator: Generator, alpha: NonNegative = 34.0, sigma: Blur = 4.0
) -> Tensor:
    """Displace every pixel by its own smooth field, with bilinear interpolation.

    The field is white noise, uniform in -1..1 on both axes, blurred by a Gaussian and multiplied:
    a displacement has the standard deviation alpha / (2 sqrt(3 pi) sigma) pixels, 1.4 for the
    defaults, which are the paper's. torchvision's ElasticTransform has an alpha twice as large for
    the same field.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        alpha: Factor of the blurred noise, in pixels.
        sigma: Standard deviation of the Gaussian, in pixels.

    Source: Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks",
    section 2. Here the noise is normal and lies `sigma` pixels apart, which keeps mean, variance
    and correlation to within 2e-4 and saves most of the draws; it goes on past the edges.
    """
    n, _, h, w = images.shape
    down, across = _blur(h, sigma, images.device), _blur(w, sigma, images.device)
    knots = (2 * n, across.shape[1], down.shape[1])
    noise = torch.randn(knots, generator=generator, device=images.device)
    deviation = alpha / (2 * math.sqrt(3 * math.pi) * sigma)
    fields = (noise @ (deviation * down).mT).mT @ across.mT  # [2N, H, W]
    return displace(images, fields.view(2, n, h, w))


@cache
def _blur(length: int, sigma: float, device: torch.device) -> Tensor:
    """Weights float32 [length, K] of noise that lies `sigma` pixels apart, of norm 1."""
    last = math.ceil((length - 1) / sigma) + 3  # of knots, which reach 3 sigma past the edges
    knots = torch.arange(-3, last + 1, dtype=torch.float64)
    at = torch.arange(length, dtype=torch.float64)[:, None] / sigma
    weights = torch.exp(-0.5 * (at - knots) ** 2)
    return (weights / weights.norm(dim=1, keepdim=True)).float().to(device)


def displace(images: Tensor, fields: Tensor) -> Tensor:
    """Sample every pixel from another position, by bilinear interpolation.

    Args:
        images: uint8 [N, C, H, W].
        fields: float32 [2, N, H, W], distance of that position to the right and down, in pixels.
    """
    pixels, half = _pixels(*images.shape[2:], images.device)
    unit = 1 / half[..., None]
    places = torch.addcmul(pixels[:2, None] * unit, fields, unit)
    return _sample(images, places, "bilinear")
