"""CNN C: 35,044 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.models.layers import perceptron
from thumbnets.models.norms import BatchNorm2d
from thumbnets.options import Probability
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="small cnn",
    parameters=35_044,
    source="Five Fashion-MNIST networks, figure 2, model 5",
)
def cnn_c(
    *, in_channels: int, image_size: int, num_classes: int, dropout: Probability = 0.1
) -> nn.Module:
    """3x3 convolutions of 32 channels (padded in height only) and 4 channels, then 100-150-classes.

    Raises:
        ValueError: The images are smaller than 6 pixels.
    """
    height, width = image_size // 2 // 2, (image_size - 2) // 2 // 2
    if width < 1:
        raise ValueError(f"cnn_c needs images of at least 6 pixels, got {image_size}.")
    return nn.Sequential(
        nn.Conv2d(in_channels, 32, 3, padding=(1, 0)),  # [N, 32, 28, 26]
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),  # [N, 32, 14, 13]
        nn.Conv2d(32, 4, 3, padding=1),
        BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),  # [N, 4, 7, 6]
        nn.Flatten(),
        *perceptron([4 * height * width, 100, 150, num_classes], nn.LeakyReLU, dropout),
    )
