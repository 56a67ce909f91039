"""Costs against the counts of the sources and against torch's own counter."""

import warnings
from functools import partial

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from thumbnets.evaluation.cost import Cost, Description, describe
from thumbnets.models import count_parameters, create_model, list_models
from thumbnets.models.layers import Dropout

FASHION = {"in_channels": 1, "image_size": 28, "num_classes": 10}


def of(network: nn.Module, shape: tuple[int, int, int]) -> Description:
    return describe(network, shape)


def one_cost(network: nn.Module, shape: tuple[int, int, int] = (2, 4, 4)) -> Cost:
    """Cost of the only layer of a network, so without the image among the activations."""
    (layer,) = of(network, shape).layers
    assert not layer.uncounted
    return layer.cost


def numbers(cost: Cost) -> tuple[int, ...]:
    """MACC, COMP, ADD, DIV, EXP, activations."""
    return tuple(vars(cost).values())


# By hand for an input of 2 x 4 x 4 = 32 values: MACC, COMP, ADD, DIV, EXP, activations.
BY_HAND = [
    (nn.Conv2d(2, 6, 3, padding=1, groups=2), (9 * 1 * 96, 0, 0, 0, 0, 96)),
    (nn.Conv2d(2, 6, 3, stride=2, bias=False), (9 * 2 * 6, 0, 0, 0, 0, 6)),
    (nn.ConvTranspose2d(2, 3, 2, stride=2), (32 * 3 * 4, 0, 0, 0, 0, 3 * 64)),
    (nn.Linear(4, 5), (4 * 40, 0, 0, 0, 0, 40)),
    (nn.MaxPool2d(2), (0, 32, 0, 0, 0, 8)),
    (nn.MaxPool2d(3, 2, ceil_mode=True), (0, 9 * 8, 0, 0, 0, 8)),
    (nn.AvgPool2d(2, 1), (0, 0, 4 * 18, 0, 0, 18)),
    (nn.AdaptiveAvgPool2d(1), (0, 0, 32, 0, 0, 2)),
    (nn.AdaptiveMaxPool2d(3), (0, 2 * 6 * 6, 0, 0, 0, 18)),  # windows 0-1, 1-2, 2-3
    (nn.AdaptiveAvgPool2d(4), (0, 0, 0, 0, 0, 0)),  # changes nothing
    (nn.BatchNorm2d(2), (32, 0, 32, 32, 0, 64)),  # norm and scale
    (nn.BatchNorm2d(2, affine=False), (0, 0, 32, 32, 0, 32)),
    (nn.LocalResponseNorm(5), (160, 0, 32, 64, 32, 32)),
    (nn.LayerNorm(4, elementwise_affine=False), (32, 0, 64, 32, 0, 32)),
    (nn.ReLU(inplace=True), (0, 32, 0, 0, 0, 32)),
    (nn.PReLU(), (0, 32, 0, 0, 0, 32)),
    (nn.ELU(), (0, 32, 0, 0, 0, 32)),
    (nn.Dropout(), (0, 32, 0, 0, 0, 32)),
    (Dropout(0.5), (0, 32, 0, 0, 0, 32)),
    (nn.Softmax(1), (0, 0, 32, 32, 32, 32)),
    (nn.Flatten(), (0, 0, 0, 0, 0, 0)),
    (nn.Identity(), (0, 0, 0, 0, 0, 0)),
]


@pytest.mark.parametrize(("layer", "expected"), BY_HAND, ids=lambda value: type(value).__name__)
def test_one_layer_by_hand(layer, expected):
    assert numbers(one_cost(layer)) == expected


class Functional(nn.Module):
    """Everything is a function: 3x3 convolution, ReLU, the input beside it, their sum, the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(2, 1, 1))
        self.spare = nn.Parameter(torch.ones(7), requires_grad=False)

    def forward(self, x):
        y = nn.functional.relu(self.conv(x))
        both = torch.cat([x, y], 1) * self.scale
        both += 1
        return (both[:, :1] + both[:, 1:]).mean((2, 3)).view(-1)


def test_functions_are_layers():
    found = of(Functional(), (1, 5, 5))
    kinds = [layer.kind for layer in found.layers]
    assert kinds == ["Conv2d", "relu", "cat", "mul", "add", "add", "mean"]
    assert [numbers(layer.cost) for layer in found.layers] == [
        (225, 0, 0, 0, 0, 25),
        (0, 25, 0, 0, 0, 25),
        (0, 0, 0, 0, 0, 50),
        (50, 0, 0, 0, 0, 50),
        (0, 0, 50, 0, 0, 50),
        (0, 0, 25, 0, 0, 25),
        (0, 0, 25, 0, 0, 1),
    ]
    assert [layer.parameters for layer in found.layers] == [10, 0, 0, 2, 0, 0, 0]
    assert (found.parameters, found.trainable, found.unused) == (19, 12, 7)
    assert found.total.activations == 25 + 226  # with the image


def test_a_layer_that_is_used_twice_has_its_parameters_once():
    shared = nn.Linear(4, 4)
    found = of(nn.Sequential(shared, nn.ReLU(), shared), (2, 4, 4))
    assert [layer.parameters for layer in found.layers] == [20, 0, 0]
    assert [layer.name for layer in found.layers] == ["Linear-1", "ReLU-2", "Linear-3"]


def test_what_has_no_rule_is_named():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.erfinv(x).cumsum(1).cumsum(2)

    found = of(nn.Sequential(Odd(), nn.ReLU()), (2, 4, 4))
    assert found.uncounted == {"cumsum": 2, "erfinv": 1}


def test_what_can_not_be_seen_is_refused_or_named():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        hidden = torch.jit.script(nn.ReLU())
    with pytest.raises(ValueError, match="TorchScript cannot be traced"):
        of(nn.Sequential(hidden), (2, 4, 4))

    class Through(nn.Module):
        def forward(self, x):
            return torch.from_numpy(x.numpy() * 2)

    assert of(nn.Sequential(nn.ReLU(), Through()), (2, 4, 4)).uncounted == {"Through": 1}


@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers(directions):
    # 4 steps of 5 inputs, 3 units: by layer and direction 4 * (4 * 3 * (5 + 3)) of the gates.
    lstm = nn.LSTM(5, 3, num_layers=2, batch_first=True, bidirectional=directions == 2)

    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = lstm

        def forward(self, x):
            return self.lstm(x[:, 0])[0][:, -1]

    (layer,) = of(Rows(), (1, 4, 5)).layers
    first, second = 12 * (5 + 3), 12 * (3 * directions + 3)
    units = 4 * 3 * 2 * directions
    gates = 4 * directions * (first + second)
    assert numbers(layer.cost) == (gates + 3 * units, 0, 5 * units, 5 * units, 5 * units, units)
    assert layer.parameters == count_parameters(lstm)
    assert layer.field.after.size == (4, 5)  # the whole input


def test_training_mode_and_hooks_are_as_before():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), Dropout(0.5))
    network[1].eval()
    mean = network[1].running_mean.clone()
    of(network.train(), (1, 5, 5))
    assert network.training and network[1].training
    assert torch.equal(network[1].running_mean, mean)
    assert not network[0]._forward_hooks and not network[0]._forward_pre_hooks


@pytest.mark.parametrize("name", list_models())
def test_every_network_is_counted_whole(name):
    with torch.device("meta"):
        network = create_model(name, **FASHION)
    found = of(network, (1, 28, 28))
    assert not found.uncounted and not found.unused
    assert sum(layer.parameters for layer in found.layers) == found.parameters
    assert found.parameters == count_parameters(network)


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"]
)
def test_products_are_those_of_torch(name):
    with torch.device("meta"):
        network = torchvision.models.get_model(name, weights=None)
    found = of(network, (3, 64, 64))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, 64, 64, device="meta"))
    weighted = [layer for layer in found.layers if layer.kind in ("Conv2d", "Linear")]
    products = sum(layer.cost.multiply_accumulates for layer in weighted)
    assert products == counter.get_total_flops() / 2
    assert not found.unused and not found.uncounted


def test_attention_is_counted_as_torch_does():
    network = torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=4)
    network = network.to("meta")
    found = of(network, (3, 32, 32))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, 32, 32, device="meta"))
    kinds = ("Conv2d", "NonDynamicallyQuantizableLinear", "Linear", "multi_head_attention_forward")
    products = sum(x.cost.multiply_accumulates for x in found.layers if x.kind in kinds)
    assert products == counter.get_total_flops() / 2
    assert not found.unused


def test_the_tiny_cnn_is_that_of_the_reference():
    found = of(nn.Sequential(create_model("tiny_cnn", **FASHION), nn.Softmax(1)), (1, 28, 28))
    scaled = 18_736  # values of its batch norms, whose scale the reference left out
    total = (1_031_808 + scaled, 45_536, 19_466, 18_746, 10, 76_920 + scaled)
    assert numbers(found.total) == total
    assert found.parameters == 7_496


def simplenet(layout: str, *, channels: int, classes: int, strides: dict[int, int], normed: int):
    """SimpleNet as the reference counts it, without dropout.

    Args:
        layout: Maps of each convolution; `k1` after them for a kernel of 1, `p` where the pooling
            comes before the norm; `P` is a pooling.
        strides: Of convolutions by number, if not 1.
        normed: How many convolutions have a norm.
    """
    layers, inputs, number = [], channels, 0
    for token in layout.split():
        pool = nn.MaxPool2d(2, ceil_mode=True)
        if token == "P":
            layers.append(pool)
            continue
        outputs, kernel = int(token.rstrip("p").split("k")[0]), 1 if token.endswith("k1") else 3
        layers.append(nn.Conv2d(inputs, outputs, kernel, strides.get(number, 1), kernel // 2))
        layers += [pool] if token.endswith("p") else []
        layers += [nn.BatchNorm2d(outputs)] if number < normed else []
        layers.append(nn.ReLU())
        inputs, number = outputs, number + 1
    head = [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(inputs, classes), nn.Softmax(1)]
    return nn.Sequential(*layers, *head)


IMAGENET = "{0} {1} {1} {1} {1} {1} P {2} {2} {2} {3} P {4}k1 {2}k1 {2}"
M1, M2 = {0: 2, 1: 2, 2: 2}, {0: 2, 1: 2, 3: 2}


@pytest.mark.parametrize(
    ("widths", "strides", "total", "parameters"),
    [
        ("32 64 128 256 1024", M1, (341_914_368, 1_097_600, 991_976, 4_141_648), 1_506_792),
        ("32 64 128 256 1024", M2, (428_769_024, 1_248_128, 1_142_504, 4_743_760), 1_506_792),
        ("48 96 192 384 1536", M1, (760_339_584, 1_646_400, 1_487_464, 6_136_208), 3_287_272),
        ("64 128 256 512 2048", M2, (1_690_861_056, 2_496_256, 2_284_008, 9_334_992), 5_752_808),
        ("128 192 320 640 2560", M1, (2_777_530_240, 3_571_904, 3_281_256, 13_342_864), 9_508_968),
    ],
)
def test_simplenets_are_those_of_the_reference(widths, strides, total, parameters):
    layout = IMAGENET.format(*widths.split())
    with torch.device("meta"):
        network = simplenet(layout, channels=3, classes=1000, strides=strides, normed=13)
    found = of(network, (3, 224, 224))
    cost = found.total
    assert (cost.multiply_accumulates, cost.comparisons, cost.additions, cost.activations) == total
    assert cost.divisions == cost.additions
    assert found.parameters == parameters


SLIM = "64 32 32 32 P 32 32 64p 64 64 P 128 256k1 64k1 P 64"


@pytest.mark.parametrize(
    ("channels", "side", "total", "parameters"),
    [
        (3, 32, (55_982_720, 254_464, 194_570, 818_004), 311_594),
        (1, 28, (42_454_592, 197_824, 149_450, 629_476), 310_442),
    ],
)
def test_the_slim_simplenet_of_caffe(channels, side, total, parameters):
    network = simplenet(SLIM, channels=channels, classes=10, strides={}, normed=10)
    found = of(network, (channels, side, side))
    cost = found.total
    assert (cost.multiply_accumulates, cost.comparisons, cost.additions, cost.activations) == total
    assert found.parameters == parameters


def test_as_dict_holds_all_numbers():
    content = of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), (1, 5, 5)).as_dict()
    conv, relu = content["layers"]
    assert conv["name"] == "Conv2d-1" and conv["output_shape"] == [2, 3, 3]
    assert conv["receptive_field"]["size"] == (3, 3)
    assert conv["receptive_field"]["kernel"] == (3, 3) and "kernel" not in relu["receptive_field"]
    assert content["total"]["multiply_accumulates"] == 9 * 18
    assert content["megabytes"] == 20 * 4 / 2**20


def test_a_network_without_parameters():
    assert of(nn.Sequential(nn.ReLU()), (1, 2, 2)).total == Cost(comparisons=4, activations=8)


def test_partial_networks_of_any_device():
    make = partial(nn.Conv2d, 1, 2, 3)
    assert one_cost(make(device="meta"), (1, 5, 5)) == one_cost(make(), (1, 5, 5))
