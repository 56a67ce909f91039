"""Layers that several networks share."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

_LEVELS = 1 << 16  # a mask value is drawn from 16 random bits


class Dropout(nn.Module):
    """Dropout with masks from bulk random bits, several times cheaper on a CPU than `nn.Dropout`.

    Same law: each value is zeroed with probability `p`, rounded to 1/65536, and the others are
    scaled so that the mean stays. Each 64-bit random word gives four mask values.

    Args:
        p: Probability of zeroing, 0 <= p < 1.

    Source: Srivastava et al. 2014, JMLR 15, section 4.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self._dropped = min(round(p * _LEVELS), _LEVELS - 1)
        self.bits = np.random.SFC64(0)  # the training loop puts its own here

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self._dropped == 0:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self._dropped / _LEVELS)
        words = self.bits.random_raw((x.numel() + 3) // 4).view(np.uint16)
        kept = torch.from_numpy(words[: x.numel()] >= self._dropped).view(x.shape)
        return x * kept.to(x.dtype).mul_(_LEVELS / (_LEVELS - self._dropped))

    def extra_repr(self) -> str:
        return f"p={self.p}"


def perceptron(
    sizes: list[int], activation: Callable[[], nn.Module], dropout: float = 0.0
) -> list[nn.Module]:
    """Linear layers of the given sizes, each but the last followed by activation and dropout.

    Args:
        sizes: Number of inputs, of units in each hidden layer, and of outputs.
        activation: Builds the activation.
        dropout: Probability of zeroing a hidden unit.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers += [nn.Linear(inputs, outputs), activation()]
        layers += [Dropout(dropout)] if dropout else []
    return [*layers, nn.Linear(sizes[-2], sizes[-1])]
