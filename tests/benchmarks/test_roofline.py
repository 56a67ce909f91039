"""Operations and bytes of layers by hand, and what is said to bound them."""

import pytest
import torch
from torch import nn

from benchmarks.roofline import Work, both_ways, layers, leaves, row_of, section, work_of


def test_work_of_a_convolution_by_hand():
    layer, image = nn.Conv2d(2, 4, 3, padding=1), torch.zeros(5, 2, 6, 6)
    output = layer(image)  # 5 x 4 x 6 x 6, each of 2 x 9 products
    macs, parameters = 5 * 4 * 36 * 18, 4 * 18 + 4
    assert work_of(layer, image, output, first=True) == Work(
        2 * 2 * macs, 4 * (2 * image.numel() + 2 * output.numel() + 2 * parameters)
    )
    assert work_of(layer, image, output, first=False) == Work(
        2 * 3 * macs, 4 * (3 * image.numel() + 2 * output.numel() + 2 * parameters)
    )


def test_work_of_an_activation_by_hand():
    image = torch.zeros(5, 8)
    assert work_of(nn.ReLU(), image, image, first=False) == Work(2 * 40, 4 * 5 * 40)


def test_layers_are_those_that_compute():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Identity(), nn.ReLU(inplace=True), nn.Flatten())
    found = leaves(network, torch.randn(3, 1, 5, 5))
    assert [type(layer) for layer, *_ in found] == [nn.Conv2d, nn.ReLU]
    assert torch.equal(found[0][2], found[1][1]) and (found[1][1] < 0).any()
    for number, part in enumerate(found):
        both_ways(*part, first=number == 0)


@pytest.mark.parametrize(
    ("operations", "moved", "bound_by", "times"),
    [(4_000_000, 8, "operations", "2.0"), (4, 8_000_000, "bytes", "1.0")],
)
def test_the_longer_of_two_times_bounds(operations, moved, bound_by, times):
    layer = {"layer": "ReLU", "output": [2, 3], "operations": operations, "bytes": moved}
    row, bound = row_of(layer | {"bytes_a_second": 1e9, "seconds": 8e-3}, peak=1e9)
    assert row[-2:] == [times, bound_by] and bound == pytest.approx(8e-3 / float(times))


def test_a_network_has_a_table():
    said = layers("tiny_cnn", batch=2, repeats=1)()
    text = section("tiny_cnn", said)
    assert [layer["layer"] for layer in said["layers"]].count("Conv2d") == 8
    assert text.count("\n| Conv2d") == 8 and "| together |" in text
