"""The network of airbench94: 1,962,152 parameters on 28x28x1 with 10 classes."""

from torch import Tensor, nn

from thumbnets.models.norms import ShiftNorm
from thumbnets.options import Count
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="airbench",
    parameters=1_962_152,
    source="Jordan 2024, arXiv:2404.00498, section 3.1; first layer learned instead of whitening",
)
def airbench94(
    *, in_channels: int, image_size: int, num_classes: int, width: Count = 64
) -> nn.Module:
    """A 2x2 convolution, then three groups of two 3x3 convolutions and a pooling.

    The source sets the first layer to whiten patches of the training images, and keeps its weights;
    here they are learned, since a network does not see images when it is built.

    Args:
        width: Channels of the first group; the other two have four times as many.

    Raises:
        ValueError: The images are smaller than 9 pixels.
    """
    side = (image_size - 1) // 2 // 2 // 2
    if side < 1:
        raise ValueError(f"airbench94 needs images of at least 9 pixels, got {image_size}.")
    patches = 2 * in_channels * 2**2
    return nn.Sequential(
        nn.Conv2d(in_channels, patches, 2),  # [N, 8, 27, 27]
        nn.GELU(),
        *_group(patches, width),  # [N, 64, 13, 13]
        *_group(width, 4 * width),  # [N, 256, 6, 6]
        *_group(4 * width, 4 * width),  # [N, 256, 3, 3]
        nn.MaxPool2d(side),
        nn.Flatten(),
        nn.Linear(4 * width, num_classes, bias=False),
        _Scale(1 / 9),
    )


def _group(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        _conv(in_channels, out_channels),
        nn.MaxPool2d(2),
        ShiftNorm(out_channels),
        nn.GELU(),
        _conv(out_channels, out_channels),
        ShiftNorm(out_channels),
        nn.GELU(),
    ]


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution whose first output channels begin as copies of the input (section 3.3)."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[:in_channels])
    return conv


class _Scale(nn.Module):
    """Logits times a constant, so that training begins with nearly uniform predictions."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        return self.factor * logits
