"""Blocks: a layer with weights, then its norm, activation and dropout.

A network of blocks is a flat `nn.Sequential`. Each `Block` among its children can be trained with a
loss of its own; the layers between them (pooling, flattening) have no parameters.
"""

from torch import Tensor, nn

from thumbnets.models.layers import Dropout

ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}  # slope 0.01


class Block(nn.Sequential):
    """Layers trained together: weights, norm, activation and, if any, dropout, in this order."""


class GroupDropout(Dropout):
    """Dropout of groups: values that share their first `axes` indices are zeroed together.

    Args:
        p: Probability of zeroing a group, 0 <= p < 1; the others are scaled to keep the mean.
        axes: 2 for whole channels of images [N, C, H, W] (`nn.Dropout2d`), 1 for whole examples.

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
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    activation: str = "relu",
    dropout: float = 0.0,
    norm: bool = True,
    norm_momentum: float = 0.1,
) -> Block:
    """A convolution with bias and padding, a batch norm, an activation, and dropout of channels.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Side of the kernel in pixels, an odd number.
        stride: Pixels between neighbouring outputs.
        activation: A key of `ACTIVATIONS`.
        dropout: Probability of zeroing a channel.
        norm: Whether a batch norm follows the convolution.
        norm_momentum: Weight of a new batch in the running statistics of the batch norm.
    """
    return Block(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2),
        *([nn.BatchNorm2d(out_channels, momentum=norm_momentum)] if norm else []),
        ACTIVATIONS[activation](inplace=True),
        *([GroupDropout(dropout)] if dropout else []),
    )


def linear_block(
    in_features: int, out_features: int, *, activation: str = "relu", dropout: float = 0.0
) -> Block:
    """A linear layer with bias, batch norm, activation and dropout of single units."""
    return Block(
        nn.Linear(in_features, out_features),
        nn.BatchNorm1d(out_features),
        ACTIVATIONS[activation](inplace=True),
        *([Dropout(dropout)] if dropout else []),
    )
