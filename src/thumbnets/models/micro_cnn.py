"""Micro CNN: 690 parameters on 28x28x1 with 10 classes."""

import math

import torch
from torch import Tensor, nn

from thumbnets.models.norms import ShiftNorm
from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="tiny cnn",
    parameters=690,
    source="this project: MNIST with fewer than 700 parameters",
)
def micro_cnn(*, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
    """One convolution of derivatives, used three times, and channels read out by position.

    It is applied once at a half and twice at a quarter of the image's side, each time with norms of
    its own and added to its input; its parameters count once. Each channel at an eighth of the
    side is then summed with two sets of weights by position, which takes fewer parameters than the
    channels that a global average would need.

    Raises:
        ValueError: The images are smaller than 8 pixels.
    """
    if image_size < 8:
        raise ValueError(f"micro_cnn needs images of at least 8 pixels, got {image_size}.")
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, padding=1, bias=False),
        ShiftNorm(8),
        nn.SiLU(),
        nn.MaxPool2d(2),  # [N, 8, 14, 14]
        _Repeated(8, times=(1, 2)),  # [N, 8, 3, 3]
        nn.Conv2d(8, 16, image_size // 8, groups=8, bias=False),
        ShiftNorm(16),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(16, num_classes),
    )


class DerivativeConv2d(nn.Conv2d):
    """A 3x3 convolution whose kernels are weighted sums of four fixed ones: 4 weights, not 9.

    The four, each of unit length: the pixel itself, its two first derivatives (Sobel), and its
    Laplacian. The size is kept, and there is no bias. The weight has the shape [out_channels,
    in_channels, 4].

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.

    Source: Jacobsen et al. 2016, arXiv:1605.02971, there with derivatives of Gaussians.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        # On the meta device: this weight is replaced below, and draws no random numbers.
        super().__init__(in_channels, out_channels, 3, padding=1, bias=False, device="meta")
        sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        laplace = torch.tensor([[1.0, 2.0, 1.0], [2.0, -12.0, 2.0], [1.0, 2.0, 1.0]])
        itself = torch.zeros(3, 3)
        itself[1, 1] = 1.0
        basis = torch.stack([itself, sobel, sobel.T, laplace])
        basis /= basis.square().sum((1, 2), keepdim=True).sqrt()
        self.register_buffer("basis", basis, persistent=False)
        bound = math.sqrt(3 / (in_channels * len(basis)))  # a variance of 1 / fan-in
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels, len(basis)).uniform_(-bound, bound)
        )

    def forward(self, x: Tensor) -> Tensor:
        kernels = torch.einsum("oib,bhw->oihw", self.weight, self.basis)
        return nn.functional.conv2d(x, kernels, padding=1)


class _Repeated(nn.Module):
    """The same convolution several times at each of several sizes, with pooling between them.

    Args:
        channels: Channels of input and output.
        times: Number of convolutions at each size.
    """

    def __init__(self, channels: int, times: tuple[int, ...]) -> None:
        super().__init__()
        self.convolve = DerivativeConv2d(channels, channels)
        self.norms = nn.ModuleList(
            nn.ModuleList(ShiftNorm(channels) for _ in range(count)) for count in times
        )
        self.activate, self.pool = nn.SiLU(), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        for norms in self.norms:
            for norm in norms:
                x = x + self.activate(norm(self.convolve(x)))
            x = self.pool(x)
        return x
