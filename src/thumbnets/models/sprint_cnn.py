"""Sprint CNN: 215,370 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.models.layers import perceptron
from thumbnets.options import Count
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="small cnn",
    parameters=215_370,
    source="this project: high accuracy in the first seconds of training",
)
def sprint_cnn(
    *, in_channels: int, image_size: int, num_classes: int, width: Count = 16
) -> nn.Module:
    """Two 5x5 convolutions of `width` and 2 `width` maps, which stride instead of pooling, then
    128-classes: few passes over small activations, which is what a step of a small network costs.

    Args:
        width: Maps of the first convolution.
    """
    side = -(-image_size // 4)
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 5, stride=2, padding=2),  # [N, 16, 14, 14]
        nn.ReLU(inplace=True),
        nn.Conv2d(width, 2 * width, 5, stride=2, padding=2),  # [N, 32, 7, 7]
        nn.ReLU(inplace=True),
        nn.Flatten(),
        *perceptron([2 * width * side**2, 128, num_classes], nn.ReLU),
    )
