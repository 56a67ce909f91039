"""MLP Custom: 1,497,710 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.models.layers import perceptron
from thumbnets.options import Probability
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="perceptron",
    parameters=1_497_710,
    source="Five Fashion-MNIST networks, figure 2, model 2",
)
def mlp_custom(
    *, in_channels: int, image_size: int, num_classes: int, dropout: Probability = 0.2
) -> nn.Module:
    """Five linear layers, 900-500-450-250-classes, with leaky ReLU and dropout between them."""
    sizes = [in_channels * image_size**2, 900, 500, 450, 250, num_classes]
    return nn.Sequential(nn.Flatten(), *perceptron(sizes, nn.LeakyReLU, dropout))
