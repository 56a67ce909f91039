"""Receptive fields against published sizes, worked examples and gradients."""

from functools import partial

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from source_networks import NETWORKS
from torch import nn

from thumbnets.evaluation.cost import describe
from thumbnets.models import create_model
from thumbnets.models.patches import PatchOrder, SharedPatches

FASHION = {"in_channels": 1, "image_size": 28, "num_classes": 10}


def size(network: nn.Module, channels: int = 1, side: int = 28) -> tuple[int, int]:
    return describe(network, (channels, side, side)).receptive_field


def test_the_table_of_the_source():
    # n in, n out, padding, kernel, stride, jump in and out, size in and out
    table = [
        (28, 26, 0, 3, 1, 1, 1, 1, 3),
        (26, 24, 0, 3, 1, 1, 1, 3, 5),
        (24, 12, 0, 2, 2, 1, 2, 5, 6),
        (12, 12, 0, 1, 1, 2, 2, 6, 6),
        (12, 10, 0, 3, 1, 2, 2, 6, 10),
        (10, 8, 0, 3, 1, 2, 2, 10, 14),
        (8, 6, 0, 3, 1, 2, 2, 14, 18),
        (6, 1, 0, 6, 1, 2, 2, 18, 28),
        (1, 1, 0, 1, 1, 2, 2, 28, 28),
        (1, 1, 0, 1, 1, 2, 2, 28, 28),
    ]
    found = describe(create_model("tiny_cnn", **FASHION), (1, 28, 28))
    steps = [layer.field for layer in found.layers if layer.field.window]
    assert [
        (
            step.shape_in[-1],
            step.shape_out[-1],
            step.window.padding[0],
            step.window.kernel[0],
            step.window.stride[0],
            step.before.jump[0],
            step.after.jump[0],
            step.before.size[0],
            step.after.size[0],
        )
        for step in steps
    ] == table


def test_padding_counts_as_image():
    # Net 1 of the tiny CNNs' source ends at 32 on images of 28 pixels.
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1), nn.MaxPool2d(2),
        nn.Conv2d(16, 4, 1), nn.Conv2d(4, 8, 3), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 16, 3),
        nn.AvgPool2d(8), nn.Conv2d(16, 10, 1),
    )  # fmt: skip
    assert size(network) == (32, 32)


# Sizes of Araujo, Norris and Sim 2019, of the map before the global average, which adds
# (side - 1) * 32; of ResNet as it was, striding in 1x1 convolutions.
@pytest.mark.parametrize(
    ("make", "side", "published", "last"),
    [
        (NETWORKS["ResNet-50"][0], 224, 483, 7),
        (NETWORKS["ResNet-152"][0], 224, 1507, 7),
        (torchvision.models.vgg16, 224, 212, 7),
        (partial(torchvision.models.inception_v3, init_weights=False), 299, 1311, 8),
        (torchvision.models.densenet121, 224, 2071, 7),
    ],
)
def test_published_sizes(make, side, published, last):
    with torch.device("meta"):
        network = make()
    expected = published + (last - 1) * 32
    assert size(network, 3, side) == (expected, expected)


def test_a_linear_layer_sees_the_whole_map():
    assert size(create_model("mlp4", **FASHION)) == (28, 28)
    # LeNet-5: 16 pixels at steps of 4, 5 of them; 28 and 2 of padding on both sides.
    assert size(create_model("lenet5", **FASHION)) == (32, 32)
    assert size(nn.Linear(28, 4)) == (1, 28)  # of each row


def test_patches_are_followed():
    inside = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(50, 10))
    found = describe(SharedPatches(inside, 7), (1, 28, 28))
    sizes = [layer.field.after.size for layer in found.layers]
    assert sizes == [(3, 3), (3, 3), (7, 7), (28, 28)]  # convolution, flat, patch, mean of patches
    assert size(nn.Sequential(PatchOrder(7), nn.Flatten(), nn.Linear(784, 3))) == (28, 28)


class Branching(nn.Module):
    def __init__(self, *branches: nn.Module, cat: bool) -> None:
        super().__init__()
        self.branches, self.cat = nn.ModuleList(branches), cat

    def forward(self, x):
        results = [branch(x) for branch in self.branches]
        return torch.cat(results, 1) if self.cat else results[0] + results[1]


@pytest.mark.parametrize("cat", [True, False])
def test_the_largest_branch_counts(cat):
    small, large = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 5, padding=2)
    for branches in ((small, large), (large, small)):
        both = Branching(*branches, cat=cat)
        assert size(nn.Sequential(both, nn.Conv2d(1 + cat, 1, 3))) == (7, 7)


def test_a_slice_that_strides():
    class Every(nn.Module):
        def forward(self, x):
            return x[:, :, ::2, ::2]

    assert size(nn.Sequential(nn.Conv2d(1, 1, 3), Every(), nn.Conv2d(1, 1, 3))) == (7, 7)


def test_a_list_that_grows_after_it_was_put_together():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(n, 1, 3, padding=1) for n in (1, 2, 3))

        def forward(self, x):
            seen = [x]
            for conv in self.convs:
                seen.append(conv(torch.cat(seen, 1)))
            return seen[-1]

    assert size(Dense()) == (7, 7)


layers = st.tuples(
    st.integers(1, 4), st.integers(1, 2), st.integers(0, 1), st.integers(1, 2), st.booleans()
)


@given(st.lists(layers, min_size=1, max_size=4))
def test_no_gradient_comes_from_further_away(drawn):
    """The pixels that a value in the middle depends on, by autograd, with positive weights."""
    side, stack = 64, []
    for kernel, stride, padding, dilation, pools in drawn:
        padding = min(padding, kernel // 2)
        stack.append(
            nn.AvgPool2d(kernel, stride, padding)
            if pools
            else nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False)
        )
    network = nn.Sequential(*stack).double()
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    image = torch.ones(1, 1, side, side, dtype=torch.double, requires_grad=True)
    result = network(image)
    middle = result.shape[-1] // 2
    result[0, 0, middle, middle].backward()
    rows = image.grad[0, 0].sum(1).nonzero().flatten()
    extent = int(rows[-1] - rows[0]) + 1
    assert size(network.float(), 1, side) == (extent, extent)
