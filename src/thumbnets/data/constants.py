"""Constants on the device that computes, sent there once: each transfer to a GPU waits for it."""

from functools import cache

import torch
from torch import Tensor


@cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers as a shared tensor float32 [N], which must not be changed."""
    return torch.tensor(values, device=device)


@cache
def _identity(length: int, device: torch.device) -> Tensor:
    return torch.eye(length, device=device)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """float32 [N, classes] of labels int64 [N]; unlike torch's own it never reads them back."""
    return _identity(classes, labels.device).index_select(0, labels)
