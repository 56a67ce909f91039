"""Pre-activation residual networks: what `resnet20` and `wrn_16_4` share."""

from torch import Tensor, nn

from thumbnets.models.layers import Dropout


def residual_network(
    in_channels: int,
    num_classes: int,
    *,
    maps: list[int],
    blocks: int,
    project: bool,
    dropout: float = 0.0,
) -> nn.Module:
    """A 3x3 convolution of 16 maps, stages of residual blocks, a global average, and classes.

    Each stage but the first begins by halving the side of the maps.

    Args:
        in_channels: Channels of the images.
        num_classes: Number of logits.
        maps: Of each stage.
        blocks: Of each stage.
        project: As for `PreactivationBlock`.
        dropout: As for `PreactivationBlock`.
    """
    layers: list[nn.Module] = [nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)]
    inputs = 16
    for stage, outputs in enumerate(maps):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers.append(PreactivationBlock(inputs, outputs, stride, project, dropout))
            inputs = outputs
    return nn.Sequential(
        *layers,
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, num_classes),
    )


class PreactivationBlock(nn.Module):
    """Twice norm, ReLU and 3x3 convolution, added to the input.

    Args:
        inputs: Maps that come in.
        outputs: Maps that go out.
        stride: Of the first convolution.
        project: Where the number of maps changes, add a 1x1 convolution of the activated input;
            else the input itself, each `stride`-th pixel, with maps of zeros for those it lacks.
        dropout: Probability of zeroing a value before the second convolution.

    Source: He et al. 2016, arXiv:1603.05027, figure 4 (e). Shortcuts: He et al. 2016,
    arXiv:1512.03385, section 4.2 (zeros); Zagoruyko and Komodakis 2016, arXiv:1605.07146
    (projection, dropout).
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, project: bool, dropout: float
    ) -> None:
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True))
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            *([Dropout(dropout)] if dropout else []),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        self.stride, self.missing = stride, outputs - inputs
        projects = project and inputs != outputs
        self.project = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if projects else None

    def forward(self, x: Tensor) -> Tensor:
        active = self.activate(x)
        if self.project:
            return self.project(active) + self.residual(active)
        kept = x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(kept, (0, 0, 0, 0, 0, self.missing)) + self.residual(active)
