"""SimpleNet: thirteen plain convolutions with batch norm, then a global maximum.

On 28x28x1 with 10 classes: v1 5,497,226, slim 311,210, small_050 1,378,506, small_075 3,095,338,
5m 5,497,226, 9m 9,188,874 parameters. The names say 5.48 M and 310 K because their source counts
weights of convolutions and the linear layer alone, and the others at 1,000 classes.
"""

from itertools import count
from typing import Literal

from torch import nn

from thumbnets.models.blocks import GroupDropout, conv_block
from thumbnets.options import Probability
from thumbnets.registry import NETWORKS

# Channels of each convolution; M halves the image. The eleventh and twelfth are 1x1, the others
# 3x3.
_V1 = (64, *[128] * 3, "M", *[128] * 2, 256, "M", *[256] * 2, "M", 512, 2048, 256, "M", 256)
_SLIM = (64, *[32] * 3, "M", *[32] * 2, 64, "M", *[64] * 2, "M", 128, 256, 64, "M", 64)
_SMALL_050 = (32, *[64] * 5, "M", *[128] * 3, 256, "M", 1024, 128, 128)
_SMALL_075 = (48, *[96] * 5, "M", *[192] * 3, 384, "M", 1536, 192, 192)
_5M = (64, *[128] * 5, "M", *[256] * 3, 512, "M", 2048, 256, 256)
_9M = (128, *[192] * 5, "M", *[320] * 3, 640, "M", 2560, 320, 320)
_1X1 = {10, 11}  # counted from 0

# Which convolutions halve the image, so that 224 pixels are 28 at the first pooling.
_STRIDES = {"none": (), "m1": (0, 1, 2), "m2": (0, 1, 3)}


@NETWORKS.register(
    family="simplenet",
    parameters=5_497_226,
    source="Hasanpour et al. 2016, arXiv:1608.06037, 5.48 M",
)
def simplenet_v1(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    dropout: Probability = 0.1,
) -> nn.Module:
    """The network for CIFAR, MNIST and SVHN.

    Args:
        dropout: Probability of zeroing a whole channel after each pooling (the source's best runs).

    Raises:
        ValueError: The images are smaller than 16 pixels.
    """
    shape = ("simplenet_v1", in_channels, image_size, num_classes)
    return _simplenet(_V1, *shape, "none", dropout)


@NETWORKS.register(
    family="simplenet",
    parameters=311_210,
    source="Hasanpour et al. 2016, arXiv:1608.06037, 310 K",
)
def simplenet_slim(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    dropout: Probability = 0.0,
) -> nn.Module:
    """The slim network for CIFAR, MNIST and SVHN.

    Args:
        dropout: Probability of zeroing a whole channel after each pooling.

    Raises:
        ValueError: The images are smaller than 16 pixels.
    """
    shape = ("simplenet_slim", in_channels, image_size, num_classes)
    return _simplenet(_SLIM, *shape, "none", dropout)


@NETWORKS.register(
    family="simplenet",
    parameters=1_378_506,
    source="Hasanpour et al. 2016, arXiv:1608.06037, small 0.5",
)
def simplenet_small_050(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    strides: Literal["auto", "none", "m1", "m2"] = "auto",
    dropout: Probability = 0.0,
) -> nn.Module:
    """Half the channels of `simplenet_5m`: 1,506,792 parameters on ImageNet.

    Args:
        strides: Set of convolutions that halve the image; auto: m2 beyond 64 pixels, else none.
        dropout: Probability of zeroing a whole channel after each pooling.

    Raises:
        ValueError: The images are smaller than 4 pixels (25 with strides).
    """
    shape = ("simplenet_small_050", in_channels, image_size, num_classes)
    return _simplenet(_SMALL_050, *shape, strides, dropout)


@NETWORKS.register(
    family="simplenet",
    parameters=3_095_338,
    source="Hasanpour et al. 2016, arXiv:1608.06037, small 0.75",
)
def simplenet_small_075(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    strides: Literal["auto", "none", "m1", "m2"] = "auto",
    dropout: Probability = 0.0,
) -> nn.Module:
    """Three quarters of the channels of `simplenet_5m`: 3,287,272 parameters on ImageNet.

    Args:
        strides: Set of convolutions that halve the image; auto: m2 beyond 64 pixels, else none.
        dropout: Probability of zeroing a whole channel after each pooling.

    Raises:
        ValueError: The images are smaller than 4 pixels (25 with strides).
    """
    shape = ("simplenet_small_075", in_channels, image_size, num_classes)
    return _simplenet(_SMALL_075, *shape, strides, dropout)


@NETWORKS.register(
    family="simplenet",
    parameters=5_497_226,
    source="Hasanpour et al. 2016, arXiv:1608.06037, 5m",
)
def simplenet_5m(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    strides: Literal["auto", "none", "m1", "m2"] = "auto",
    dropout: Probability = 0.0,
) -> nn.Module:
    """The layers of `simplenet_v1` with two poolings for ImageNet: 5,752,808 parameters there.

    Args:
        strides: Set of convolutions that halve the image; auto: m2 beyond 64 pixels, else none.
        dropout: Probability of zeroing a whole channel after each pooling.

    Raises:
        ValueError: The images are smaller than 4 pixels (25 with strides).
    """
    shape = ("simplenet_5m", in_channels, image_size, num_classes)
    return _simplenet(_5M, *shape, strides, dropout)


@NETWORKS.register(
    family="simplenet",
    parameters=9_188_874,
    source="Hasanpour et al. 2016, arXiv:1608.06037, 9m",
)
def simplenet_9m(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    strides: Literal["auto", "none", "m1", "m2"] = "auto",
    dropout: Probability = 0.0,
) -> nn.Module:
    """The widest network for ImageNet: 9,508,968 parameters there.

    Args:
        strides: Set of convolutions that halve the image; auto: m2 beyond 64 pixels, else none.
        dropout: Probability of zeroing a whole channel after each pooling.

    Raises:
        ValueError: The images are smaller than 4 pixels (25 with strides).
    """
    shape = ("simplenet_9m", in_channels, image_size, num_classes)
    return _simplenet(_9M, *shape, strides, dropout)


def _simplenet(
    layers: tuple,
    name: str,
    in_channels: int,
    image_size: int,
    num_classes: int,
    strides: str,
    dropout: float,
) -> nn.Module:
    """Convolutions with the poolings between them, a global maximum, and one linear layer.

    Where the two published implementations differ this is the PyTorch one: batch norm after every
    convolution and before pooling, poolings that round down, dropout of whole channels.
    """
    strides = ("m2" if image_size > 64 else "none") if strides == "auto" else strides
    side = _last_side(layers, strides, image_size)
    if side < 1:
        least = next(n for n in count(1) if _last_side(layers, strides, n))
        raise ValueError(f"{name} needs images of at least {least} pixels, got {image_size}.")
    network, channels, convolutions = nn.Sequential(), in_channels, count()
    for layer in layers:
        if layer == "M":
            network.extend(_pooling(2, dropout))
        else:
            index = next(convolutions)
            kernel, stride = 1 if index in _1X1 else 3, 2 if index in _STRIDES[strides] else 1
            network.append(conv_block(channels, layer, kernel, stride=stride, norm_momentum=0.05))
            channels = layer
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight, nn.init.calculate_gain("relu"))
    return network.extend(
        [*_pooling(side, dropout), nn.Flatten(), nn.Linear(channels, num_classes)]
    )


def _last_side(layers: tuple, strides: str, side: int) -> int:
    """Side of the last feature maps in pixels; 0 if nothing is left."""
    for _ in _STRIDES[strides]:
        side = (side + 1) // 2
    return side // 2 ** layers.count("M")


def _pooling(side: int, dropout: float) -> list[nn.Module]:
    return [nn.MaxPool2d(side), *([GroupDropout(dropout)] if dropout else [])]
