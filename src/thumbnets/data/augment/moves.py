"""Images moved and mirrored by whole pixels: rows and images are copied as they lie in memory."""

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from thumbnets.options import Fraction, Pixels
from thumbnets.registry import AUGMENTATIONS


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
