"""ReLU behind max pooling: the same values, gradients and trained weights, bit for bit."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from thumbnets.models import create_model
from thumbnets.models.pooling import pool_first

FASHION = {"in_channels": 1, "image_size": 28, "num_classes": 10}
POOLED = {"cnn_a": 2, "cnn_b": 1, "cnn_c": 2, "tiny_cnn": 0, "vgg8b": 4, "vgg11": 5}  # ReLUs moved


def moved(network: nn.Module) -> int:
    return sum(isinstance(module, nn.Identity) for module in network.modules())


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The bits of each value, so that NaN equals itself; zeros have no sign."""
    return (tensor + 0.0).view(torch.int32)


@pytest.mark.parametrize("name", POOLED)
def test_only_a_relu_before_pooling_moves_and_no_name_changes(name):
    network = create_model(name, **FASHION)
    names, before = list(network.state_dict()), [type(m) for m in network.modules()]
    assert pool_first(network) is network
    assert moved(network) == POOLED[name]
    assert list(network.state_dict()) == names
    if POOLED[name]:
        leaves = [m for m in network.modules() if not list(m.children())]
        assert not any(
            isinstance(a, nn.ReLU) and isinstance(b, nn.MaxPool2d) for a, b in pairwise(leaves)
        )
    else:
        assert [type(m) for m in network.modules()] == before


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["cnn_a", "cnn_b", "cnn_c", "lenet_20_50", "simplenet_slim"])
def test_training_has_the_same_weights(name, precision):
    torch.manual_seed(0)
    ours = create_model(name, **FASHION).to(memory_format=torch.channels_last)
    theirs = copy.deepcopy(ours)
    pool_first(ours)
    images = torch.randn(3, 16, 1, 28, 28).round(decimals=1)  # flat patches: windows have ties
    images[:, :, :, :9] = -0.4
    labels = torch.randint(10, (3, 16))
    for network in (ours, theirs):
        torch.manual_seed(1)
        step = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, fused=True)
        for x, y in zip(images, labels, strict=True):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                logits = network(x).float()
            step.zero_grad()
            nn.functional.cross_entropy(logits, y).backward()
            step.step()
    other = theirs.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in ours.state_dict().items())


VALUES = [-1.0, -0.0, 0.0, 1.0, 2.0, float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("pooling", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_ties_zeros_and_what_is_not_finite(pooling, layout):
    index = torch.randint(8, (4, 3, 12, 12), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(VALUES)[index].contiguous(memory_format=layout)
    network = nn.Sequential(nn.ReLU(), pooling)
    found = []
    for each in (network, pool_first(copy.deepcopy(network))):
        of_input = x.clone().requires_grad_()
        y = each(of_input)
        weights = torch.arange(1.0, y.numel() + 1).view(y.shape)
        found.append((bits(y), bits(torch.autograd.grad(y, of_input, weights)[0])))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_what_stands_between_keeps_the_relu():
    """Other activations could round two values to one; a subclass may do something else."""

    class Own(nn.Sequential):
        def forward(self, x):
            return super().forward(x) + 1

    for layers in (
        [nn.LeakyReLU(), nn.MaxPool2d(2)],
        [nn.ReLU(), nn.AvgPool2d(2)],
        [nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2)],
        [Own(nn.ReLU()), nn.MaxPool2d(2)],
        [nn.Sequential(), nn.MaxPool2d(2)],
    ):
        assert not moved(pool_first(nn.Sequential(*layers)))
    assert not moved(pool_first(Own(nn.ReLU(), nn.MaxPool2d(2))))
