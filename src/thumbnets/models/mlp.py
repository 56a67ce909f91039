"""MLP with batch norm: 2,919,434 parameters on 28x28x1 with 10 classes."""

from typing import Literal

from torch import nn

from thumbnets.models.blocks import linear_block
from thumbnets.options import Count, Probability
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="perceptron",
    parameters=2_919_434,
    source="Nøkland and Eidnes 2019, arXiv:1901.06656, mlp (28x28 images)",
)
def mlp(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    width: Count = 1024,
    depth: Count = 3,
    activation: Literal["relu", "leaky_relu"] = "relu",
    dropout: Probability = 0.0,
) -> nn.Module:
    """Hidden layers of one width, each with batch norm, activation and dropout.

    Args:
        width: Units of each hidden layer; 3,000 in the source's CIFAR form.
        depth: Number of hidden layers.
        activation: Activation function; leaky_relu where the source trains with the losses sim and
            predsim.
        dropout: Probability of zeroing a hidden unit.
    """
    sizes = [in_channels * image_size**2] + depth * [width]
    hidden = [
        linear_block(in_features, out_features, activation=activation, dropout=dropout)
        for in_features, out_features in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, num_classes))
