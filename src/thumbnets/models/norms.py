"""Norms that networks share."""

import torch
from torch import nn


class ShiftNorm(nn.BatchNorm2d):
    """Batch norm with a learned shift and no learned gain.

    Where ReLU or a pooling comes between the norm and the next convolution, a gain can be absorbed
    by the weights of that convolution.

    Args:
        channels: Number of channels.

    Source: Jordan 2024, arXiv:2404.00498, section 3.1; there also with other statistics.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        del self.weight
        self.register_buffer("weight", torch.ones(channels), persistent=False)
