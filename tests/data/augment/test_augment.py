"""All augmentations: each keeps to its contract, and every image has its own draw."""

import pytest
import torch
from augment_images import generator, noise

from thumbnets.choices import Choice
from thumbnets.data.augment import pipeline
from thumbnets.data.augment.erasing import cutout
from thumbnets.data.augment.geometric import (
    rotation,
)
from thumbnets.registry import AUGMENTATIONS

# Contract of all.


def choice(name: str, **options) -> Choice:
    return Choice(name=name, options=AUGMENTATIONS.options(name)(**options).model_dump())


def apply(choices: list[Choice], images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Augment images as if they were the first ones of the first epoch."""
    index = torch.arange(len(images))
    return pipeline(choices)(images, generator=generator(seed), epoch=1, index=index)


BEYOND_DEFAULT = {"rotation": {"degrees": 30.0}}  # 5 degrees leave small images as they are
CHOICES = [choice(name, **BEYOND_DEFAULT.get(name, {})) for name in AUGMENTATIONS.entries]
CHOICES += [choice("affine", scale=(0.7, 1.4), shear=20.0), choice("erasing", fill="noise")]
COLOURS_ONLY = {"greyscale"}  # which do nothing to other images
every_choice = pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 32, 32), (1, 7, 5), (2, 9, 28)])
@every_choice
def test_keeps_shape_type_and_input_and_follows_the_generator(choice, shape):
    images = noise(32, *shape)
    before = images.clone()
    one, same, other = (apply([choice], images, seed) for seed in (1, 1, 2))
    assert one.shape == images.shape and one.dtype == torch.uint8 and one.is_contiguous()
    assert torch.equal(images, before)
    assert torch.equal(one, same)
    assert torch.equal(one, other) == (choice.name in COLOURS_ONLY and shape[0] != 3)


@every_choice
@pytest.mark.parametrize("channels", [1, 3])
def test_the_order_in_memory_does_not_matter(choice, channels):
    images = noise(16, channels, 12, 10)
    expected = apply([choice], images)
    last = images.to(memory_format=torch.channels_last)
    every_other = images.repeat_interleave(2, dim=0)[::2]
    turned = images.transpose(2, 3).contiguous().transpose(2, 3)
    for form in (last, every_other, turned):
        assert torch.equal(apply([choice], form), expected)
    assert not turned.is_contiguous()


@pytest.mark.parametrize(
    "choice",
    [choice for choice in CHOICES if choice.options.get("fill") != "noise"],
    ids=lambda choice: choice.name,
)
def test_channels_stay_together(choice):
    grey = noise(16)
    assert torch.equal(*apply([choice], grey.repeat(1, 2, 1, 1)).unbind(1))


@pytest.mark.parametrize(
    "choice",
    [
        choice("flip", p=0.0),
        choice("rotation", degrees=0.0),
        choice("affine", degrees=0.0, translate=0),
        choice("elastic", alpha=0.0),
        choice("colour_jitter", brightness=0.0, contrast=0.0),
        choice("erasing", p=0.0),
    ],
    ids=lambda choice: choice.name,
)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 7, 5), (1, 1, 1)])
def test_neutral_options_change_nothing(choice, shape):
    images = noise(8, *shape)
    assert torch.equal(apply([choice], images), images)


@pytest.mark.parametrize(
    "choice",
    [
        choice("shift", pixels=9),
        choice("affine", translate=9),
        choice("cutout", size=9),
        choice("elastic", sigma=9.0),
        choice("erasing"),
    ],
    ids=lambda choice: choice.name,
)
@pytest.mark.parametrize("size", [1, 4])
def test_images_may_be_smaller_than_the_option(choice, size):
    assert apply([choice], noise(8, 1, size)).shape == (8, 1, size, size)


@every_choice
def test_does_not_touch_the_global_generator(choice):
    torch.manual_seed(5)
    apply([choice], noise(4))
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))


def test_a_pipeline_applies_its_steps_in_order():
    images = noise(8)
    steps = [choice("cutout", size=9), choice("rotation", degrees=90.0)]
    one = generator()
    by_hand = rotation(cutout(images, generator=one, size=9), generator=one, degrees=90.0)
    assert torch.equal(apply(steps, images), by_hand)
    assert not torch.equal(apply(steps[::-1], images), by_hand)
    assert torch.equal(apply([], images), images)


@every_choice
def test_images_of_a_batch_are_treated_differently(choice):
    image = noise(1, 3)
    assert len(apply([choice], image.repeat(30, 1, 1, 1)).unique(dim=0)) > 1
    assert apply([choice], image).shape == image.shape  # a batch of one is allowed
