"""Initialisation: the law of each rule, biases, norms, and what decides the draw."""

import math

import pytest
import torch
from torch import nn

from thumbnets.choices import Choice
from thumbnets.registry import INITIALISATIONS
from thumbnets.training.initialisation import initialise

RULES = [name for name in INITIALISATIONS.entries if name != "default"]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(16, 40, 5), nn.BatchNorm2d(40), nn.Flatten(), nn.Linear(300, 200)]
    return nn.Sequential(*layers, nn.Linear(200, 10, bias=False))


def drawn(name: str, seed: int = 0, **options) -> nn.Sequential:
    net = network()
    options = INITIALISATIONS.options(name)(**options).model_dump()
    choice = Choice(name=name, options=options)
    initialise(net, choice, torch.Generator().manual_seed(seed))
    return net


def check_law(weight: torch.Tensor, std: float, *, normal: bool) -> None:
    """Mean 0, the given standard deviation (to 4 of its errors), and the form of the law."""
    n = weight.numel()
    kurtosis = 3.0 if normal else 1.8
    assert abs(weight.mean().item()) < 4 * std / math.sqrt(n)
    spread = std * math.sqrt((kurtosis - 1) / (4 * n))
    assert abs(weight.std().item() - std) < 4 * spread + 1e-7
    fourth = ((weight / std) ** 4).mean().item()
    assert fourth == pytest.approx(kurtosis, abs=0.35)


FANS = {"conv": (16 * 25, 40 * 25), "linear": (300, 200)}  # inputs, outputs


@pytest.mark.parametrize("layer", FANS)
def test_variances_are_those_of_the_papers(layer):
    index = {"conv": 0, "linear": 3}[layer]
    inputs, outputs = FANS[layer]
    glorot = math.sqrt(2 / (inputs + outputs))
    uniform = drawn("xavier_uniform")[index].weight
    check_law(uniform, glorot, normal=False)
    bound = math.sqrt(6 / (inputs + outputs))
    assert 0.99 * bound < uniform.abs().max() <= bound
    check_law(drawn("xavier_normal")[index].weight, glorot, normal=True)
    check_law(drawn("he")[index].weight, math.sqrt(2 / inputs), normal=True)
    check_law(drawn("normal")[index].weight, 0.05, normal=True)
    check_law(drawn("normal", std=0.3)[index].weight, 0.3, normal=True)


def test_by_layer_is_normal_for_linear_layers_and_he_for_convolutions():
    net = drawn("by_layer", std=0.02)
    check_law(net[0].weight, math.sqrt(2 / 400), normal=True)
    check_law(net[3].weight, 0.02, normal=True)


@pytest.mark.parametrize("name", RULES)
def test_every_layer_is_drawn_anew_and_biases_are_0(name):
    before, after = network(), drawn(name)
    for index in (0, 3, 4):
        assert not torch.equal(before[index].weight, after[index].weight)
    assert not after[0].bias.any() and not after[3].bias.any()
    assert (after[1].weight == 1).all() and not after[1].bias.any()  # the norm stays
    assert all(p.requires_grad and p.is_leaf for p in after.parameters())


def test_default_changes_nothing():
    before, after = network().state_dict(), drawn("default").state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", RULES)
def test_the_generator_decides_alone(name):
    one, same, other = drawn(name, 1), drawn(name, 1), drawn(name, 2)
    assert torch.equal(one[0].weight, same[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)
    torch.manual_seed(5)
    drawn(name)  # seeds the global generator with 0, then must not draw from it
    after = torch.rand(3)
    network()
    assert torch.equal(after, torch.rand(3))
