"""Reading an image as patches: the index map, and the two ways to use it."""

import pytest
import torch
from torch import nn

from thumbnets.models import count_parameters
from thumbnets.models.patches import PatchOrder, SharedPatches, build, to_patches

FASHION = {"in_channels": 1, "image_size": 28, "num_classes": 10}
NUMBERED = torch.arange(784.0).view(1, 1, 28, 28)


def test_pixels_are_where_the_index_map_says():
    order = PatchOrder(7)(NUMBERED).flatten()
    for pr, pc, r, c in [(0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0), (2, 3, 4, 5), (3, 3, 6, 6)]:
        assert order[(pr * 4 + pc) * 49 + r * 7 + c] == (7 * pr + r) * 28 + 7 * pc + c
    assert order[49:52].tolist() == [7, 8, 9]  # the second patch starts at the eighth pixel


@pytest.mark.parametrize("size", [1, 2, 4, 7, 14, 28])
def test_every_pixel_is_in_one_patch_and_can_be_put_back(size):
    images = torch.randn(3, 2, 28, 28)
    patches = to_patches(images, size)
    side = 28 // size
    assert patches.shape == (3, side**2, 2, size, size)
    back = patches.view(3, side, side, 2, size, size).permute(0, 3, 1, 4, 2, 5)
    assert torch.equal(back.reshape(images.shape), images)
    assert PatchOrder(size)(NUMBERED).unique().numel() == 784


def test_a_patch_is_a_piece_of_the_image():
    images = torch.randn(2, 3, 28, 28)
    patches = to_patches(images, 14)
    assert torch.equal(patches[1, 2], images[1, :, 14:, :14])


def test_permuting_costs_a_perceptron_nothing(model_settings):
    patches = {"size": 7, "mode": "permute"}
    torch.manual_seed(0)
    permuted = build(model_settings("mlp4", patches=patches), **FASHION).eval()
    torch.manual_seed(0)
    plain = build(model_settings("mlp4"), **FASHION).eval()
    assert count_parameters(permuted) == count_parameters(plain) == 583_010
    images = torch.randn(5, 1, 28, 28)
    assert not torch.allclose(permuted(images), plain(images), atol=1e-4)
    order = PatchOrder(7)(NUMBERED).flatten().long()
    with torch.no_grad():  # column j of the permuted network reads pixel order[j]
        plain[1].weight[:, order] = permuted[1][1].weight
    torch.testing.assert_close(permuted(images), plain(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("size", "parameters"), [(7, 215_510), (14, 289_010), (4, 199_010)])
def test_a_shared_network_reads_one_patch(model_settings, size, parameters):
    settings = model_settings("mlp4", patches={"size": size, "mode": "shared"})
    network = build(settings, **FASHION)
    assert count_parameters(network) == parameters
    assert network(torch.randn(3, 1, 28, 28)).shape == (3, 10)


def test_shared_logits_are_the_mean_over_patches():
    inner = nn.Sequential(nn.Flatten(), nn.Linear(2 * 16, 5))
    images = torch.randn(3, 2, 8, 8)
    corners = [images[:, :, i : i + 4, j : j + 4] for i in (0, 4) for j in (0, 4)]
    mean = torch.stack([inner(corner) for corner in corners]).mean(0)
    torch.testing.assert_close(SharedPatches(inner, 4)(images), mean)


def test_a_shared_network_does_not_see_where_a_patch_is(model_settings):
    settings = model_settings("mlp4", patches={"size": 7, "mode": "shared"})
    network = build(settings, **FASHION).eval()
    images = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(network(images), network(images.roll((7, 14), (2, 3))))


@pytest.mark.parametrize("mode", ["permute", "shared"])
def test_a_size_that_does_not_divide_the_image_is_refused(model_settings, mode):
    settings = model_settings("mlp4", patches={"size": 5, "mode": mode})
    with pytest.raises(ValueError, match="models.toy.patches.size must divide .* 28 .* got 5"):
        build(settings, **FASHION)


def test_a_patch_too_small_for_its_network_is_refused(model_settings):
    settings = model_settings("cnn_c", patches={"size": 4, "mode": "shared"})
    with pytest.raises(ValueError, match="cnn_c needs images of at least 6 pixels, got 4"):
        build(settings, **FASHION)
