"""LeNet-300-100: 266,610 parameters on 28x28x1 with 10 classes."""

from torch import nn

from thumbnets.models.layers import perceptron
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="perceptron",
    parameters=266_610,
    source="LeCun et al. 1998, Proc. IEEE 86(11), section III; ReLU as in PyTorch-MNIST",
)
def lenet_300_100(*, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
    """Three linear layers, 300-100-classes, with ReLU between them."""
    sizes = [in_channels * image_size**2, 300, 100, num_classes]
    return nn.Sequential(nn.Flatten(), *perceptron(sizes, nn.ReLU))
