"""torchvision's networks: the same but for first layer, head and the source of randomness."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.ops import StochasticDepth

from thumbnets.models import count_parameters, create_model
from thumbnets.models.blocks import GroupDropout
from thumbnets.models.layers import Dropout

# One a family, and those that need arguments of their own. (Regnets can't be built on meta.)
NAMES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_16",
    "wide_resnet50_2",
]
NO_AUX = {"aux_logits": False, "init_weights": False}
OWN = {"googlenet": NO_AUX, "inception_v3": NO_AUX}


def make(name: str, channels: int = 1, size: int = 28, classes: int = 7, seed: int = 0):
    torch.manual_seed(seed)
    shape = {"in_channels": channels, "image_size": size, "num_classes": classes}
    return create_model(f"torchvision/{name}", **shape)


def first_convolution(network: nn.Module) -> nn.Conv2d:
    return next(m for m in network.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("name", NAMES)
def test_is_torchvisions_but_for_the_channels_of_the_first_layer(name):
    with torch.device("meta"):
        ours = make(name, size=224)
        theirs = models.get_model(name, num_classes=7, **OWN.get(name, {}))
    first, of_colour = first_convolution(ours), first_convolution(theirs)
    weights = of_colour.weight.numel()
    assert count_parameters(ours) == count_parameters(theirs) - weights + weights // 3
    for key in ("out_channels", "kernel_size", "stride", "padding"):
        assert getattr(first, key) == getattr(of_colour, key)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert ours.train()(torch.zeros(2, 1, 224, 224, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("name", NAMES)
def test_draws_from_the_generators_of_the_training(name):
    with torch.device("meta"):
        ours = make(name, size=224)
        theirs = models.get_model(name, num_classes=7, **OWN.get(name, {}))
    kinds = {nn.Dropout: Dropout, StochasticDepth: GroupDropout}
    expected = [(kinds[type(m)], m.p) for m in theirs.modules() if type(m) in kinds]
    assert [(type(m), m.p) for m in ours.modules() if isinstance(m, Dropout)] == expected
    assert not any(type(m) in kinds for m in ours.modules())
    assert all(m.mode == "row" for m in theirs.modules() if isinstance(m, StochasticDepth))
    assert all(m.axes == 1 for m in ours.modules() if isinstance(m, GroupDropout))


def test_with_the_same_weights_it_says_the_same():
    theirs = models.resnet18(num_classes=7).eval()
    ours = make("resnet18", channels=3).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5", "regnet_y_400mf"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_every_parameter_learns_on_small_images(name, channels, size):
    network = make(name, channels, size)
    images = torch.randn(8, channels, size, size, generator=torch.Generator().manual_seed(1))
    logits = network(images)
    assert logits.shape == (8, 7) and logits.isfinite().all()
    nn.functional.cross_entropy(logits, torch.arange(8) % 7).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


def test_learns_a_small_batch():
    network, labels = make("resnet18"), torch.arange(7)
    images = torch.randn(7, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5


def test_weights_are_those_of_the_seed():
    one, same, other = (make("squeezenet1_1", seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("name", "least"), [("vgg11_bn", 32), ("alexnet", 63)])
def test_a_size_that_a_network_needs_is_told(name, least):
    message = f"torchvision/{name} needs images of at least {least} pixels, got 28"
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        make(name)
    with torch.device("meta"):
        make(name, size=least)


@pytest.mark.parametrize(
    ("name", "reason"), [("vit_b_16", "indivisible by patch size"), ("maxvit_t", "not divisible")]
)
def test_a_size_that_does_not_divide_is_refused_in_one_line(name, reason):
    message = f"torchvision/{name} does not take images of 28 pixels: .*{reason}"
    with pytest.raises(ValueError, match=message) as caught:
        make(name)
    assert "\n" not in str(caught.value)
    with torch.device("meta"):
        make(name, size=224)
