"""Sprint CNN: 29,434 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.options import Count
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="small cnn",
    parameters=29_434,
    source="this project: high accuracy in the first seconds of training",
)
def sprint_cnn(
    *, in_channels: int, image_size: int, num_classes: int, width: Count = 16
) -> nn.Module:
    """Three convolutions of 1, 2 and 4 times `width` maps; the first one strides, so all is small.

    Args:
        width: Maps of the first convolution.

    Raises:
        ValueError: The images are smaller than 8 pixels.
    """
    if image_size < 8:
        raise ValueError(f"sprint_cnn needs images of at least 8 pixels, got {image_size}.")

    def block(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    side = -(-image_size // 2) // 2 // 2
    return nn.Sequential(
        *block(in_channels, width, 5, 2),  # [N, 16, 14, 14]
        *block(width, 2 * width, 3, 1),
        nn.MaxPool2d(2),
        *block(2 * width, 4 * width, 3, 1),  # [N, 64, 7, 7]
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width * side**2, num_classes),
    )
