"""Layers that several networks share."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout as `nn.Dropout`, with masks that are several times faster to draw on a CPU.

    Random numbers are not drawn for every value, but for every gap between two values of the rarer
    outcome: gaps of independent draws are geometric, the integer part of an exponential.

    Args:
        p: Probability of zeroing a value, 0 <= p < 1; the others are scaled to keep the mean.

    Source: Srivastava et al. 2014, JMLR 15, section 4.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.random = np.random.Generator(np.random.SFC64(0))  # see `draw_dropout_from`

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p)
        usual, rare, q = 1 / (1 - self.p), 0.0, self.p
        if q > 0.5:
            usual, rare, q = rare, usual, 1 - q
        mask = torch.full_like(x, usual)  # laid out as x is: unlike strides multiply slowly
        values = mask.as_strided((mask.numel(),), (1,))
        values[torch.from_numpy(_successes(self.random, mask.numel(), q))] = rare
        return x * mask

    def extra_repr(self) -> str:
        return f"p={self.p}"


def draw_dropout_from(network: nn.Module, random: np.random.Generator) -> None:
    """Let all `Dropout` layers of a network draw from one stream of random numbers."""
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.random = random


def _successes(random: np.random.Generator, trials: int, p: float) -> np.ndarray:
    """Which of independent trials succeed with probability p > 0: int64, ascending."""
    expected = trials * p
    chunk = int(expected + 4 * math.sqrt(expected)) + 1  # nearly always enough at once
    mean_wait = np.float32(min(-1 / math.log1p(-p), 1e15))  # beyond any tensor, and within int64
    found: list[np.ndarray] = []
    last = -1
    while last < trials:
        waits = random.standard_exponential(chunk, np.float32) * mean_wait
        found.append(last + np.cumsum(waits.astype(np.int64) + 1))
        last = int(found[-1][-1])
    indices = np.concatenate(found)
    return indices[: np.searchsorted(indices, trials)]


def perceptron(
    sizes: list[int], activation: Callable[[], nn.Module], dropout: float = 0.0
) -> list[nn.Module]:
    """Linear layers of the given sizes, each but the last followed by activation and dropout.

    Args:
        sizes: Numbers of inputs, of units in each hidden layer, and of outputs.
        activation: Function that builds the activation.
        dropout: Probability of zeroing a hidden unit.
    """
    layers: list[nn.Module] = []
    for in_features, out_features in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers += [nn.Linear(in_features, out_features), activation()]
        layers += [Dropout(dropout)] if dropout else []
    return [*layers, nn.Linear(sizes[-2], sizes[-1])]
