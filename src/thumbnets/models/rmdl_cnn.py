"""A random CNN of RMDL: 774,794 to 11,891,752 parameters on 28x28x1 with 10 classes."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from thumbnets.models.layers import Dropout
from thumbnets.models.rmdl import drawing
from thumbnets.options import Probability
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="rmdl",
    parameters=3_780_595,
    source="Kowsari et al. 2018, arXiv:1805.01890, random CNN; architecture 0",
)
def rmdl_cnn(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    architecture: Annotated[int, Field(ge=0)] = 0,
    dropout: Probability = 0.05,
) -> nn.Module:
    """Two convolutions, three to nine pooled ones, of 128 to 511 channels, then 256-classes.

    The source draws depths until one fits the image; here the draw is among those that fit, which
    is the same distribution: 3 or 4 for 28 and 32 pixels, 3 to 6 for 96.

    Args:
        architecture: Number that depth and channels are drawn from, each uniform in its range. The
            first two convolutions have as many channels.
        dropout: Probability of zeroing a value after each pooling and after the 256 units.

    Raises:
        ValueError: The images are smaller than 10 pixels.
    """
    side = image_size - 2  # after the second convolution, which is not padded
    if side < 8:
        raise ValueError(f"rmdl_cnn needs images of at least 10 pixels, got {image_size}.")
    draw = drawing("rmdl_cnn", architecture)
    depth = draw(3, min(9, side.bit_length() - 1))  # so often can the side be halved
    first = draw(128, 511)
    channels = [first, *(draw(128, 511) for _ in range(depth))]

    def conv(in_channels: int, out_channels: int, padding: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(in_channels, out_channels, 3, padding=padding), nn.ReLU(inplace=True)]

    layers = [*conv(in_channels, first), *conv(first, first, padding=0)]
    for in_channels, out_channels in zip(channels[:-1], channels[1:], strict=True):
        layers += [*conv(in_channels, out_channels), nn.MaxPool2d(2), Dropout(dropout)]
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(channels[-1] * (side >> depth) ** 2, 256),
        nn.ReLU(inplace=True),
        Dropout(dropout),
        _MaxNormLinear(256, num_classes),
    )


class _MaxNormLinear(nn.Linear):
    """A linear layer whose weights are scaled down to a Euclidean norm of at most 3 per unit.

    Keras scales the weights themselves after every step; here they are scaled where they are used,
    which gives the same functions.
    """

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.renorm(2, 0, 3), self.bias)
