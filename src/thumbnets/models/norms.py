"""Norms that networks share."""

import torch
from torch import nn


class ShiftNorm(nn.BatchNorm2d):
    """Batch norm with a learned shift and no learned gain.

    Where ReLU or a pooling comes between the norm and the next convolution, that one's weights can
    do what a gain would.

    Args:
        maps: Number of maps.

    Source: Jordan 2024, arXiv:2404.00498, section 3.1; there also with other statistics.
    """

    def __init__(self, maps: int) -> None:
        super().__init__(maps)
        del self.weight
        self.register_buffer("weight", torch.ones(maps), persistent=False)
