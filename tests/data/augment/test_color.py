"""Brightness, contrast, saturation, hue and grey against torchvision."""

import pytest
import torch
from augment_images import force, generator, noise, uniform
from scipy import stats
from torchvision.transforms import functional as torchvision

from thumbnets.data.augment import color
from thumbnets.data.augment.color import (
    colour_jitter,
    contrasted,
    greyscale,
    recoloured,
    turn_hues,
)

# Light.


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [0.0, 0.6, 0.83, 1.0, 1.27, 1.4])
def test_brightness_and_contrast_are_those_of_torchvision(channels, factor):
    images = noise(8, channels)
    factors = torch.full((8,), factor)
    for around_mean, theirs in {
        False: torchvision.adjust_brightness,
        True: torchvision.adjust_contrast,
    }.items():
        ours = contrasted(images, factors, torch.full((8,), around_mean))
        expected = torch.stack([255 * theirs(image / 255, factor) for image in images])
        assert (ours - expected).abs().max() <= 0.501


def grey(*pixels: int) -> torch.Tensor:
    """An image [1, 1, 2, 2]."""
    return torch.tensor(pixels, dtype=torch.uint8).view(1, 1, 2, 2)


def test_contrast_by_hand():
    images = grey(0, 100, 200, 100).repeat(3, 1, 1, 1)
    factors, around = torch.tensor([0.5, 1.5, 1.5]), torch.tensor([True, True, False])
    assert contrasted(images, factors, around).flatten(1).tolist() == [
        [50, 100, 150, 100],
        [0, 100, 250, 100],  # -50 is cut off
        [0, 150, 255, 150],  # as is 300
    ]


def test_jitter_draws_both_factors_and_the_order_for_each_image(monkeypatch):
    images = grey(0, 100, 200, 60).repeat(2, 1, 1, 1)
    # Brightness 1.4; contrast 0.6; the first image is made brighter first.
    force(monkeypatch, "rand", torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.9, 0.1]]))
    jittered = colour_jitter(images, generator=generator())
    # 0, 140, 255 (cut off), 84, of mean 119.75; and 36, 96, 156, 72, times 1.4.
    assert jittered.flatten(1).tolist() == [[48, 132, 201, 98], [50, 134, 218, 101]]


def test_factors_of_jitter_are_uniform():
    images = torch.full((20_000, 1, 1, 1), 100, dtype=torch.uint8)
    brighter = colour_jitter(images, generator=generator(), contrast=0.0).flatten()
    counts = torch.bincount(brighter.long() - 60)
    assert len(counts) == 81 and uniform(counts[1:-1])  # half of what rounds to the ends


# Colour.


def colours(n: int = 6, seed: int = 2) -> torch.Tensor:
    """Images [N, 3, 9, 9] with greys, blacks and pure colours among them."""
    images = noise(n, 3, 9, seed=seed)
    images[:, :, 0, 0], images[:, 1:, 1, 1], images[:, :, 2, 2] = 77, 0, 0
    return images


@pytest.mark.parametrize("turn", [-0.5, -0.31, 0.0, 0.07, 0.5])
def test_hues_turn_as_in_torchvision(turn):
    images = colours().float()
    expected = torchvision.adjust_hue(images / 255, turn) * 255
    out = turn_hues(images, torch.full((len(images),), turn))
    torch.testing.assert_close(out, expected, atol=0.01, rtol=0)


def test_a_third_of_the_circle_turns_red_into_green():
    red = torch.tensor([200.0, 50.0, 50.0]).view(1, 3, 1, 1)
    out = turn_hues(red, torch.tensor([1 / 3])).flatten()
    torch.testing.assert_close(out, torch.tensor([50.0, 200.0, 50.0]), atol=1e-3, rtol=0)


def test_each_image_is_recoloured_in_its_own_order_as_in_torchvision():
    images = colours(4)
    factors = [torch.tensor(f) for f in ([1.3, 0.7, 1.0, 1.2], [0.6, 1.4, 1.2, 0.9])]
    richer, turns = torch.tensor([1.4, 0.5, 1.0, 0.0]), torch.tensor([0.1, -0.1, 0.4, 0.0])
    order = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]]).T
    out = recoloured(images, *factors, richer, turns, order)
    steps = [
        torchvision.adjust_brightness,
        torchvision.adjust_contrast,
        torchvision.adjust_saturation,
        torchvision.adjust_hue,
    ]
    for n, image in enumerate(images.float() / 255):
        values = [float(of[n]) for of in (*factors, richer, turns)]
        for kind in order[:, n].tolist():
            image = steps[kind](image, values[kind])
        assert (out[n].float() - image * 255).abs().max() <= 0.51


def test_jitter_of_colours_leaves_the_share_p_alone():
    images = colours(1).expand(4000, -1, -1, -1)
    jitter = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    out = colour_jitter(images, generator=generator(), **jitter, p=0.8)
    left = int((out == images).flatten(1).all(1).sum())
    assert stats.binomtest(left, 4000, 0.2).pvalue > 1e-4
    assert len(out.flatten(1).unique(dim=0)) == 4000 - left + 1


def test_turns_of_hue_are_uniform():
    red = torch.zeros(4000, 3, 1, 1, dtype=torch.uint8)
    red[:, 0] = 250
    off = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
    out = colour_jitter(red, generator=generator(), **off, hue=1 / 6).float()
    turn = (out[:, 1] - out[:, 2]).flatten() / 250 / 6  # to yellow, or to magenta
    assert stats.kstest(turn.numpy(), stats.uniform(-1 / 6, 1 / 3).cdf).pvalue > 1e-4


def test_saturation_and_hue_leave_an_image_of_one_channel_alone():
    images = noise(5)
    off = {"brightness": 0.0, "contrast": 0.0}
    out = colour_jitter(images, generator=generator(), **off, saturation=0.4, hue=0.1)
    torch.testing.assert_close(out, images, atol=0, rtol=0)


def test_greys_the_share_p_as_torchvision_does():
    images = colours(1).expand(4000, -1, -1, -1)
    out = greyscale(images, generator=generator(), p=0.2)
    grey = torchvision.rgb_to_grayscale(images[:1].float(), 3)
    changed = (out[:, 0] == out[:, 1]).flatten(1).all(1)
    assert (out[changed].float() - grey).abs().max() <= 0.5
    torch.testing.assert_close(out[~changed], images[~changed])
    assert stats.binomtest(int(changed.sum()), 4000, 0.2).pvalue > 1e-4
    assert greyscale(noise(3), generator=generator(), p=1.0).shape[1] == 1


def test_on_a_gpu_all_hues_are_computed_and_the_images_are_the_same(monkeypatch):
    images = torch.randint(256, (33, 3, 9, 11), generator=generator(), dtype=torch.uint8)
    how = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2, "p": 0.8}
    few = colour_jitter(images, generator=generator(), **how)
    monkeypatch.setattr(color, "counts_freely", lambda device: False)
    assert torch.equal(colour_jitter(images, generator=generator(), **how), few)
    assert not torch.equal(few, images)
