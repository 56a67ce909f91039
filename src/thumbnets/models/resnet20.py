"""Pre-activation ResNet-20: 269,434 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.models.residual import residual_network
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="resnet",
    parameters=269_434,
    source="He et al. 2016, arXiv:1603.05027 (pre-activation); sizes of arXiv:1512.03385, sec. 4.2",
)
def resnet20(*, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
    """Three stages of three residual blocks, of 16, 32 and 64 channels; no weights in shortcuts."""
    return residual_network(
        in_channels, num_classes, channels=[16, 32, 64], blocks=3, project=False
    )
