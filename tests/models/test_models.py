"""Every network of the zoo: published sizes, and what any network must do."""

import math
import re

import pytest
import torch
from torch import nn

from thumbnets.models import count_parameters, create_model, list_models
from thumbnets.models.layers import Dropout
from thumbnets.models.residual import PreactivationBlock
from thumbnets.registry import NETWORKS

MODELS = list_models()
FASHION = {"in_channels": 1, "image_size": 28, "num_classes": 10}


def make(name: str, seed: int = 0, **changes) -> nn.Module:
    torch.manual_seed(seed)
    return create_model(name, **{**FASHION, **changes})


def images(n: int = 4, channels: int = 1, size: int = 28) -> torch.Tensor:
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(1))


def trainable_size(name: str) -> int:
    """Side of images on which a training step of the network is cheap."""
    return 16 if NETWORKS[name].metadata.parameters > 1_000_000 else 28


@pytest.mark.parametrize("name", MODELS)
def test_has_the_registered_number_of_parameters(name):
    assert count_parameters(make(name)) == NETWORKS[name].metadata.parameters


@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 28, 10), (3, 32, 10), (3, 28, 7)])
@pytest.mark.parametrize("name", MODELS)
def test_gives_finite_logits_for_other_images(name, channels, size, classes):
    network = make(name, in_channels=channels, image_size=size, num_classes=classes)
    for mode in (True, False):
        logits = network.train(mode)(images(2, channels, size))
        assert logits.shape == (2, classes)
        assert logits.isfinite().all()


def smallest_image(name: str) -> int:
    """Side in pixels of the smallest image that a network takes, by its refusal of one pixel."""
    try:
        make(name, image_size=1)
    except ValueError as error:
        said = re.fullmatch(rf"{name} needs images of at least (\d+) pixels, got 1\.", str(error))
        return int(said[1])
    return 1


@pytest.mark.parametrize("size", [8, 16, 28, 32, 96])
@pytest.mark.parametrize("name", MODELS)
def test_every_usual_size_is_taken_unless_too_small(name, size):
    if size < smallest_image(name):
        with pytest.raises(ValueError, match=f"{name} needs images of at least .*, got {size}"):
            make(name, image_size=size)
    else:
        with torch.inference_mode():
            logits = make(name, image_size=size).eval()(images(1, 1, size))
        assert logits.shape == (1, 10) and logits.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_the_smallest_image_is_the_smallest(name):
    least = smallest_image(name)
    assert least <= 28
    assert make(name, image_size=least).eval()(images(1, 1, least)).shape == (1, 10)
    if least > 1:
        with pytest.raises(ValueError, match=f"at least {least} pixels, got {least - 1}"):
            make(name, image_size=least - 1)


def without_dropout(network: nn.Module) -> nn.Module:
    for layer in (d for d in network.modules() if isinstance(d, Dropout)):
        layer.p = 0.0
    return network


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_learns(name):
    size = trainable_size(name)
    network = without_dropout(make(name, image_size=size))
    logits = network(images(8, size=size))
    nn.functional.cross_entropy(logits, torch.arange(8)).backward()
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
    network = without_dropout(make(name, image_size=size))
    batch, labels = images(4, size=size), torch.arange(4)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    while not losses or losses[-1] > 0.9 * losses[0]:
        assert len(losses) < 30, losses
        loss = nn.functional.cross_entropy(network(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())


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


def tiny_block(
    maps: int, side: int, weights: int, order: str = "norm_relu", *, drop: bool = True
) -> list:
    shape = (maps, side, side)
    middle = [("BatchNorm2d", shape, 2 * maps), ("ReLU", shape, 0)]
    middle = middle if order == "norm_relu" else middle[::-1]
    return [("Conv2d", shape, weights), *middle, *([("Dropout", shape, 0)] if drop else [])]


def tiny_table(order: str) -> list[tuple[str, tuple[int, ...], int]]:
    """The layers of the tiny CNN's table: 28 pixels shrink to 26, 24, 12, 12, 10, 8, 6, 1."""
    return [
        *tiny_block(8, 26, 72, order),
        *tiny_block(16, 24, 1_152, order),
        ("MaxPool2d", (16, 12, 12), 0),
        *tiny_block(8, 12, 128, order, drop=False),
        *tiny_block(12, 10, 864, order),
        *tiny_block(16, 8, 1_728, order),
        *tiny_block(20, 6, 2_880, order),
        ("AdaptiveAvgPool2d", (20, 1, 1), 0),
        *tiny_block(16, 1, 320, order),
        ("Conv2d", (10, 1, 1), 160),
    ]


@pytest.mark.parametrize("order", ["norm_relu", "relu_norm"])
def test_layers_of_the_tiny_cnn_in_both_orders(order):
    network = make("tiny_cnn", order=order)
    assert trace(network, images()) == tiny_table(order)
    assert count_parameters(network) == 7_496
    assert all(m.bias is None for m in network.modules() if isinstance(m, nn.Conv2d))


def test_layers_of_the_tiny_skeleton():
    network = make("tiny_cnn", layout="skeleton")
    assert trace(network, images()) == [
        *tiny_block(8, 28, 72),
        *tiny_block(16, 28, 1_152),
        ("MaxPool2d", (16, 14, 14), 0),
        *tiny_block(4, 14, 64),
        *tiny_block(8, 12, 288),
        *tiny_block(16, 10, 1_152),
        *tiny_block(16, 8, 2_304),
        ("AdaptiveAvgPool2d", (16, 1, 1), 0),
        ("Conv2d", (10, 1, 1), 160),
    ]
    assert count_parameters(network) == 5_328
    assert make("tiny_cnn", layout="skeleton", image_size=14)(images(2, 1, 14)).shape == (2, 10)
    with pytest.raises(ValueError, match="tiny_cnn needs images of at least 14 pixels, got 13"):
        make("tiny_cnn", layout="skeleton", image_size=13)


def test_lenet5_as_in_1998():
    names = [
        name for name, _, _ in trace(make("lenet5", activation="tanh", pool="average"), images())
    ]
    assert "ReLU" not in names and names.count("Tanh") == 4 and names.count("AvgPool2d") == 2


def test_sprint_cnn_with_more_features_and_batch_norm():
    network = make("sprint_cnn", width=32, hidden=1024, batch_norm=True)
    convolutions = 25 * 32 + 2 * 32 + 25 * 32 * 64 + 2 * 64  # without biases; gains and shifts
    assert count_parameters(network) == convolutions + 64 * 7**2 * 1024 + 2 * 1024 + 1025 * 10
    assert network[-1].in_features == 1024


def test_sprint_cnn_draws_its_weights_layer_by_layer():
    """So that a block of it ends with the bits that it always had."""
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(1, 16, 5).weight, nn.Conv2d(16, 32, 5).weight]
    linear = [nn.Linear(32 * 7**2, 128).weight, nn.Linear(128, 10).weight]
    torch.manual_seed(0)
    network = make("sprint_cnn")
    drawn = [layer.weight for layer in network if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert all(map(torch.equal, drawn, convolutions + linear))


def test_sprint_cnn_without_a_layer_between_maps_and_logits():
    network = make("sprint_cnn", width=32, hidden=None, batch_norm=True)
    convolutions = 25 * 32 + 2 * 32 + 25 * 32 * 64 + 2 * 64
    assert count_parameters(network) == convolutions + (64 * 7**2 + 1) * 10


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


# Residual and other later networks: published sizes.


def test_residual_networks_have_the_published_sizes():
    colour = {"in_channels": 3, "image_size": 32}
    assert count_parameters(make("wrn_16_4", **colour)) == 2_748_890  # 2.7 M
    assert count_parameters(make("resnet20", **colour)) == 269_434 + 2 * 16 * 9  # 0.27 M
    assert count_parameters(make("airbench94", **colour)) == 1_971_640  # 1.97 M
    for name, convolutions in {"resnet20": 19, "wrn_16_4": 13 + 3}.items():  # with a linear layer
        kernels = [m for m in make(name).modules() if isinstance(m, nn.Conv2d)]
        assert len(kernels) == convolutions and all(kernel.bias is None for kernel in kernels)


@pytest.mark.parametrize("name", ["resnet20", "wrn_16_4"])
def test_stages_halve_the_image(name):
    shapes = [shape for _, shape, _ in trace(make(name), images()) if len(shape) == 3]
    sides = [side for _, side, _ in shapes]
    assert sides == sorted(sides, reverse=True) and list(dict.fromkeys(sides)) == [28, 14, 7, 1]


def test_shortcut_without_weights_keeps_every_other_pixel():
    block = PreactivationBlock(2, 3, 2, project=False, dropout=0.0)
    with torch.no_grad():
        block.residual[-1].weight.zero_()
    x = images(2, 2, 5)
    out = block(x.clone())
    assert torch.equal(out[:, :2], x[:, :, ::2, ::2]) and not out[:, 2].any()


def test_shortcut_with_weights_is_of_the_activated_input():
    block = PreactivationBlock(2, 3, 2, project=True, dropout=0.0).eval()
    with torch.no_grad():
        block.residual[-1].weight.zero_()
        block.project.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1]])[..., None, None])
    x = images(2, 2, 5)
    first, second = (x[:, :, ::2, ::2].clamp(min=0) / math.sqrt(1 + 1e-5)).unbind(1)
    assert torch.allclose(block(x.clone()), torch.stack([first, second, first + second], 1))
    assert PreactivationBlock(2, 2, 1, project=True, dropout=0.0).project is None


def test_airbench94_begins_as_copies():
    conv = next(m for m in make("airbench94").modules() if getattr(m, "kernel_size", 0) == (3, 3))
    x = images(2, 8)
    assert torch.allclose(conv(x)[:, :8], x, atol=1e-6)
