"""Mixes: two images of a batch are combined, and their labels are weighted accordingly.

Each blends a normalised batch with a permutation of itself, with one weight for the whole batch, as
the papers' code does.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from thumbnets.choices import Choice
from thumbnets.data.constants import one_hot
from thumbnets.options import Concentration
from thumbnets.registry import MIXES

Mix = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]


def mixer(choice: Choice | None, classes: int) -> Mix:
    """The chosen mix, or the identity without a choice.

    Args:
        choice: Name and options of the mix.
        classes: Number of classes.

    Returns:
        A function of float32 images [N, C, H, W], labels int64 [N] and a generator on their
        device. It returns new images and targets float32 [N, classes], whose rows sum to 1
        (without a choice images and labels as they are): both are targets of `cross_entropy`.
    """
    if choice is None:
        return lambda images, labels, generator: (images, labels)
    mix = MIXES.load(choice.name)
    return lambda images, labels, generator: mix(
        images, labels, generator=generator, classes=classes, **choice.options
    )


@MIXES.register()
def mixup(
    images: Tensor,
    labels: Tensor,
    *,
    generator: Generator,
    classes: int,
    alpha: Concentration = 0.2,
) -> tuple[Tensor, Tensor]:
    """Add up two images: a share of one, the rest of the other.

    Args:
        images: float32 [N, C, H, W].
        labels: int64 [N].
        generator: Source of randomness, on the device of `images`.
        classes: Number of classes.
        alpha: The share is drawn from Beta(alpha, alpha); 1 is uniform, less is nearer to 0 or 1.

    Source: Zhang et al. 2018, arXiv:1710.09412.
    """
    share = beta(alpha, generator).float()
    other = torch.randperm(len(labels), generator=generator, device=labels.device)
    targets = one_hot(labels, classes)
    mixed = images.index_select(0, other).lerp(images, share)
    return mixed, targets.index_select(0, other).lerp(targets, share)


@MIXES.register()
def cutmix(
    images: Tensor,
    labels: Tensor,
    *,
    generator: Generator,
    classes: int,
    alpha: Concentration = 1.0,
) -> tuple[Tensor, Tensor]:
    """Put a rectangle of another image into each one; the label's share is that of its pixels.

    Args:
        images: float32 [N, C, H, W].
        labels: int64 [N].
        generator: Source of randomness, on the device of `images`.
        classes: Number of classes.
        alpha: The share that stays, before the rectangle is cut off at the edges, is drawn from
            Beta(alpha, alpha).

    Source: Yun et al. 2019, arXiv:1905.04899.
    """
    n, _, h, w = images.shape
    side = (1 - beta(alpha, generator)).sqrt()
    y, x = torch.rand(2, generator=generator, device=images.device).double()
    rows, columns = cut(h, side, y), cut(w, side, x)
    other = torch.randperm(n, generator=generator, device=images.device)
    inside = rows[:, None] & columns
    mixed = torch.where(inside, images.index_select(0, other), images)
    replaced = (inside.sum() / (h * w)).float()
    targets = one_hot(labels, classes)
    return mixed, targets.lerp(targets.index_select(0, other), replaced)


def cut(length: int, side: Tensor, centre: Tensor) -> Tensor:
    """Extent of a rectangle along an axis, cut off at the edges: bool [length], True inside.

    Args:
        length: Pixels of the axis.
        side: Side of the rectangle as a fraction of the axis, float64.
        centre: Centre of the rectangle as a fraction of the axis, in [0, 1), float64.
    """
    half = (length * side).long() // 2
    middle = (length * centre).long()
    at = torch.arange(length, device=side.device)
    return (at >= middle - half) & (at < middle + half)


def beta(alpha: float, generator: Generator) -> Tensor:
    """One draw from Beta(alpha, alpha): float64, on the generator's device."""
    shape = torch.full((2,), alpha, dtype=torch.float64, device=generator.device)
    one, other = torch._standard_gamma(
        shape, generator
    )  # the only sampler of torch that takes a generator
    return one / (one + other)
