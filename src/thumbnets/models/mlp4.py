"""MLP4: 583,010 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.models.layers import perceptron
from thumbnets.options import Probability
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="perceptron",
    parameters=583_010,
    source="Five Fashion-MNIST networks, figure 2, model 1",
)
def mlp4(
    *, in_channels: int, image_size: int, num_classes: int, dropout: Probability = 0.2
) -> nn.Module:
    """Four linear layers, 500-250-250-classes, with ReLU and dropout between them."""
    sizes = [in_channels * image_size**2, 500, 250, 250, num_classes]
    return nn.Sequential(nn.Flatten(), *perceptron(sizes, nn.ReLU, dropout))
