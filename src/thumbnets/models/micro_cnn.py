"""Micro CNN: 638 parameters on 28x28x1 with 10 classes."""

from torch import Tensor, nn

from thumbnets.models.norms import ShiftNorm
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="tiny cnn",
    parameters=638,
    source="this project: MNIST with fewer than 700 parameters",
)
def micro_cnn(*, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
    """Depthwise separable convolutions, one of them used three times, that read out by place.

    One pair of kernels (depthwise 3x3, 1x1) is applied once at a half and twice at a quarter of the
    image's side, with norms of its own each time and added to its input; it counts once. Each map
    at an eighth of the side is then weighed by place in two ways, which takes fewer parameters than
    the maps that a global average would need.

    Raises:
        ValueError: The images are smaller than 8 pixels.
    """
    if image_size < 8:
        raise ValueError(f"micro_cnn needs images of at least 8 pixels, got {image_size}.")
    return nn.Sequential(
        nn.Conv2d(in_channels, 5, 3, padding=1, bias=False),
        ShiftNorm(5),
        nn.SiLU(),
        nn.MaxPool2d(2),  # [N, 5, 14, 14]
        _depthwise(5),
        ShiftNorm(5),
        nn.SiLU(),
        nn.Conv2d(5, 8, 1, bias=False),
        ShiftNorm(8),
        nn.SiLU(),
        _Repeated(8, times=(1, 2)),  # [N, 8, 3, 3]
        nn.Conv2d(8, 16, image_size // 8, groups=8, bias=False),
        ShiftNorm(16),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(16, num_classes),
    )


def _depthwise(maps: int) -> nn.Conv2d:
    return nn.Conv2d(maps, maps, 3, padding=1, groups=maps, bias=False)


class _Repeated(nn.Module):
    """The same convolution several times at each of several sizes, which pooling halves.

    Args:
        maps: That go in and out.
        times: At each size.
    """

    def __init__(self, maps: int, times: tuple[int, ...]) -> None:
        super().__init__()
        pointwise = nn.Conv2d(maps, maps, 1, bias=False)
        self.convolve = nn.Sequential(_depthwise(maps), pointwise)
        self.norms = nn.ModuleList(
            nn.ModuleList(ShiftNorm(maps) for _ in range(count)) for count in times
        )
        self.activate, self.pool = nn.SiLU(), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        for norms in self.norms:
            for norm in norms:
                x = x + self.activate(norm(self.convolve(x)))
            x = self.pool(x)
        return x
