"""A random RNN of RMDL: 13,258 to 197,368 parameters on 28x28x1 with 10 classes."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from thumbnets.models.layers import Dropout
from thumbnets.models.rmdl import drawing
from thumbnets.options import Probability
from thumbnets.registry import NETWORKS

_CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


@NETWORKS.register(
    family="rmdl",
    parameters=182_296,
    source="Kowsari et al. 2018, arXiv:1805.01890, random RNN; architecture 0",
    largest_image=96,
)
def rmdl_rnn(
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    architecture: Annotated[int, Field(ge=0)] = 0,
    cell: Literal["lstm", "gru"] = "lstm",
    dropout: Probability = 0.05,
) -> nn.Module:
    """A recurrent layer over the pixels of each row, one over the codes of the rows; then classes.

    Args:
        architecture: Number that the units of both layers are drawn from, 32 to 127 each.
        cell: lstm as in the source's code for images; its documentation also speaks of gru.
        dropout: Probability of zeroing a value of a row's code. The source drops values of the
            recurrent states instead, which torch's layers do not support.

    Raises:
        ValueError: The images are larger than 96 pixels. A training keeps some 70 bytes per unit
            and pixel of a batch (with 128 images and 127 units: 0.9 GB at 28 pixels, 10 GB at 96,
            57 GB at 224), and its time grows with the number of pixels.
    """
    largest = NETWORKS["rmdl_rnn"].metadata.largest_image
    if image_size > largest:
        raise ValueError(f"rmdl_rnn reads images of at most {largest} pixels, got {image_size}.")
    draw = drawing("rmdl_rnn", architecture)
    return _RowByRow(_CELLS[cell], in_channels, draw(32, 127), draw(32, 127), num_classes, dropout)


class _RowByRow(nn.Module):
    """From images [N, C, H, W] via codes of rows [N, H, row_units] to logits [N, classes]."""

    def __init__(
        self,
        cell: type[nn.LSTM | nn.GRU],
        channels: int,
        row_units: int,
        image_units: int,
        classes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.row = cell(channels, row_units, batch_first=True)
        self.image = cell(row_units, image_units, batch_first=True)
        self.dropout = Dropout(dropout)
        self.classes = nn.Linear(image_units, classes)
        if cell is nn.LSTM:
            _remember_at_first(self.row)
            _remember_at_first(self.image)

    def forward(self, images: Tensor) -> Tensor:
        n, c, h, w = images.shape
        rows = images.permute(0, 2, 3, 1).reshape(n * h, w, c)
        codes = self.row(rows)[0][:, -1].view(n, h, -1)
        return self.classes(self.image(self.dropout(codes))[0][:, -1])


def _remember_at_first(layer: nn.LSTM) -> None:
    """Set the bias of the forget gates to 1. Source: Jozefowicz et al. 2015, section 2.2."""
    with torch.no_grad():
        layer.bias_ih_l0[layer.hidden_size : 2 * layer.hidden_size] = 1.0
