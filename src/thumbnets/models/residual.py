"""Pre-activation residual networks: what `resnet20` and `wrn_16_4` share."""

from torch import Tensor, nn

from thumbnets.models.layers import Dropout


def residual_network(
    in_channels: int,
    num_classes: int,
    *,
    channels: list[int],
    blocks: int,
    project: bool,
    dropout: float = 0.0,
) -> nn.Module:
    """A 3x3 convolution of 16 channels, stages of residual blocks, a global average, and classes.

    Each stage but the first begins by halving height and width.

    Args:
        in_channels: Channels of the images.
        num_classes: Number of logits.
        channels: Channels of each stage.
        blocks: Number of blocks in each stage.
        project: Kind of shortcut, see `PreactivationBlock`.
        dropout: Probability of zeroing a value, see `PreactivationBlock`.
    """
    layers: list[nn.Module] = [nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)]
    width = 16
    for stage, out_channels in enumerate(channels):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers.append(PreactivationBlock(width, out_channels, stride, project, dropout))
            width = out_channels
    return nn.Sequential(
        *layers,
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, num_classes),
    )


class PreactivationBlock(nn.Module):
    """Twice norm, ReLU and 3x3 convolution, added to the input.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the first convolution.
        project: Kind of shortcut. Where the number of channels changes, true adds a 1x1 convolution
            of the activated input; false adds the input itself, every `stride`-th pixel, padded
            with channels of zeros.
        dropout: Probability of zeroing a value before the second convolution.

    Source: He et al. 2016, arXiv:1603.05027, figure 4 (e). Shortcuts: He et al. 2016,
    arXiv:1512.03385, section 4.2 (zeros); Zagoruyko and Komodakis 2016, arXiv:1605.07146
    (projection, dropout).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, project: bool, dropout: float
    ) -> None:
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True))
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            *([Dropout(dropout)] if dropout else []),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        )
        self.stride, self.missing = stride, out_channels - in_channels
        projects = project and in_channels != out_channels
        self.project = (
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False) if projects else None
        )

    def forward(self, x: Tensor) -> Tensor:
        active = self.activate(x)
        if self.project:
            return self.project(active) + self.residual(active)
        kept = x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(kept, (0, 0, 0, 0, 0, self.missing)) + self.residual(active)
