"""SimpleNet: counts and map sizes as published, initial weights, the layout of its layers."""

import math

import pytest
import torch
from torch import nn

from thumbnets.models import count_parameters, create_model
from thumbnets.models.blocks import Block, GroupDropout


def on_meta(name: str, channels: int, size: int, classes: int, **options) -> nn.Module:
    """A network without memory for its weights."""
    with torch.device("meta"):
        shape = {"in_channels": channels, "image_size": size, "num_classes": classes}
        return create_model(name, **shape, **options)


COUNTS = [
    ("simplenet_v1", 3, 32, 10, 5_498_378),
    ("simplenet_v1", 3, 32, 100, 5_521_508),
    ("simplenet_v1", 1, 28, 10, 5_497_226),
    ("simplenet_v1", 1, 28, 100, 5_520_356),
    ("simplenet_slim", 3, 32, 10, 312_362),
    ("simplenet_slim", 3, 32, 100, 318_212),
    ("simplenet_slim", 1, 28, 10, 311_210),
    ("simplenet_small_050", 3, 224, 1000, 1_506_792),
    ("simplenet_small_050", 3, 32, 10, 1_379_082),
    ("simplenet_small_050", 1, 28, 10, 1_378_506),
    ("simplenet_small_075", 3, 224, 1000, 3_287_272),
    ("simplenet_small_075", 3, 32, 10, 3_096_202),
    ("simplenet_small_075", 1, 28, 10, 3_095_338),
    ("simplenet_5m", 3, 224, 1000, 5_752_808),
    ("simplenet_5m", 3, 32, 10, 5_498_378),
    ("simplenet_5m", 1, 28, 10, 5_497_226),
    ("simplenet_9m", 3, 224, 1000, 9_508_968),
    ("simplenet_9m", 3, 32, 10, 9_191_178),
    ("simplenet_9m", 1, 28, 10, 9_188_874),
]


@pytest.mark.parametrize(("name", "channels", "size", "classes", "published"), COUNTS)
def test_counts_are_the_published_ones(name, channels, size, classes, published):
    network = on_meta(name, channels, size, classes)
    assert count_parameters(network) == published
    images = torch.zeros(2, channels, size, size, device="meta")
    assert network.eval()(images).shape == (2, classes)


@pytest.mark.parametrize(
    ("name", "published"), [("simplenet_v1", 5_484_736), ("simplenet_slim", 309_568)]
)
def test_the_names_count_weights_without_biases_and_norms(name, published):
    network = on_meta(name, 3, 32, 10)
    weighted = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sum(m.weight.numel() for m in weighted) == published


def sides(network: nn.Module, size: int, channels: int = 3) -> tuple[list[int], list[int]]:
    """Sides of the maps after each convolution, and after each pooling."""
    x, convolved, pooled = torch.zeros(1, channels, size, size, device="meta"), [], []
    for child in network.eval():
        x = child(x)
        if isinstance(child, Block):
            convolved.append(x.shape[-1])
        elif isinstance(child, nn.MaxPool2d):
            pooled.append(x.shape[-1])
    return convolved, pooled


@pytest.mark.parametrize("name", ["simplenet_v1", "simplenet_slim"])
@pytest.mark.parametrize(
    ("size", "convolved", "pooled"),
    [
        (32, [32] * 4 + [16] * 3 + [8] * 2 + [4] * 3 + [2], [16, 8, 4, 2, 1]),
        (28, [28] * 4 + [14] * 3 + [7] * 2 + [3] * 3 + [1], [14, 7, 3, 1, 1]),
        (224, [224] * 4 + [112] * 3 + [56] * 2 + [28] * 3 + [14], [112, 56, 28, 14, 1]),
    ],
)
def test_maps_of_the_thirteen_convolutions(name, size, convolved, pooled):
    assert sides(on_meta(name, 3, size, 10), size) == (convolved, pooled)


REST = [14] * 4 + [7] * 3  # after the first pooling


@pytest.mark.parametrize(
    ("size", "strides", "convolved", "pooled"),
    [
        (224, "m1", [112, 56, 28, 28, 28, 28, *REST], [14, 7, 1]),
        (224, "m2", [112, 56, 56, 28, 28, 28, *REST], [14, 7, 1]),
        (224, "auto", [112, 56, 56, 28, 28, 28, *REST], [14, 7, 1]),
        (28, "auto", [28] * 6 + REST, [14, 7, 1]),
        (28, "none", [28] * 6 + REST, [14, 7, 1]),
        (28, "m1", [14, 7, 4, 4, 4, 4, *[2] * 4, *[1] * 3], [2, 1, 1]),
        (28, "m2", [14, 7, 7, 4, 4, 4, *[2] * 4, *[1] * 3], [2, 1, 1]),
        (32, "m1", [16, 8, 4, 4, 4, 4, *[2] * 4, *[1] * 3], [2, 1, 1]),
        (32, "m2", [16, 8, 8, 4, 4, 4, *[2] * 4, *[1] * 3], [2, 1, 1]),
        (64, "auto", [64] * 6 + [32] * 4 + [16] * 3, [32, 16, 1]),
    ],
)
@pytest.mark.parametrize("name", ["simplenet_small_050", "simplenet_9m"])
def test_maps_by_strides(name, size, strides, convolved, pooled):
    network = on_meta(name, 3, size, 10, strides=strides)
    assert sides(network, size) == (convolved, pooled)


MULTIPLIED = {  # million multiply-accumulates of 224 pixels, by the source's counting
    ("simplenet_small_050", "m1"): 341_914_368,
    ("simplenet_small_050", "m2"): 428_769_024,
    ("simplenet_small_075", "m1"): 760_339_584,
    ("simplenet_small_075", "m2"): 955_649_664,
    ("simplenet_5m", "m1"): 1_343_743_488,
    ("simplenet_5m", "m2"): 1_690_861_056,
    ("simplenet_9m", "m1"): 2_777_530_240,
    ("simplenet_9m", "m2"): 3_558_318_976,
}


@pytest.mark.parametrize(("name", "strides"), MULTIPLIED)
def test_multiplications_are_the_published_ones(name, strides):
    """Kernels and maps in the right order: convolutions, norms (one a value), the linear layer."""
    total = 0

    def note(layer, inputs, output):
        nonlocal total
        of_one = layer.weight[0].numel() if isinstance(layer, nn.Conv2d | nn.Linear) else 1
        total += of_one * output.numel()

    network = on_meta(name, 3, 224, 1000, strides=strides)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            layer.register_forward_hook(note)
    network.eval()(torch.zeros(1, 3, 224, 224, device="meta"))
    assert total == MULTIPLIED[name, strides]


def test_initial_weights_and_norms():
    shape = {"in_channels": 3, "image_size": 32, "num_classes": 10}
    network = create_model("simplenet_slim", **shape)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(convolutions) == len(norms) == 13
    for layer in convolutions:
        outputs, inputs, height, width = layer.weight.shape
        bound = math.sqrt(2) * math.sqrt(6 / ((inputs + outputs) * height * width))
        assert 0.97 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is not None
    assert convolutions[0].weight.abs().max() <= 0.141069  # the source's bound for 3 to 64 maps
    assert all(n.momentum == 0.05 and n.eps == 1e-5 for n in norms)
    assert all(torch.all(n.weight == 1) and not n.bias.any() for n in norms)


def test_dropout_is_after_the_five_poolings_and_nowhere_else():
    network = list(on_meta("simplenet_v1", 3, 32, 10))
    places = [i for i, child in enumerate(network) if isinstance(child, nn.MaxPool2d)]
    dropped = [i for i, child in enumerate(network) if isinstance(child, GroupDropout)]
    assert len(places) == 5 and dropped == [i + 1 for i in places]
    assert all(network[i].p == 0.1 for i in dropped)
    inner = [m for block in network if isinstance(block, Block) for m in block]
    assert not any(isinstance(m, GroupDropout) for m in inner)
    assert not any(isinstance(m, GroupDropout) for m in on_meta("simplenet_slim", 1, 28, 10))


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("simplenet_v1", {}, 16),
        ("simplenet_slim", {}, 16),
        ("simplenet_5m", {}, 4),
        ("simplenet_5m", {"strides": "m2"}, 25),
    ],
)
def test_too_small_an_image_is_refused(name, options, least):
    smallest = on_meta(name, 1, least, 10, **options).eval()
    assert smallest(torch.zeros(1, 1, least, least, device="meta")).shape == (1, 10)
    message = f"{name} needs images of at least {least} pixels, got {least - 1}"
    with pytest.raises(ValueError, match=message):
        on_meta(name, 1, least - 1, 10, **options)
