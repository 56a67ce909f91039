"""VGG networks for small images.

On 28x28x1 with 10 classes: VGG8b 7,328,266, VGG11b 9,984,778, VGG11 9,229,962 parameters.
"""

from itertools import pairwise
from typing import Literal

from torch import nn

from thumbnets.models.blocks import conv_block, linear_block
from thumbnets.models.layers import Dropout
from thumbnets.options import Positive, Probability
from thumbnets.registry import NETWORKS

# Channels of each 3x3 convolution; M halves the image.
_VGG8B = (128, 256, "M", 256, 512, "M", 512, "M", 512, "M")
_VGG11B = (128, 128, 128, 256, "M", 256, 512, "M", 512, 512, "M", 512, "M")
_VGG11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")

_HIDDEN = 1024  # units of the linear block, at any width


@NETWORKS.register(
    family="vgg",
    parameters=7_328_266,
    source="Nøkland and Eidnes 2019, arXiv:1901.06656, vgg8b",
)
def vgg8b(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    multiplier: Positive = 1.0,
    activation: Literal["relu", "leaky_relu"] = "relu",
    dropout: Probability = 0.0,
) -> nn.Module:
    """Six convolutions and one hidden linear layer of 1,024, all with batch norm.

    Args:
        multiplier: Factor of the channels of every convolution (2 and 3 in the source).
        activation: Activation function; leaky_relu where the source trains with the losses sim and
            predsim.
        dropout: Probability of zeroing a whole channel, and a unit of the hidden linear layer.

    Raises:
        ValueError: The images are smaller than 16 pixels.
    """
    shape = ("vgg8b", in_channels, image_size, num_classes)
    return _of_blocks(_VGG8B, *shape, multiplier, activation, dropout)


@NETWORKS.register(
    family="vgg",
    parameters=9_984_778,
    source="Nøkland and Eidnes 2019, arXiv:1901.06656, vgg11b",
)
def vgg11b(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    multiplier: Positive = 1.0,
    activation: Literal["relu", "leaky_relu"] = "relu",
    dropout: Probability = 0.0,
) -> nn.Module:
    """Nine convolutions and one hidden linear layer of 1,024, all with batch norm.

    Args:
        multiplier: Factor of the channels of every convolution (2 and 3 in the source).
        activation: Activation function; leaky_relu where the source trains with the losses sim and
            predsim.
        dropout: Probability of zeroing a whole channel, and a unit of the hidden linear layer.

    Raises:
        ValueError: The images are smaller than 16 pixels.
    """
    shape = ("vgg11b", in_channels, image_size, num_classes)
    return _of_blocks(_VGG11B, *shape, multiplier, activation, dropout)


def _of_blocks(
    layers: tuple,
    name: str,
    in_channels: int,
    image_size: int,
    num_classes: int,
    multiplier: float,
    activation: str,
    dropout: float,
) -> nn.Module:
    """Convolutional blocks with pooling between them, one linear block, and the output layer.

    The first convolution of images beyond 64 pixels (STL-10) is 7x7 and halves them.
    """
    if image_size < 16:
        raise ValueError(f"{name} needs images of at least 16 pixels, got {image_size}.")
    first = {"kernel": 7, "stride": 2} if image_size > 64 else {}
    side = (image_size + 1) // 2 if first else image_size
    channels = [in_channels, *(max(1, int(n * multiplier)) for n in layers if n != "M")]
    convolutions = iter(pairwise(channels))
    network = nn.Sequential()
    for layer in layers:
        if layer == "M":
            network.append(nn.MaxPool2d(2))
            side //= 2
        else:
            own = {} if len(network) else first
            block = conv_block(*next(convolutions), activation=activation, dropout=dropout, **own)
            network.append(block)
    network.append(nn.Flatten())
    network.append(
        linear_block(channels[-1] * side**2, _HIDDEN, activation=activation, dropout=dropout)
    )
    return network.append(nn.Linear(_HIDDEN, num_classes))


@NETWORKS.register(
    family="vgg",
    parameters=9_229_962,
    source="Simonyan and Zisserman 2015, arXiv:1409.1556, configuration A; batch norm, one linear "
    "layer",
)
def vgg11(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    batch_norm: bool = True,
    dropout: Probability = 0.0,
) -> nn.Module:
    """The eight convolutions of torchvision's configuration A, at a size that small images have.

    Poolings round up, since otherwise five of them leave nothing of 28 pixels. One linear layer
    reads the mean of the last feature maps; torchvision's three, of 119 million values, are for
    feature maps of 7x7. If 32 divides the side of the images, feature maps are torchvision's.

    Args:
        batch_norm: Whether each convolution has a batch norm (torchvision's vgg11_bn) or not
            (vgg11).
        dropout: Probability of zeroing one of the 512 features of the linear layer.
    """
    channels = [in_channels, *(n for n in _VGG11 if n != "M")]
    convolutions = iter(pairwise(channels))
    return nn.Sequential(
        *(
            nn.MaxPool2d(2, ceil_mode=True)
            if layer == "M"
            else conv_block(*next(convolutions), norm=batch_norm)
            for layer in _VGG11
        ),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        *([Dropout(dropout)] if dropout else []),
        nn.Linear(channels[-1], num_classes),
    )
