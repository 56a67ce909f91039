"""A random perceptron of RMDL: 101,770 to 7,098,607 parameters on 28x28x1 with 10 classes."""

from typing import Annotated

from pydantic import Field
from torch import nn

from thumbnets.models.layers import perceptron
from thumbnets.models.rmdl import drawing
from thumbnets.options import Probability
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="rmdl",
    parameters=1_191_269,
    source="Kowsari et al. 2018, arXiv:1805.01890, random DNN; architecture 0",
)
def rmdl_dnn(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    architecture: Annotated[int, Field(ge=0)] = 0,
    dropout: Probability = 0.05,
) -> nn.Module:
    """One to seven hidden layers of 128 to 1,023 units each, with ReLU and dropout.

    Args:
        architecture: Number that depth and widths are drawn from, each uniform in its range.
        dropout: Probability of zeroing a hidden unit.
    """
    draw = drawing("rmdl_dnn", architecture)
    widths = [draw(128, 1023) for _ in range(draw(1, 7))]
    sizes = [in_channels * image_size**2, *widths, num_classes]
    return nn.Sequential(nn.Flatten(), *perceptron(sizes, nn.ReLU, dropout))
