"""Numbers on the device that computes, brought there once: to send a GPU some is to wait for it."""

from functools import cache

import torch
from torch import Tensor


@cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers as a tensor that nobody changes: float32 [N]."""
    return torch.tensor(values, device=device)


@cache
def _identity(length: int, device: torch.device) -> Tensor:
    return torch.eye(length, device=device)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """float32 [N, classes] of labels int64 [N]; unlike torch's own it never reads them back."""
    return _identity(classes, labels.device).index_select(0, labels)
