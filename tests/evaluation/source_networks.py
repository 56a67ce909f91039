"""Networks of the cost table of SimpleNet's source, as defined for the analyser that made it.

They are counted, not trained: build them on the `meta` device, where weights take no memory.

Source: the Caffe definitions that Netscope presents; differences to torchvision's networks of the
same names are said where they are.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn


class Branches(nn.Module):
    """Several networks side by side, their maps put together, or added with `add`."""

    def __init__(self, *branches: nn.Module, add: bool = False) -> None:
        super().__init__()
        self.branches, self.add = nn.ModuleList(branches), add

    def forward(self, x: Tensor) -> Tensor:
        results = [branch(x) for branch in self.branches]
        return sum(results[1:], results[0]) if self.add else torch.cat(results, 1)


def _conv(inputs: int, outputs: int, kernel: int, **options: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, **options), nn.ReLU(inplace=True)]


def _pool(kernel: int = 3, stride: int = 2, padding: int = 0) -> nn.Module:
    return nn.MaxPool2d(kernel, stride, padding, ceil_mode=True)  # as Caffe rounds


def _dense(inputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, 4096), nn.ReLU(), nn.Dropout()]


def alexnet() -> nn.Module:
    """AlexNet in two groups, with response norms; torchvision has its successor, without either."""
    norm = partial(nn.LocalResponseNorm, 5)
    return nn.Sequential(
        *_conv(3, 96, 11, stride=4), norm(), _pool(),
        *_conv(96, 256, 5, padding=2, groups=2), norm(), _pool(),
        *_conv(256, 384, 3, padding=1),
        *_conv(384, 384, 3, padding=1, groups=2),
        *_conv(384, 256, 3, padding=1, groups=2), _pool(),
        nn.Flatten(), *_dense(256 * 6 * 6), *_dense(4096), nn.Linear(4096, 1000), nn.Softmax(1),
    )  # fmt: skip


def vgg16() -> nn.Module:
    """VGG with 13 convolutions, as torchvision has it."""
    layers, maps = [], 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += _conv(maps, width, 3, padding=1)
            maps = width
        layers.append(_pool(2))
    head = [*_dense(512 * 7 * 7), *_dense(4096), nn.Linear(4096, 1000), nn.Softmax(1)]
    return nn.Sequential(*layers, nn.Flatten(), *head)


def googlenet() -> nn.Module:
    """GoogLeNet without its side heads; torchvision has batch norms, and 3x3 in place of 5x5."""

    def inception(inputs: int, one: int, three: tuple, five: tuple, pooled: int) -> nn.Module:
        return Branches(
            nn.Sequential(*_conv(inputs, one, 1)),
            nn.Sequential(*_conv(inputs, three[0], 1), *_conv(*three, 3, padding=1)),
            nn.Sequential(*_conv(inputs, five[0], 1), *_conv(*five, 5, padding=2)),
            nn.Sequential(_pool(3, 1, 1), *_conv(inputs, pooled, 1)),
        )

    return nn.Sequential(
        *_conv(3, 64, 7, stride=2, padding=3), _pool(), nn.LocalResponseNorm(5),
        *_conv(64, 64, 1), *_conv(64, 192, 3, padding=1), nn.LocalResponseNorm(5), _pool(),
        inception(192, 64, (96, 128), (16, 32), 32),
        inception(256, 128, (128, 192), (32, 96), 64), _pool(),
        inception(480, 192, (96, 208), (16, 48), 64),
        inception(512, 160, (112, 224), (24, 64), 64),
        inception(512, 128, (128, 256), (24, 64), 64),
        inception(512, 112, (144, 288), (32, 64), 64),
        inception(528, 256, (160, 320), (32, 128), 128), _pool(),
        inception(832, 256, (160, 320), (32, 128), 128),
        inception(832, 384, (192, 384), (48, 128), 128),
        nn.AvgPool2d(7), nn.Dropout(0.4), nn.Flatten(), nn.Linear(1024, 1000), nn.Softmax(1),
    )  # fmt: skip


def nin() -> nn.Module:
    """Network in Network for ImageNet. The file has a softmax and a softmax loss: both counted."""

    def block(inputs: int, outputs: int, last: int, kernel: int, **options: int) -> list:
        convolution = _conv(inputs, outputs, kernel, **options)
        return [*convolution, *_conv(outputs, outputs, 1), *_conv(outputs, last, 1)]

    return nn.Sequential(
        *block(3, 96, 96, 11, stride=4), _pool(),
        *block(96, 256, 256, 5, padding=2), _pool(),
        *block(256, 384, 384, 3, padding=1), _pool(), nn.Dropout(),
        *block(384, 1024, 1000, 3, padding=1),
        nn.AvgPool2d(6, 1), nn.Softmax(1), nn.Softmax(1),
    )  # fmt: skip


def squeezenet() -> nn.Module:
    """SqueezeNet 1.0, whose last convolution is padded; torchvision's is not."""

    def fire(inputs: int, squeeze: int, expand: int) -> nn.Module:
        wide = nn.Sequential(*_conv(squeeze, expand, 3, padding=1))
        both = Branches(nn.Sequential(*_conv(squeeze, expand, 1)), wide)
        return nn.Sequential(*_conv(inputs, squeeze, 1), both)

    return nn.Sequential(
        *_conv(3, 96, 7, stride=2), _pool(),
        fire(96, 16, 64), fire(128, 16, 64), fire(128, 32, 128), _pool(),
        fire(256, 32, 128), fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256), _pool(),
        fire(512, 64, 256), nn.Dropout(),
        *_conv(512, 1000, 1, padding=1), nn.AdaptiveAvgPool2d(1), nn.Softmax(1),
    )  # fmt: skip


def resnet(depths: tuple[int, int, int, int], *, first_bias: bool = False) -> nn.Module:
    """ResNet of bottlenecks whose first 1x1 convolution strides; torchvision's 3x3 does.

    Args:
        depths: Bottlenecks of each of the four stages.
        first_bias: Whether the first convolution has a bias, as that of ResNet-50 has.
    """

    def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        padding = kernel // 2
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        return [convolution, nn.BatchNorm2d(outputs)]

    def bottleneck(inputs: int, width: int, stride: int) -> list[nn.Module]:
        way = [*conv(inputs, width, 1, stride), nn.ReLU(), *conv(width, width, 3), nn.ReLU()]
        changes = inputs != 4 * width
        short = nn.Sequential(*conv(inputs, 4 * width, 1, stride)) if changes else nn.Identity()
        return [
            Branches(short, nn.Sequential(*way, *conv(width, 4 * width, 1)), add=True),
            nn.ReLU(),
        ]

    first, norm = conv(3, 64, 7, 2)
    if first_bias:
        first = nn.Conv2d(3, 64, 7, 2, 3)
    layers, maps = [first, norm, nn.ReLU(), _pool()], 64
    for stage, depth in enumerate(depths):
        for number in range(depth):
            layers += bottleneck(maps, 64 * 2**stage, 2 if stage and not number else 1)
            maps = 256 * 2**stage
    head = [nn.AvgPool2d(7), nn.Flatten(), nn.Linear(maps, 1000), nn.Softmax(1)]
    return nn.Sequential(*layers, *head)


# By the name that the source's table gives them: how to build them, and the side of their images.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "SqueezeNet": (squeezenet, 227),
    "ResNet-152": (partial(resnet, (3, 8, 36, 3)), 224),
    "ResNet-50": (partial(resnet, (3, 4, 6, 3), first_bias=True), 224),
    "AlexNet": (alexnet, 227),
    "GoogLeNet": (googlenet, 227),
    "NIN": (nin, 227),
    "VGG16": (vgg16, 224),
}
