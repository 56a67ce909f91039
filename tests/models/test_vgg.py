"""VGG networks and the MLP of the local-loss source: published counts, layers, torchvision."""

import pytest
import torch
from torch import nn
from torchvision import models

from thumbnets.models import count_parameters, create_model
from thumbnets.models.blocks import Block


def on_meta(name: str, channels: int, size: int, classes: int, **options) -> nn.Module:
    """A network without memory for its weights."""
    with torch.device("meta"):
        shape = {"in_channels": channels, "image_size": size, "num_classes": classes}
        return create_model(name, **shape, **options)


# Name, options, channels, pixels, classes, count. Published in millions: 2.9, 27.3 (27.5 with 100
# classes, where the source's table repeats 27.3), 7.3, 28.2, 8.9, 9.0, 11.5, 11.6, 11.7, 42.0,
# 42.1, 91.3, 91.4; the rest follow from the layers.
COUNTS = [
    ("mlp", {}, 1, 28, 10, 2_919_434),
    ("mlp", {"width": 3000}, 3, 32, 10, 27_273_010),
    ("mlp", {"width": 3000}, 3, 32, 100, 27_543_100),
    ("vgg8b", {}, 1, 28, 10, 7_328_266),
    ("vgg8b", {"multiplier": 2}, 1, 28, 10, 28_209_162),
    ("vgg8b", {"multiplier": 3}, 1, 28, 10, 62_656_010),
    ("vgg8b", {}, 3, 32, 10, 8_903_434),
    ("vgg8b", {"multiplier": 2}, 3, 32, 10, 31_359_498),
    ("vgg8b", {}, 3, 32, 100, 8_995_684),
    ("vgg8b", {}, 3, 96, 10, 11_540_234),
    ("vgg11b", {}, 1, 28, 10, 9_984_778),
    ("vgg11b", {}, 3, 32, 10, 11_559_946),
    ("vgg11b", {}, 3, 32, 100, 11_652_196),
    ("vgg11b", {"multiplier": 2}, 3, 32, 10, 41_980_938),
    ("vgg11b", {"multiplier": 2}, 3, 32, 100, 42_073_188),
    ("vgg11b", {"multiplier": 3}, 3, 32, 10, 91_276_298),
    ("vgg11b", {"multiplier": 3}, 3, 32, 100, 91_368_548),
    ("vgg11b", {}, 3, 96, 10, 14_196_746),
]


@pytest.mark.parametrize(("name", "options", "channels", "size", "classes", "published"), COUNTS)
def test_counts_are_the_published_ones(name, options, channels, size, classes, published):
    network = on_meta(name, channels, size, classes, dropout=0.1, **options)
    assert count_parameters(network) == published
    images = torch.zeros(2, channels, size, size, device="meta")
    assert network.eval()(images).shape == (2, classes)


def shapes(network: nn.Module, *image: int) -> list[tuple[int, ...]]:
    """Output of each child, for one image."""
    x, seen = torch.zeros(1, *image, device="meta"), []
    for child in network.eval():
        x = child(x)
        seen.append(tuple(x.shape[1:]))
    return seen


VGG8B_MAPS = [128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
SIDES = {
    28: [28, 28, 14, 14, 14, 7, 7, 3, 3, 1],
    32: [32, 32, 16, 16, 16, 8, 8, 4, 4, 2],
    96: [48, 48, 24, 24, 24, 12, 12, 6, 6, 3],
}


@pytest.mark.parametrize("size", SIDES)
def test_maps_of_vgg8b(size):
    network = on_meta("vgg8b", 3, size, 10)
    maps = [(m, side, side) for m, side in zip(VGG8B_MAPS, SIDES[size], strict=True)]
    flat = 512 * SIDES[size][-1] ** 2
    assert shapes(network, 3, size, size) == [*maps, (flat,), (1024,), (10,)]
    kernel, stride = (7, 2) if size == 96 else (3, 1)
    first = network[0][0]
    assert (first.kernel_size, first.stride) == ((kernel,) * 2, (stride,) * 2)


def test_maps_of_vgg11b():
    network = on_meta("vgg11b", 3, 32, 10)
    sides = [32] * 4 + [16] * 3 + [8] * 3 + [4] * 2 + [2]
    maps = [128] * 3 + [256] * 3 + [512] * 7
    expected = [(m, side, side) for m, side in zip(maps, sides, strict=True)]
    assert shapes(network, 3, 32, 32) == [*expected, (2048,), (1024,), (10,)]


@pytest.mark.parametrize(("name", "blocks"), [("mlp", 3), ("vgg8b", 7), ("vgg11b", 10)])
def test_what_learns_but_the_output_layer_is_in_blocks(name, blocks):
    network = on_meta(name, 1, 28, 10, dropout=0.1, activation="leaky_relu")
    kinds = [type(child) for child in network]
    assert kinds.count(Block) == blocks and kinds[-1] is nn.Linear
    between = [child for child in list(network)[:-1] if not isinstance(child, Block)]
    assert not any(count_parameters(child) for child in between)
    for block in (child for child in network if isinstance(child, Block)):
        assert len(block) == 4 and isinstance(block[2], nn.LeakyReLU) and block[3].p == 0.1


@pytest.mark.parametrize("name", ["vgg8b", "vgg11b"])
def test_four_poolings_need_sixteen_pixels(name):
    assert on_meta(name, 1, 16, 10)(torch.zeros(2, 1, 16, 16, device="meta")).shape == (2, 10)
    with pytest.raises(ValueError, match=f"{name} needs images of at least 16 pixels, got 15"):
        on_meta(name, 1, 15, 10)


# VGG11 beside torchvision's.


def learnt(network: nn.Module) -> list[torch.Tensor]:
    return [p for name, p in network.state_dict().items() if not name.endswith("batches_tracked")]


@pytest.mark.parametrize(("batch_norm", "build"), [(True, models.vgg11_bn), (False, models.vgg11)])
def test_vgg11_has_the_features_of_torchvision(batch_norm, build):
    theirs = build(num_classes=10).features
    shape = {"in_channels": 3, "image_size": 32, "num_classes": 10}
    ours = create_model("vgg11", **shape, batch_norm=batch_norm)
    with torch.no_grad():
        for own, other in zip(learnt(ours)[:-2], learnt(theirs), strict=True):
            own.copy_(other)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = ours[:-3].eval()(images)
    assert features.shape == (2, 512, 2, 2)
    torch.testing.assert_close(features, theirs.eval()(images))
    torch.testing.assert_close(ours.eval()(images), ours[-1](features.mean((2, 3))))


@pytest.mark.parametrize("size", [8, 28, 32, 96, 224])
def test_vgg11_takes_any_size(size):
    network = on_meta("vgg11", 1, size, 10)
    assert count_parameters(network) == 9_229_962
    assert network.eval()(torch.zeros(1, 1, size, size, device="meta")).shape == (1, 10)


def test_maps_of_vgg11_on_28_pixels():
    sides = [28, 14, 14, 7, 7, 7, 4, 4, 4, 2, 2, 2, 1]
    maps = [64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    expected = [(m, side, side) for m, side in zip(maps, sides, strict=True)]
    network = on_meta("vgg11", 1, 28, 10)
    assert shapes(network, 1, 28, 28) == [*expected, (512, 1, 1), (512,), (10,)]
