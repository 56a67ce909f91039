"""Reading an image as patches, the experiment of the five Fashion-MNIST networks.

The source does not define its patching. Two readings: `permute` gives the network the same pixels
in the order of patches, which does not change what a perceptron with independent initial weights
learns; `shared` applies one small network to every patch and averages its logits, which does.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from thumbnets.models import create_model


class NetworkSettings(Protocol):
    """What a model block sets of its network, see `training.settings.ModelSettings`."""

    name: str
    arch: str
    options: dict[str, Any]
    train: Any


def to_patches(images: Tensor, size: int) -> Tensor:
    """Cut images into non-overlapping square patches.

    Args:
        images: [N, C, H, W]; H and W are multiples of `size`.
        size: Side of a patch in pixels.

    Returns:
        [N, P, C, size, size], patches row by row.
    """
    n, c, h, w = images.shape
    grid = images.view(n, c, h // size, size, w // size, size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, c, size, size)


class PatchOrder(nn.Module):
    """Lay the pixels out patch after patch: a fixed permutation, in the shape of the image."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        return to_patches(images, self.size).reshape(images.shape)


class SharedPatches(nn.Module):
    """One network over every patch; the logits are averaged over the patches of an image."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, images: Tensor) -> Tensor:
        patches = to_patches(images, self.size)
        logits = self.network(patches.flatten(0, 1))
        return logits.view(*patches.shape[:2], -1).mean(dim=1)


def build(
    settings: NetworkSettings, *, in_channels: int, image_size: int, num_classes: int
) -> nn.Module:
    """The network of a model block, with fresh weights: the architecture, and its patching.

    Raises:
        ValueError: The patch size does not divide the image, or as for `create_model`.
    """
    patches = settings.train.patches
    if patches and image_size % patches.size:
        raise ValueError(
            f"models.{settings.name}.patches.size must divide the image's {image_size} pixels, "
            f"got {patches.size}."
        )
    size = patches.size if patches and patches.mode == "shared" else image_size
    network = create_model(
        settings.arch,
        in_channels=in_channels,
        image_size=size,
        num_classes=num_classes,
        **settings.options,
    )
    network = network.to(memory_format=_memory_format(network))
    if patches is None:
        return network
    if patches.mode == "shared":
        return SharedPatches(network, patches.size)
    return nn.Sequential(PatchOrder(patches.size), network)


def _memory_format(network: nn.Module) -> torch.memory_format:
    """Channels last where a convolution has 8 channels or more: 1.2 to 1.6 times as fast on a CPU.

    With fewer channels it is slower (CNN A: 2.6 times). The format is part of the arithmetic,
    so it depends on the network alone and not on the machine.
    """
    channels = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    return torch.channels_last if max(channels, default=0) >= 8 else torch.contiguous_format
