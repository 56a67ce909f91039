"""Blocks: a layer with weights, then its norm, activation and dropout.

A network of blocks is a flat `nn.Sequential`; each `Block` among its children can be trained by a
loss of its own, and what stands between them (pooling, flattening) has no parameters.
"""

from torch import Tensor, nn

from thumbnets.models.layers import Dropout

ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}  # slope 0.01


class Block(nn.Sequential):
    """What learns as one: weights, norm, activation and, if any, dropout, in this order."""


class GroupDropout(Dropout):
    """Dropout of all values at once that share their first `axes` indices.

    Args:
        p: Probability of zeroing a group, 0 <= p < 1; the others are scaled to keep the mean.
        axes: 2 for whole maps of images [N, C, H, W] (`nn.Dropout2d`), 1 for whole examples.

    Source: Tompson et al. 2015, arXiv:1411.4280, section 3.2; Huang et al. 2016, arXiv:1603.09382.
    """

    def __init__(self, p: float, axes: int = 2) -> None:
        super().__init__(p)
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        ones = x.new_ones(x.shape[: self.axes] + (1,) * (x.ndim - self.axes))
        return x * super().forward(ones)

    def extra_repr(self) -> str:
        return f"p={self.p}, axes={self.axes}"


def conv_block(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    activation: str = "relu",
    dropout: float = 0.0,
    norm: bool = True,
    norm_momentum: float = 0.1,
) -> Block:
    """A convolution with bias that keeps the size (but for its stride); dropout is of whole maps.

    Args:
        inputs: Maps that come in.
        outputs: Maps that go out.
        kernel: Side of the kernel in pixels, odd.
        stride: Pixels between two outputs.
        activation: A key of `ACTIVATIONS`.
        dropout: Probability of zeroing a map.
        norm: Whether there is a batch norm.
        norm_momentum: Share of a new batch in its running statistics.
    """
    return Block(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2),
        *([nn.BatchNorm2d(outputs, momentum=norm_momentum)] if norm else []),
        ACTIVATIONS[activation](inplace=True),
        *([GroupDropout(dropout)] if dropout else []),
    )


def linear_block(
    inputs: int, outputs: int, *, activation: str = "relu", dropout: float = 0.0
) -> Block:
    """A linear layer with bias, batch norm, activation and dropout of single units."""
    return Block(
        nn.Linear(inputs, outputs),
        nn.BatchNorm1d(outputs),
        ACTIVATIONS[activation](inplace=True),
        *([Dropout(dropout)] if dropout else []),
    )
