"""Tiny CNNs for MNIST: 7,496 parameters on 28x28x1 with 10 classes, or 5,328 as a skeleton."""

from typing import Literal, NamedTuple

from torch import nn

from thumbnets.models.layers import Dropout
from thumbnets.models.norms import BatchNorm2d
from thumbnets.options import Probability
from thumbnets.registry import NETWORKS


class _Layout(NamedTuple):
    channels: tuple[int, int, int, int, int, int]  # two convolutions, the transition, three more
    padding: int  # of the first two
    drops_transition: bool
    head: tuple[int, ...]  # channels of the 1x1 convolutions between the average and the logits
    smallest: int  # image, pixels


_LAYOUTS = {
    "skeleton": _Layout((8, 16, 4, 8, 16, 16), 1, True, (), 14),
    "best": _Layout((8, 16, 8, 12, 16, 20), 0, False, (16,), 18),
}


@NETWORKS.register(
    family="tiny cnn",
    parameters=7_496,
    source="Not-Just-Another-MNIST, best model",
)
def tiny_cnn(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    layout: Literal["skeleton", "best"] = "best",
    dropout: Probability = 0.025,
    order: Literal["norm_relu", "relu_norm"] = "norm_relu",
) -> nn.Module:
    """Six convolutions without biases, a global average, at most 20 channels, and 1x1 convolutions.

    Args:
        layout: best, of the source's experiments 2 and 3; skeleton, of experiment 1, which pads the
            first two convolutions and has no 1x1 convolution between average and logits.
        dropout: Probability of zeroing a value after each block; in `best` none after the
            transition.
        order: norm_relu as in the source's summary; relu_norm as in the notebooks behind its
            99.43 % and 99.53 %.

    Raises:
        ValueError: The images are smaller than 18 pixels, or 14 for the skeleton.
    """
    channels, padding, drops_transition, head, smallest = _LAYOUTS[layout]
    if image_size < smallest:
        raise ValueError(f"tiny_cnn needs images of at least {smallest} pixels, got {image_size}.")

    def block(
        in_channels: int, out_channels: int, kernel: int, *, padding: int = 0, drops: bool = True
    ) -> list[nn.Module]:
        conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, bias=False)
        norm, relu = BatchNorm2d(out_channels), nn.ReLU(inplace=True)
        first, second = (norm, relu) if order == "norm_relu" else (relu, norm)
        return [conv, first, second, *([Dropout(dropout)] if dropout and drops else [])]

    first, second, transition, *rest = channels
    layers = [
        *block(in_channels, first, 3, padding=padding),
        *block(first, second, 3, padding=padding),  # [N, 16, 24, 24]
        nn.MaxPool2d(2),
        *block(second, transition, 1, drops=drops_transition),  # [N, 8, 12, 12]
    ]
    for in_channels, out_channels in zip(channels[2:-1], rest, strict=True):
        layers += block(in_channels, out_channels, 3)  # at last [N, 20, 6, 6]
    layers.append(nn.AdaptiveAvgPool2d(1))
    for in_channels, out_channels in zip((rest[-1], *head), head, strict=False):
        layers += block(in_channels, out_channels, 1)
    last = (*channels, *head)[-1]
    return nn.Sequential(*layers, nn.Conv2d(last, num_classes, 1, bias=False), nn.Flatten())
