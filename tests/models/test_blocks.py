"""Blocks: their layers in order, and dropout of groups with the law of torch's."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from thumbnets.models.blocks import GroupDropout, conv_block, linear_block
from thumbnets.models.layers import Dropout


def kinds(block: nn.Module) -> list[type]:
    return [type(layer) for layer in block]


def test_a_block_is_weights_norm_activation_dropout():
    conv = conv_block(2, 4, dropout=0.1, activation="leaky_relu")
    assert kinds(conv) == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU, GroupDropout]
    linear = linear_block(2, 4, dropout=0.1)
    assert kinds(linear) == [nn.Linear, nn.BatchNorm1d, nn.ReLU, Dropout]
    assert conv[0].bias is not None and linear[0].bias is not None
    assert conv[2].negative_slope == 0.01
    assert kinds(conv_block(2, 4, norm=False)) == [nn.Conv2d, nn.ReLU]


@pytest.mark.parametrize(("kernel", "stride", "side"), [(1, 1, 9), (3, 1, 9), (3, 2, 5), (7, 2, 5)])
def test_a_convolution_keeps_the_size_but_for_its_stride(kernel, stride, side):
    block = conv_block(1, 2, kernel, stride=stride)
    assert block(torch.ones(2, 1, 9, 9)).shape == (2, 2, side, side)


def test_momentum_of_the_running_statistics():
    block = conv_block(1, 3, norm_momentum=0.05)
    x = torch.randn(4, 1, 5, 5)
    block(x)
    mean = block[0](x).mean((0, 2, 3))
    torch.testing.assert_close(block[1].running_mean, 0.05 * mean)


@pytest.mark.parametrize("p", [0.1, 0.7])
@pytest.mark.parametrize(("axes", "groups"), [(1, 4_000), (2, 20_000)])
def test_groups_are_dropped_as_a_whole_with_probability_p(axes, groups, p):
    layer = GroupDropout(p, axes)
    layer.random = np.random.Generator(np.random.SFC64(3))
    out = layer(torch.ones(4_000, 5, 2, 3)).flatten(axes)
    assert (out == out[..., :1]).all()  # one fate for a group
    assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / (1 - p)).item()}
    dropped = (out[..., 0] == 0).double().mean().item()
    assert abs(dropped - p) < 4 * math.sqrt(p * (1 - p) / groups)


def test_groups_pass_in_evaluation_and_without_dropout():
    x = torch.randn(2, 3, 4, 4)
    assert GroupDropout(0.5).eval()(x) is x
    assert GroupDropout(0.0)(x) is x


def test_groups_keep_layout_and_dtype():
    x = torch.randn(8, 6, 4, 4, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    out = GroupDropout(0.5)(x)
    assert out.dtype == x.dtype and out.stride() == x.stride()
