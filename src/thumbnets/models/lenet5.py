"""LeNet-5: 61,706 parameters on 28x28x1 with 10 classes."""

from typing import Literal

from torch import nn

from thumbnets.models.layers import perceptron
from thumbnets.registry import NETWORKS

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
_POOLS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


@NETWORKS.register(
    family="lenet",
    parameters=61_706,
    source="LeCun et al. 1998, Proc. IEEE 86(11), section II; fully connected maps, linear output",
)
def lenet5(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    activation: Literal["relu", "tanh"] = "relu",
    pool: Literal["max", "average"] = "max",
) -> nn.Module:
    """Two 5x5 convolutions (6 and 16 channels), each pooled by 2, then 120-84-classes.

    The first convolution is padded by 2, so that 28x28 images keep the sizes of the paper's 32x32.

    Raises:
        ValueError: The images are smaller than 12 pixels.
    """
    side = (image_size // 2 - 4) // 2
    if side < 1:
        raise ValueError(f"lenet5 needs images of at least 12 pixels, got {image_size}.")
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5, padding=2),
        _ACTIVATIONS[activation](),
        _POOLS[pool](2),  # [N, 6, 14, 14]
        nn.Conv2d(6, 16, 5),
        _ACTIVATIONS[activation](),
        _POOLS[pool](2),  # [N, 16, 5, 5]
        nn.Flatten(),
        *perceptron([16 * side**2, 120, 84, num_classes], _ACTIVATIONS[activation]),
    )
