"""Changes of the brightness, contrast and colour of images."""

import torch
from torch import Generator, Tensor

from thumbnets.data.constants import constant
from thumbnets.options import Fraction, HalfTurn
from thumbnets.registry import AUGMENTATIONS

_GREY_WEIGHTS = (0.2989, 0.587, 0.114)  # of red, green and blue in the brightness of a pixel


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

    The distribution is that of torchvision's ColorJitter, with an order of its own for each image.
    Saturation and hue apply to images of three channels (red, green and blue) alone.

    Args:
        images: uint8 [N, C, H, W].
        generator: Source of randomness, on the device of `images`.
        brightness: Half-width of the factor's range, uniform in 1 - brightness..1 + brightness.
        contrast: Half-width of the range of the factor of contrast.
        saturation: Half-width of the range of the factor of saturation.
        hue: Largest turn of the colour circle, uniform in -hue..hue; 0.5 is half of the circle.
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
        turns: Turns of the colour circle, float32 [N]; 1 is the whole circle.
        order: int64 [4, N], the order of the four changes, numbered as above.
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
        if counts_freely(images.device):
            turned = (kind == 3).nonzero()[:, 0]
            changed[turned] = turn_hues(changed[turned], turns[turned])
        else:
            changed = torch.where(kinds == 3, turn_hues(changed, turns), changed)
    return changed.round_().short().to(torch.uint8)


def counts_freely(device: torch.device) -> bool:
    """Whether picking out images costs less than computing all: on a GPU it means to wait.

    Args:
        device: Device that computes.
    """
    return device.type == "cpu"


def greyed(images: Tensor) -> Tensor:
    """Brightness of every pixel, by ITU-R 601: float32 [N, 3, H, W] to [N, 1, H, W]."""
    shares = constant(_GREY_WEIGHTS, images.device)
    return (images * shares[:, None, None]).sum(1, keepdim=True)


def turn_hues(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of every pixel and keep its saturation and value (as in HSV).

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
    corners = constant((5.0, 3.0, 1.0), images.device)[:, None, None]
    k = ((hue + 6 * turns[:, None, None])[:, None] + corners) % 6
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp_(0, 1)


@AUGMENTATIONS.register()
def greyscale(images: Tensor, *, generator: Generator, p: Fraction = 0.2) -> Tensor:
    """Convert images to grey, in three channels; images of one channel stay as they are.

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
    shares = constant(_GREY_WEIGHTS if c == 3 else (1 / c,) * c, images.device)
    means = images.sum((2, 3)) / (h * w)  # of whole numbers: exact in any order
    greys = (means * shares).sum(1) * around_mean
    offsets = ((1 - factors) * greys)[:, None, None, None]
    changed = torch.addcmul(offsets, images.float(), factors[:, None, None, None])
    return changed.round_().clamp_(0, 255).short().to(torch.uint8)
