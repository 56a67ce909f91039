"""Every network of the zoo: published sizes, and what any network must do."""

import math

import pytest
import torch
from torch import nn

from thumbnets.models import count_parameters, create_model, list_models
from thumbnets.models.layers import Dropout
from thumbnets.registry import NETWORKS

MODELS = list_models()
FASHION = {"in_channels": 1, "image_size": 28, "num_classes": 10}


def make(name: str, seed: int = 0, **changes) -> nn.Module:
    torch.manual_seed(seed)
    return create_model(name, **{**FASHION, **changes})


def images(n: int = 4, channels: int = 1, size: int = 28) -> torch.Tensor:
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(1))


def trainable_size(name: str) -> int:
    """Side of images that training steps of any network are cheap on."""
    return 16 if NETWORKS[name].facts["parameters"] > 1_000_000 else 28


@pytest.mark.parametrize("name", MODELS)
def test_has_the_registered_number_of_parameters(name):
    assert count_parameters(make(name)) == NETWORKS[name].facts["parameters"]


@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 28, 10), (3, 32, 10), (3, 28, 7)])
@pytest.mark.parametrize("name", MODELS)
def test_gives_finite_logits_for_other_images(name, channels, size, classes):
    network = make(name, in_channels=channels, image_size=size, num_classes=classes)
    for mode in (True, False):
        logits = network.train(mode)(images(2, channels, size))
        assert logits.shape == (2, classes)
        assert logits.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_learns(name):
    size = trainable_size(name)
    network = make(name, image_size=size)
    for layer in (d for d in network.modules() if isinstance(d, Dropout)):
        layer.p = 0.0
    nn.functional.cross_entropy(network(images(32, size=size)), torch.arange(32) % 10).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_those_of_the_seed(name):
    one, same, other = (make(name, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", MODELS)
def test_learns_a_small_batch(name):
    size = trainable_size(name)
    network, batch = make(name, image_size=size), images(10, size=size)
    labels = torch.arange(10)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(network(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize(
    ("name", "least"), [("cnn_a", 4), ("cnn_b", 4), ("cnn_c", 6), ("tiny_cnn", 18), ("lenet5", 12)]
)
def test_too_small_an_image_is_refused(name, least):
    smallest = make(name, image_size=least).eval()
    assert smallest(images(1, 1, least)).shape == (1, 10)
    with pytest.raises(ValueError, match=f"{name} needs images of at least {least} pixels, got"):
        make(name, image_size=least - 1)


def test_an_unknown_name_or_option_is_refused():
    with pytest.raises(ValueError, match="Unknown network 'cnn_d'. Did you mean"):
        make("cnn_d")
    with pytest.raises(ValueError, match="network 'mlp4': Unknown key 'droput'. Did you mean"):
        make("mlp4", droput=0.1)
    with pytest.raises(ValueError, match="network 'mlp4': dropout must be less than 1, got 1.0"):
        make("mlp4", dropout=1.0)


# Layer by layer: name of the layer, shape of its output, learnable values.

TABLES = {
    "mlp4": [
        ("Linear", (500,), 392_500),
        ("ReLU", (500,), 0),
        ("Dropout", (500,), 0),
        ("Linear", (250,), 125_250),
        ("ReLU", (250,), 0),
        ("Dropout", (250,), 0),
        ("Linear", (250,), 62_750),
        ("ReLU", (250,), 0),
        ("Dropout", (250,), 0),
        ("Linear", (10,), 2_510),
    ],
    "mlp_custom": [
        ("Linear", (900,), 706_500),
        ("LeakyReLU", (900,), 0),
        ("Dropout", (900,), 0),
        ("Linear", (500,), 450_500),
        ("LeakyReLU", (500,), 0),
        ("Dropout", (500,), 0),
        ("Linear", (450,), 225_450),
        ("LeakyReLU", (450,), 0),
        ("Dropout", (450,), 0),
        ("Linear", (250,), 112_750),
        ("LeakyReLU", (250,), 0),
        ("Dropout", (250,), 0),
        ("Linear", (10,), 2_510),
    ],
    "cnn_a": [
        ("Conv2d", (4, 28, 28), 40),
        ("BatchNorm2d", (4, 28, 28), 8),
        ("ReLU", (4, 28, 28), 0),
        ("MaxPool2d", (4, 14, 14), 0),
        ("Conv2d", (4, 14, 14), 148),
        ("BatchNorm2d", (4, 14, 14), 8),
        ("ReLU", (4, 14, 14), 0),
        ("MaxPool2d", (4, 7, 7), 0),
        ("Linear", (10,), 1_970),
    ],
    "cnn_b": [
        ("Conv2d", (32, 28, 26), 320),  # padded in height only
        ("ReLU", (32, 28, 26), 0),
        ("MaxPool2d", (32, 14, 13), 0),
        ("Linear", (100,), 582_500),
        ("ReLU", (100,), 0),
        ("Linear", (10,), 1_010),
    ],
    "cnn_c": [
        ("Conv2d", (32, 28, 26), 320),
        ("ReLU", (32, 28, 26), 0),
        ("MaxPool2d", (32, 14, 13), 0),
        ("Conv2d", (4, 14, 13), 1_156),
        ("BatchNorm2d", (4, 14, 13), 8),
        ("ReLU", (4, 14, 13), 0),
        ("MaxPool2d", (4, 7, 6), 0),
        ("Linear", (100,), 16_900),
        ("LeakyReLU", (100,), 0),
        ("Dropout", (100,), 0),
        ("Linear", (150,), 15_150),
        ("LeakyReLU", (150,), 0),
        ("Dropout", (150,), 0),
        ("Linear", (10,), 1_510),
    ],
    "lenet_300_100": [
        ("Linear", (300,), 235_500),
        ("ReLU", (300,), 0),
        ("Linear", (100,), 30_100),
        ("ReLU", (100,), 0),
        ("Linear", (10,), 1_010),
    ],
    "lenet5": [
        ("Conv2d", (6, 28, 28), 156),
        ("ReLU", (6, 28, 28), 0),
        ("MaxPool2d", (6, 14, 14), 0),
        ("Conv2d", (16, 10, 10), 2_416),
        ("ReLU", (16, 10, 10), 0),
        ("MaxPool2d", (16, 5, 5), 0),
        ("Linear", (120,), 48_120),
        ("ReLU", (120,), 0),
        ("Linear", (84,), 10_164),
        ("ReLU", (84,), 0),
        ("Linear", (10,), 850),
    ],
}


def trace(network: nn.Module, batch: torch.Tensor) -> list[tuple[str, tuple[int, ...], int]]:
    """What each layer gives, in the order of the forward pass; flattening is left out."""
    seen = []

    def note(layer, _, output):
        seen.append((type(layer).__name__, tuple(output.shape[1:]), count_parameters(layer)))

    leaves = [m for m in network.modules() if not list(m.children())]
    hooks = [m.register_forward_hook(note) for m in leaves if not isinstance(m, nn.Flatten)]
    network(batch)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("name", TABLES)
def test_layers_are_those_of_the_published_table(name):
    assert trace(make(name), images()) == TABLES[name]


def tiny_table(order: str) -> list[tuple[str, tuple[int, ...], int]]:
    """The layers of the tiny CNN's table: 28 pixels shrink to 26, 24, 12, 12, 10, 8, 6, 1."""

    def block(maps: int, side: int, weights: int, *, drop: bool = True) -> list:
        shape = (maps, side, side)
        middle = [("BatchNorm2d", shape, 2 * maps), ("ReLU", shape, 0)]
        middle = middle if order == "norm_relu" else middle[::-1]
        return [("Conv2d", shape, weights), *middle, *([("Dropout", shape, 0)] if drop else [])]

    return [
        *block(8, 26, 72),
        *block(16, 24, 1_152),
        ("MaxPool2d", (16, 12, 12), 0),
        *block(8, 12, 128, drop=False),
        *block(12, 10, 864),
        *block(16, 8, 1_728),
        *block(20, 6, 2_880),
        ("AdaptiveAvgPool2d", (20, 1, 1), 0),
        *block(16, 1, 320),
        ("Conv2d", (10, 1, 1), 160),
    ]


@pytest.mark.parametrize("order", ["norm_relu", "relu_norm"])
def test_layers_of_the_tiny_cnn_in_both_orders(order):
    network = make("tiny_cnn", order=order)
    assert trace(network, images()) == tiny_table(order)
    assert count_parameters(network) == 7_496
    assert all(m.bias is None for m in network.modules() if isinstance(m, nn.Conv2d))


def test_lenet5_as_in_1998():
    names = [
        name for name, _, _ in trace(make("lenet5", activation="tanh", pool="average"), images())
    ]
    assert "ReLU" not in names and names.count("Tanh") == 4 and names.count("AvgPool2d") == 2


def test_softmax_under_cross_entropy_has_a_floor():
    network = make("cnn_b", softmax_output=True)
    last = network[-2]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(1000.0 * torch.eye(10)[3])  # as sure as can be of class 3
    outputs = network(images(1))
    right, wrong = (nn.functional.cross_entropy(outputs, torch.tensor([k])).item() for k in (3, 4))
    assert right == pytest.approx(math.log(math.e + 9) - 1, abs=1e-6)
    assert right == pytest.approx(1.461150, abs=1e-6)
    assert wrong == pytest.approx(2.461150, abs=1e-6)
    logits = make("cnn_b")
    logits[-1].load_state_dict(last.state_dict())
    assert nn.functional.cross_entropy(logits(images(1)), torch.tensor([3])).item() == 0
