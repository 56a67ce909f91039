"""The LeNet of 20 and 50 channels: 431,080 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="lenet",
    parameters=431_080,
    source="Ilse et al. 2018, arXiv:1802.04712: what encodes an image there (426,070), and a layer "
    "of classes",
)
def lenet_20_50(*, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
    """Two 5x5 convolutions (20 and 50 channels), not padded, each pooled by 2, then 500-classes.

    Raises:
        ValueError: The images are smaller than 16 pixels.
    """
    side = ((image_size - 4) // 2 - 4) // 2
    if side < 1:
        raise ValueError(f"lenet_20_50 needs images of at least 16 pixels, got {image_size}.")
    return nn.Sequential(
        nn.Conv2d(in_channels, 20, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),  # [N, 20, 12, 12]
        nn.Conv2d(20, 50, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),  # [N, 50, 4, 4]
        nn.Flatten(),
        nn.Linear(50 * side**2, 500),
        nn.ReLU(),
        nn.Linear(500, num_classes),
    )
