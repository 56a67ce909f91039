"""Augmentations of whole batches, with an independent draw for every image.

Each takes uint8 images as they lie in memory (a quarter of the bytes of float32); what comes from
outside the image is 0. Whole rows and images are moved by `index_select`, which copies blocks of
memory: several times faster on a CPU than masks, or indices of single pixels.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import grid_sample, pad

from thumbnets.options import (
    AcuteDegrees,
    Blur,
    Degrees,
    Distance,
    Fraction,
    HalfTurn,
    NonNegative,
    Pixels,
    Ratios,
    Shares,
)
from thumbnets.registry import AUGMENTATIONS
from thumbnets.training.settings import Choice

Augmentation = Callable[..., Tensor]


def pipeline(choices: list[Choice]) -> Augmentation:
    """One function that applies the chosen augmentations in order.

    Returns:
        A function of uint8 images [N, C, H, W] and, by keyword: `generator` on their device,
        `epoch` (from 1), and `index` int64 [N], the images' places in the training set. It returns
        new images of the same shape and dtype. Each augmentation gets those that it names.
    """
    steps = []
    for choice in choices:
        given = AUGMENTATIONS[choice.name].parameters.keys() & set(AUGMENTATIONS.given)
        steps.append((AUGMENTATIONS.load(choice.name), given, choice.options))

    def augment(images: Tensor, *, generator: Generator, epoch: int, index: Tensor) -> Tensor:
        moment = {"generator": generator, "epoch": epoch, "index": index}
        for step, given, options in steps:
            images = step(images, **{name: moment[name] for name in given}, **options)
        return images

    return augment


# Whole pixels.


@AUGMENTATIONS.register()
def shift(images: Tensor, *, generator: Generator, pixels: Pixels = 2) -> Tensor:
    """Move every image by whole pixels, each axis uniform in -pixels..pixels.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        pixels: Greatest move along an axis.
    """
    n, c, h, w = images.shape
    down, right = torch.randint(
        -pixels, pixels + 1, (2, n), generator=generator, device=images.device
    )
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
    return _mirror(images, torch.rand(len(images), generator=generator, device=images.device) < p)


def _mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the images that are `chosen`, bool [N], left to right."""
    n = len(images)
    both = torch.cat([images, images.flip(3)])
    return both.index_select(0, torch.arange(n, device=images.device) + n * chosen)


@AUGMENTATIONS.register()
def alternating_flip(images: Tensor, *, generator: Generator, epoch: int, index: Tensor) -> Tensor:
    """Mirror each image in every other epoch: a random half in the first, the others in the next.

    Args:
        images: uint8 [N, C, H, W].
        generator: Its seed, not its state, says which half begins: a resumed training goes on.
        epoch: Number of the epoch.
        index: int64 [N], each image's place in the training set.

    Source: Jordan 2024, arXiv:2404.00498, section 3.6; here with a hash that goes by the seed.
    """
    return _mirror(images, ((_hashed(index, generator.initial_seed()) + epoch) & 1).bool())


def _hashed(index: Tensor, seed: int) -> Tensor:
    """Fair, unrelated bits for each number, int64: the finaliser of SplitMix64 (Steele 2014)."""
    bits = index + seed % 2**63
    bits = (bits ^ (bits >> 30)) * -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9 modulo 2**64
    bits = (bits ^ (bits >> 27)) * -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB
    return bits ^ (bits >> 31)


# Affine maps, by the nearest source pixel.


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
    """Shear, scale and turn every image about its centre, then move it: one look-up a pixel.

    The law is that of torchvision's RandomAffine, but for moves: there a rounded uniform draw
    gives the greatest move half the weight of the others; here all have the same, as in `shift`.

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
    """Take every pixel from a place of its own.

    Args:
        images: uint8 [N, C, H, W].
        places: float32 [2, N, H, W], x and y, -1 and 1 being the outer edges of the image.
        mode: nearest or bilinear.
    """
    grid = places.permute(1, 2, 3, 0)
    sampled = grid_sample(images.float(), grid, mode=mode, align_corners=False)
    return sampled.round_().short().to(torch.uint8)  # without int16 in between 3 times slower


# Crops and blurs: every row and column of the result is a weighted mean of those of the source.


@AUGMENTATIONS.register()
def resized_crop(
    images: Tensor,
    *,
    generator: Generator,
    area: Shares = (0.08, 1.0),
    aspect: Ratios = (0.75, 1.3333333333333333),
) -> Tensor:
    """Cut a random rectangle out of every image, and stretch it over the image's size.

    The law is that of torchvision's RandomResizedCrop with bilinear interpolation: an image whose
    ten tries of a size and a form all fail to lie inside it stays as it is.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        area: Range of the rectangle's part of the image, uniform.
        aspect: Range of height / width; its logarithm is uniform.

    Source: Szegedy et al. 2015, arXiv:1409.4842, section 6.
    """
    n, _, h, w = images.shape
    draws = torch.rand(2, 10, n, generator=generator, device=images.device)
    place = torch.rand(2, n, generator=generator, device=images.device)
    sides = _sides(draws, area, aspect, h, w)
    fits = ((sides >= 1) & (sides <= sides.new_tensor([[[h]], [[w]]]))).all(0)
    height, width = _first(sides, fits)
    height, width = height.where(fits.any(0), h), width.where(fits.any(0), w)
    top, left = (place[0] * (h - height + 1)).floor(), (place[1] * (w - width + 1)).floor()
    return _weighted(images, _stretch(h, top, height), _stretch(w, left, width))


def _sides(draws: Tensor, area: Shares, aspect: Ratios, h: int, w: int) -> Tensor:
    """Heights and widths of rectangles, whole pixels, [2, T, N]; from uniform `draws` [2, T, N]."""
    pixels = h * w * (area[0] + (area[1] - area[0]) * draws[0])
    low, high = math.log(aspect[0]), math.log(aspect[1])
    root = torch.exp((low + (high - low) * draws[1]) / 2)
    return torch.stack([pixels.sqrt() * root, pixels.sqrt() / root]).round()


def _first(sides: Tensor, fits: Tensor) -> Tensor:
    """Of the tries [2, T, N] the first one that `fits`, bool [T, N], or else the first: [2, N]."""
    first = fits.byte().argmax(0)  # of equal ones the first, or 0 if none fits
    return sides.gather(1, first.expand(2, 1, -1))[:, 0]


def _stretch(length: int, start: Tensor, size: Tensor) -> Tensor:
    """Weights float32 [N, length, length] that stretch `size` pixels from `start` on over all.

    Between the centres of two pixels it is linear, and beyond the last centre constant.
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
    """Blur images with a Gaussian, each by its own width; the image goes on mirrored at its edges.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        p: Probability for each image.
        sigma: Range of the Gaussian's standard deviation in pixels, uniform.
        radius: Of its kernel, which has 2 * radius + 1 pixels a side.

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
    """From where each pixel K of a kernel takes pixels: float32 [K, length, length], of 0 and 1."""
    at = torch.arange(length, device=device)
    source = (at + torch.arange(-radius, radius + 1, device=device)[:, None]).abs()
    source = (length - 1) - (length - 1 - source).abs()
    return torch.nn.functional.one_hot(source, length).float()


def _weighted(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Means of rows, and then of columns, with weights float32 [N, H, H] and [N, W, W]."""
    mixed = rows[:, None] @ images.float() @ columns.mT[:, None]
    return mixed.round_().clamp_(0, 255).short().to(torch.uint8)


# Elastic.


@AUGMENTATIONS.register()
def elastic(
    images: Tensor, *, generator: Generator, alpha: NonNegative = 34.0, sigma: Blur = 4.0
) -> Tensor:
    """Displace every pixel by its own smooth field, with bilinear interpolation.

    The field is white noise, uniform in -1..1 on both axes, blurred by a Gaussian and multiplied:
    a displacement has the standard deviation alpha / (2 sqrt(3 pi) sigma) pixels, 1.4 for the
    defaults, which are the paper's. torchvision's ElasticTransform counts alpha twice as high.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        alpha: Factor of the blurred noise, in pixels.
        sigma: Standard deviation of the Gaussian, in pixels.

    Source: Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks",
    section 2. Here the noise is normal and lies `sigma` pixels apart, which leaves mean, variance
    and correlation as they are to 2e-4 and saves most of the draws; it goes on past the edges.
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
    """Take every pixel from elsewhere, between pixels by bilinear interpolation.

    Args:
        images: uint8 [N, C, H, W].
        fields: float32 [2, N, H, W], how far to the right and down that place is, in pixels.
    """
    pixels, half = _pixels(*images.shape[2:], images.device)
    unit = 1 / half[..., None]
    places = torch.addcmul(pixels[:2, None] * unit, fields, unit)
    return _sample(images, places, "bilinear")


# Light.

_SHARES = [0.2989, 0.587, 0.114]  # of red, green and blue in the brightness of a pixel


@AUGMENTATIONS.register()
def colour_jitter(
    images: Tensor,
    *,
    generator: Generator,
    brightness: Fraction = 0.4,
    contrast: Fraction = 0.4,
    saturation: Fraction = 0.0,
    hue: HalfTurn = 0.0,
    p: Fraction = 1.0,
) -> Tensor:
    """Change brightness, contrast, saturation and hue of every image, in random order.

    The law is that of torchvision's ColorJitter, with an order for each image. Saturation and hue
    are of red, green and blue: in an image of one channel they change nothing.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        brightness: Each image's factor is uniform in 1 - brightness..1 + brightness.
        contrast: Likewise.
        saturation: Likewise.
        hue: Each image's turn of the colour circle is uniform in -hue..hue; 0.5 is half of it.
        p: Probability for each image; the others stay as they are.
    """
    draws = torch.rand(3, len(images), generator=generator, device=images.device)
    chosen = 1.0
    if p < 1:
        chosen = torch.rand(len(images), generator=generator, device=images.device) < p
    brighter = 1 + brightness * (2 * draws[0] - 1) * chosen
    sharper = 1 + contrast * (2 * draws[1] - 1) * chosen
    if (saturation or hue) and images.shape[1] == 3:
        more = torch.rand(6, len(images), generator=generator, device=images.device)
        richer = 1 + saturation * (2 * more[0] - 1) * chosen
        turns = hue * (2 * more[1] - 1) * chosen
        return recoloured(images, brighter, sharper, richer, turns, more[2:].argsort(0))
    contrast_first = draws[2] < 0.5
    first = torch.where(contrast_first, sharper, brighter)
    second = torch.where(contrast_first, brighter, sharper)
    return contrasted(contrasted(images, first, contrast_first), second, ~contrast_first)


def recoloured(
    images: Tensor,
    brightness: Tensor,
    contrast: Tensor,
    saturation: Tensor,
    turns: Tensor,
    order: Tensor,
) -> Tensor:
    """Change brightness, contrast, saturation and hue, in an order of its own for each image.

    Args:
        images: uint8 [N, 3, H, W], red, green and blue.
        brightness, contrast, saturation: Factors of the distance from black, from the mean grey,
            and from the grey of each pixel, float32 [N].
        turns: Of the colour circle, float32 [N]; 1 is all of it.
        order: int64 [4, N], which of the four, numbered as above, comes first, second, …
    """
    changed = images.float()
    one = torch.ones_like(turns)
    factors = torch.stack([brightness, contrast, saturation, one])
    for kind in order:
        grey = greyed(changed)
        means = grey.mean((2, 3), keepdim=True)
        kinds, factor = kind[:, None, None, None], factors.gather(0, kind[None])[0]
        target = torch.where(kinds == 0, 0.0, torch.where(kinds == 1, means, grey))
        changed = target.lerp(changed, factor[:, None, None, None]).clamp_(0, 255)
        turned = (kind == 3).nonzero()[:, 0]
        changed[turned] = turn_hues(changed[turned], turns[turned])
    return changed.round_().short().to(torch.uint8)


def greyed(images: Tensor) -> Tensor:
    """Brightness of every pixel, by ITU-R 601: float32 [N, 3, H, W] to [N, 1, H, W]."""
    shares = torch.tensor(_SHARES, device=images.device)
    return (images * shares[:, None, None]).sum(1, keepdim=True)


def turn_hues(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of every pixel, and leave its saturation and value (those of HSV).

    Args:
        images: float32 [N, 3, H, W].
        turns: float32 [N]; 1 is the whole circle.
    """
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    red, green, blue = images.unbind(1)
    span = chroma.where(chroma > 0, 1.0)
    hue = torch.where(  # in sixths of the circle
        value == red,
        (green - blue) / span,
        torch.where(value == green, (blue - red) / span + 2, (red - green) / span + 4),
    )
    corners = torch.tensor([5.0, 3.0, 1.0], device=images.device)[:, None, None]
    k = ((hue + 6 * turns[:, None, None])[:, None] + corners) % 6
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp_(0, 1)


@AUGMENTATIONS.register()
def greyscale(images: Tensor, *, generator: Generator, p: Fraction = 0.2) -> Tensor:
    """Take the colour out of images; they keep three channels. One channel stays as it is.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        p: Probability for each image.
    """
    if images.shape[1] != 3:
        return images
    chosen = torch.rand(len(images), generator=generator, device=images.device) < p
    grey = greyed(images.float()).round_().short().to(torch.uint8)
    return torch.where(chosen[:, None, None, None], grey, images)


def contrasted(images: Tensor, factors: Tensor, around_mean: Tensor) -> Tensor:
    """Multiply the distance of all pixels from the image's mean grey, or from black.

    Args:
        images: uint8 [N, C, H, W]; three channels are red, green and blue.
        factors: float32 [N].
        around_mean: bool [N]; False: from black, which is brightness.
    """
    images = images.contiguous()
    c, h, w = images.shape[1:]
    shares = _SHARES if c == 3 else [1 / c] * c
    means = images.sum((2, 3)) / (h * w)  # of whole numbers: exact in any order
    greys = (means * torch.tensor(shares, device=images.device)).sum(1) * around_mean
    offsets = ((1 - factors) * greys)[:, None, None, None]
    changed = torch.addcmul(offsets, images.float(), factors[:, None, None, None])
    return changed.round_().clamp_(0, 255).short().to(torch.uint8)


# Blanks.


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
    """Blank a rectangle inside the image, of random size, form and place.

    The law is that of torchvision's RandomErasing: an image whose ten tries of a size and a form
    all fail to be smaller than the image stays as it is.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        p: Probability for each image.
        area: Range of the rectangle's part of the image, uniform.
        aspect: Range of height / width; its logarithm is uniform.
        fill: zero, or noise: every pixel and channel uniform in 0..255, as in the paper.

    Source: Zhong et al. 2017, arXiv:1708.04896.
    """
    n, _, h, w = images.shape
    draws = torch.rand(2, 10, n, generator=generator, device=images.device)
    chosen, y, x = torch.rand(3, n, generator=generator, device=images.device)
    sides = _sides(draws, area, aspect, h, w)
    fits = (sides[0] < h) & (sides[1] < w)
    height, width = _first(sides, fits).where(fits.any(0) & (chosen < p), 0)
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
