"""Norms that networks share."""

import torch
from torch import Tensor, nn

_VECTOR = 8  # float32 values


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm as `nn.BatchNorm2d`, faster to train on a CPU where channels are few.

    With channels last, torch computes the channels beyond a multiple of a vector one value at a
    time: 4 of them take twelve times as long as with channels first.
    """

    def forward(self, images: Tensor) -> Tensor:
        last = {"memory_format": torch.channels_last}
        slow = self.training and self.num_features % _VECTOR and images.device.type == "cpu"
        if slow and images.is_contiguous(**last):
            return super().forward(images.contiguous()).contiguous(**last)
        return super().forward(images)


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
