"""The micro CNN, and its convolution of derivatives."""

import pytest
import torch
from torch.nn.functional import conv2d, max_pool2d

from thumbnets.choices import Choice
from thumbnets.models import create_model
from thumbnets.models.micro_cnn import DerivativeConv2d
from thumbnets.training.initialisation import initialise


def test_derivatives_of_a_ramp_and_of_a_bowl():
    """Of x: itself, 1 along the row and 0 down it, no Laplacian; of x^2 + y^2 a constant one."""
    layer = DerivativeConv2d(1, 4)
    lengths = torch.tensor([1.0, 12.0**0.5, 12.0**0.5, 164.0**0.5])
    with torch.no_grad():
        layer.weight.copy_(torch.diag(lengths)[:, None])  # each kernel alone, in whole numbers
    y, x = torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing="ij")
    ramp, bowl = layer(x[None, None])[0, :, 3, 2], layer((x**2 + y**2)[None, None])[0, :, 3, 2]
    # Sobel weighs a central difference of two pixels by 4, the Laplacian sums 8 and 8.
    assert torch.allclose(ramp, torch.tensor([2.0, 8.0, 0.0, 0.0]), atol=1e-4)
    assert torch.allclose(bowl, torch.tensor([13.0, 32.0, 48.0, 16.0]), atol=1e-4)


def test_it_is_the_fixed_kernels_of_each_map_and_then_a_mixture():
    layer = DerivativeConv2d(3, 5)
    images = torch.randn(2, 3, 6, 9)
    each = conv2d(images, layer.basis[:, None].repeat(3, 1, 1, 1), padding=1, groups=3)
    mixed = conv2d(each, layer.weight.flatten(1)[:, :, None, None])
    assert torch.allclose(layer(images), mixed, atol=1e-5)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 5 * 3 * 4


def test_initialisations_draw_it_as_any_convolution():
    layer = DerivativeConv2d(8, 8)
    before = layer.weight.detach().clone()
    initialise(layer, Choice(name="he", options={}), torch.Generator().manual_seed(0))
    assert not torch.equal(layer.weight, before)


def test_weights_begin_with_a_variance_of_one_by_what_comes_in():
    weight = DerivativeConv2d(32, 64).weight
    assert float(weight.detach().var()) == pytest.approx(1 / (32 * 4), rel=0.05)


def test_the_convolution_is_used_once_and_twice_and_added_to_its_input():
    network = create_model("micro_cnn", in_channels=1, image_size=28, num_classes=10).eval()
    sides = []
    repeated = next(part for part in network if hasattr(part, "convolve"))
    repeated.convolve.register_forward_hook(lambda _, __, maps: sides.append(maps.shape[-1]))
    images = torch.randn(2, 8, 14, 14)
    with torch.no_grad():
        repeated(images)
        repeated.convolve.weight.zero_()
        assert torch.equal(repeated(images), max_pool2d(max_pool2d(images, 2), 2))
    assert sides[:3] == [14, 7, 7]
