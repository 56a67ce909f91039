"""Wide ResNet 16-4: 2,748,602 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.models.residual import residual_network
from thumbnets.options import Probability
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="resnet",
    parameters=2_748_602,
    source="Zagoruyko and Komodakis 2016, arXiv:1605.07146, WRN-16-4",
)
def wrn_16_4(
    *, in_channels: int, image_size: int, num_classes: int, dropout: Probability = 0.0
) -> nn.Module:
    """Three stages of two residual blocks with 64, 128 and 256 channels.

    Args:
        dropout: Probability of zeroing a value between the two convolutions of a block.
    """
    channels = [64, 128, 256]
    return residual_network(
        in_channels, num_classes, channels=channels, blocks=2, project=True, dropout=dropout
    )
