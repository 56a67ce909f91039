"""torchvision's classifiers, by `torchvision/<name>`: the first layer and the head fit the data."""

import torch
from torch import nn
from torchvision import models
from torchvision.ops import StochasticDepth

from thumbnets.models.blocks import GroupDropout
from thumbnets.models.layers import Dropout
from thumbnets.registry import NETWORKS

_LARGEST_TRIED = 512  # pixels; end of the search for the smallest size that a network takes


@NETWORKS.register(
    family="torchvision", source="torchvision.models, each with its paper", library=True
)
def torchvision(name: str, *, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
    """A network as torchvision builds it, without its auxiliary classifiers.

    Args:
        name: Name of the network in torchvision.models.

    Raises:
        ValueError: The network does not take images of that size.
    """
    try:
        network = models.get_model(
            name, num_classes=num_classes, **_extra_arguments(name, image_size)
        )
    except (AssertionError, ValueError) as error:  # transformers are made for one size
        raise ValueError(_message(name, image_size, error)) from None
    _fit_first_layer(network, in_channels)
    _replace_dropout(network)
    if (error := _trial(network, image_size)) is not None:
        sizes = range(image_size + 1, _LARGEST_TRIED)
        network.to("meta")  # where only shapes are computed
        least = next((n for n in sizes if _trial(network, n) is None), None)
        if least is None:
            raise ValueError(_message(name, image_size, error))
        raise ValueError(
            f"torchvision/{name} needs images of at least {least} pixels, got {image_size}."
        )
    return network


def _extra_arguments(name: str, image_size: int) -> dict[str, object]:
    """Arguments that only some of torchvision's builders take."""
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_"):
        return {"image_size": image_size}
    if name.startswith("maxvit_"):
        return {"input_size": (image_size, image_size)}
    return {}


def _fit_first_layer(network: nn.Module, in_channels: int) -> None:
    """Replace the first convolution by one for `in_channels`, with fresh weights."""
    name, old = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    if old.in_channels != in_channels:
        new = nn.Conv2d(
            in_channels,
            old.out_channels,
            old.kernel_size,
            old.stride,
            old.padding,
            bias=old.bias is not None,
        )
        network.set_submodule(name, new)


def _replace_dropout(network: nn.Module) -> None:
    """Replace torch's dropout by ours, which draws from the generators of the training."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.Dropout):
            network.set_submodule(name, Dropout(layer.p))
        elif isinstance(layer, StochasticDepth):
            network.set_submodule(name, GroupDropout(layer.p, axes=1))


@torch.no_grad()
def _trial(network: nn.Module, image_size: int) -> RuntimeError | None:
    """The error of a forward pass with one image of that size, if any."""
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    images = first.weight.new_zeros(1, first.in_channels, image_size, image_size)
    try:
        network.eval()(images)
    except RuntimeError as error:
        return error
    finally:
        network.train()


def _message(name: str, image_size: int, error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"torchvision/{name} does not take images of {image_size} pixels: {reason}"
