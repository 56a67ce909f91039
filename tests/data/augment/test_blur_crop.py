"""Random resized crops and blurs against torchvision."""

import math

import pytest
import torch
from augment_images import force, generator, noise
from scipy import stats
from torchvision.transforms import (
    InterpolationMode,
    RandomResizedCrop,
)
from torchvision.transforms import functional as torchvision

from thumbnets.data.augment.blur_crop import blur, resized_crop

# Crops and blurs.


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 11, 18)])
def test_crops_as_torchvision_does(monkeypatch, shape):
    """Ten tries: all but the third are larger than the image."""
    images = noise(4, shape[0], shape[1], shape[2])
    draws = torch.ones(2, 10, 4)
    draws[0, 2], draws[1, 2] = torch.tensor([0.1, 0.5, 0.3, 0.6]), 0.4
    place = torch.tensor([[0.0, 0.999, 0.5, 0.2], [0.999, 0.3, 0.0, 0.6]])
    force(monkeypatch, "rand", draws, place)
    out = resized_crop(images, generator=generator(), area=(0.08, 1.0), aspect=(0.75, 4 / 3))
    for n, image in enumerate(images):
        area = (0.08 + 0.92 * draws[0, 2, n]) * shape[1] * shape[2]
        root = math.exp((math.log(0.75) + 0.4 * math.log(16 / 9)) / 2)
        h, w = round(float(area.sqrt()) * root), round(float(area.sqrt()) / root)
        top = math.floor(place[0, n] * (shape[1] - h + 1))
        left = math.floor(place[1, n] * (shape[2] - w + 1))
        crop = image.float()[:, top : top + h, left : left + w]
        expected = torchvision.resize(
            crop, list(shape[1:]), InterpolationMode.BILINEAR, antialias=False
        )
        assert (out[n].float() - expected).abs().max() <= 0.51


def test_sizes_and_places_of_crops_follow_the_law_of_torchvision():
    """A ramp from left to right tells by its ends where it was cut, and by its slope how wide."""
    n, size = 20_000, 32
    ramp = (8 * torch.arange(size, dtype=torch.uint8)).expand(n, 1, size, -1)
    out = resized_crop(ramp, generator=generator(), area=(0.3, 1.0)).float()
    ours_left, ours_right = out[:, 0, 0, 0] / 8, out[:, 0, 0, -1] / 8 + 1
    torch.manual_seed(0)
    boxes = [RandomResizedCrop.get_params(ramp[0], [0.3, 1.0], [0.75, 4 / 3]) for _ in range(5000)]
    left = torch.tensor([box[1] for box in boxes])
    right = left + torch.tensor([box[3] for box in boxes])
    assert stats.ks_2samp(ours_left.numpy(), left.numpy()).pvalue > 1e-4
    assert stats.ks_2samp(ours_right.numpy(), right.numpy()).pvalue > 1e-4


def test_a_crop_that_never_fits_leaves_the_image():
    images = noise(8)
    out = resized_crop(images, generator=generator(), area=(1.0, 1.0), aspect=(2.0, 3.0))
    torch.testing.assert_close(out, images, atol=0, rtol=0)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 11, 18)])
@pytest.mark.parametrize("radius", [1, 4])
def test_blurs_as_torchvision_does(monkeypatch, shape, radius):
    images = noise(3, *shape)
    widths = torch.tensor([0.0, 0.3, 1.0])
    force(monkeypatch, "rand", torch.stack([torch.zeros(3), widths]))
    out = blur(images, generator=generator(), p=1.0, sigma=(0.2, 2.0), radius=radius)
    for n, image in enumerate(images.float()):
        sigma = 0.2 + 1.8 * float(widths[n])
        expected = torchvision.gaussian_blur(image, [2 * radius + 1] * 2, [sigma] * 2)
        assert (out[n].float() - expected).abs().max() <= 0.51


def test_blurs_the_share_p_each_by_its_own_width():
    images = noise(1).expand(4000, -1, -1, -1)
    out = blur(images, generator=generator(), p=0.5, sigma=(0.5, 2.0))
    left = int((out == images).flatten(1).all(1).sum())
    assert stats.binomtest(left, 4000, 0.5).pvalue > 1e-4
    assert len(out.flatten(1).unique(dim=0)) > 1000


def test_a_kernel_wider_than_the_image_is_refused():
    with pytest.raises(ValueError, match="radius of blur must be less than the image's 7, got 7"):
        blur(noise(2, size=7), generator=generator(), radius=7)
