"""Sprint CNN: 215,370 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.options import Count
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="small cnn",
    parameters=215_370,
    source="this project: high accuracy in the first seconds of training",
)
def sprint_cnn(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    width: Count = 16,
    hidden: Count | None = 128,
    batch_norm: bool = False,
) -> nn.Module:
    """Two 5x5 convolutions with stride 2, of `width` and 2 `width` channels, then `hidden`-classes.

    Strides in place of pooling: a training step of a small network is mostly passes over its
    activations, and these are few and small.

    Args:
        width: Channels of the first convolution.
        hidden: Units between the convolutions and the logits: the features of an encoder. None: no
            such layer, so that the features are those of the second convolution.
        batch_norm: Normalise before each ReLU, in place of biases.
    """
    bias, side = not batch_norm, -(-image_size // 4)
    features = 2 * width * side**2

    def rectified(normalised: nn.Module) -> list[nn.Module]:
        return [*([normalised] if batch_norm else []), nn.ReLU(inplace=True)]

    layers = [
        nn.Conv2d(in_channels, width, 5, stride=2, padding=2, bias=bias),  # [N, 16, 14, 14]
        *rectified(nn.BatchNorm2d(width)),
        nn.Conv2d(width, 2 * width, 5, stride=2, padding=2, bias=bias),  # [N, 32, 7, 7]
        *rectified(nn.BatchNorm2d(2 * width)),
        nn.Flatten(),
    ]
    if hidden:  # built in order: so their weights are drawn
        layers += [nn.Linear(features, hidden, bias=bias), *rectified(nn.BatchNorm1d(hidden))]
    return nn.Sequential(*layers, nn.Linear(hidden or features, num_classes))
