"""CNN A: 2,174 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="small cnn",
    parameters=2_174,
    source="Five Fashion-MNIST networks, figure 2, model 3",
)
def cnn_a(*, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
    """Two 3x3 convolutions of 4 channels with batch norm and pooling, then one linear layer.

    Raises:
        ValueError: The images are smaller than 4 pixels.
    """
    side = image_size // 2 // 2
    if side < 1:
        raise ValueError(f"cnn_a needs images of at least 4 pixels, got {image_size}.")
    return nn.Sequential(
        nn.Conv2d(in_channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),  # [N, 4, 14, 14]
        nn.Conv2d(4, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),  # [N, 4, 7, 7]
        nn.Flatten(),
        nn.Linear(4 * side**2, num_classes),
    )
