"""Augmentations: what they do to an image, and that every image has its own, fair draw."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from thumbnets.data.augment import cutout, flip, pipeline, rotate, rotation, shift
from thumbnets.registry import AUGMENTATIONS
from thumbnets.training.settings import Choice


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, channels: int = 1, size: int = 28, seed: int = 1) -> torch.Tensor:
    """Images in which no two pixels that matter are alike, none of them 0."""
    shape = (n, channels, size, size)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator(seed))


def ones(n: int, size: int = 28) -> torch.Tensor:
    return torch.ones(n, 1, size, size, dtype=torch.uint8)


def uniform(counts: torch.Tensor) -> bool:
    """Whether counts fit a uniform law; wrong for one fair seed of ten thousand."""
    return stats.chisquare(counts.double().numpy()).pvalue > 1e-4


def moved(image: torch.Tensor, dy: int, dx: int) -> torch.Tensor:
    """An image [C, H, W] moved down by dy and right by dx, zeros coming in: pixel by pixel."""
    result = torch.zeros_like(image)
    _, h, w = image.shape
    for y in range(h):
        for x in range(w):
            if 0 <= y - dy < h and 0 <= x - dx < w:
                result[:, y, x] = image[:, y - dy, x - dx]
    return result


def force(monkeypatch, name: str, *draws: torch.Tensor) -> None:
    """Let torch draw what is given."""
    waiting = list(draws)
    monkeypatch.setattr(torch, name, lambda *_, **__: waiting.pop(0))


# Contract of all.

CHOICES = [
    Choice(name=name, options=AUGMENTATIONS.options(name)().model_dump())
    for name in AUGMENTATIONS.entries
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_keeps_shape_type_and_input_and_follows_the_generator(choice, channels):
    augment, images = pipeline([choice]), noise(16, channels)
    before = images.clone()
    one, same, other = (augment(images, generator(seed)) for seed in (1, 1, 2))
    assert one.shape == images.shape and one.dtype == torch.uint8
    assert torch.equal(images, before)
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_channels_stay_together(choice):
    grey = noise(16)
    assert torch.equal(*pipeline([choice])(grey.repeat(1, 2, 1, 1), generator()).unbind(1))


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_does_not_touch_the_global_generator(choice):
    torch.manual_seed(5)
    pipeline([choice])(noise(4), generator())
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))


def test_a_pipeline_applies_its_steps_in_order():
    images = noise(8)
    steps = [
        Choice(name="cutout", options={"size": 9}),
        Choice(name="rotation", options={"degrees": 90.0}),
    ]
    one = generator()
    by_hand = rotation(cutout(images, generator=one, size=9), generator=one, degrees=90.0)
    assert torch.equal(pipeline(steps)(images, generator()), by_hand)
    assert not torch.equal(pipeline(steps[::-1])(images, generator()), by_hand)
    assert torch.equal(pipeline([])(images, generator()), images)


# Shift.


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(1, 3), st.integers(0, 99))
def test_each_image_is_moved_as_a_whole(pixels, channels, seed):
    images = noise(3, channels, 7)
    shifted = shift(images, generator=generator(seed), pixels=pixels)
    for before, after in zip(images, shifted, strict=True):
        span = range(-pixels, pixels + 1)
        assert any(torch.equal(after, moved(before, dy, dx)) for dy in span for dx in span)


def test_a_move_is_down_and_right_and_brings_in_zeros(monkeypatch):
    images = noise(2, 3)
    force(monkeypatch, "randint", torch.tensor([[1, 0], [-2, 3]]))  # [axis, image]
    out = shift(images, generator=generator(), pixels=3)
    assert torch.equal(out[0], moved(images[0], 1, -2))
    assert torch.equal(out[1], moved(images[1], 0, 3))
    assert out[0, :, 0].sum() == 0 and out[0, :, :, -2:].sum() == 0 and out[1, :, :, :3].sum() == 0


def test_moves_are_uniform_on_both_axes_and_independent():
    n, pixels = 5_000, 2
    images = torch.zeros(n, 1, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 4] = 1
    at = shift(images, generator=generator(), pixels=pixels).view(n, 81).argmax(1)
    dy, dx = at // 9 - 4, at % 9 - 4
    assert (dy.min(), dy.max(), dx.min(), dx.max()) == (-2, 2, -2, 2)
    assert uniform(torch.bincount((dy + 2) * 5 + dx + 2, minlength=25))
    assert uniform(torch.bincount((dy[1:] + 2) * 5 + dy[:-1] + 2, minlength=25))  # neighbours


# Flip.


def test_flips_left_to_right_the_share_p():
    images, n = noise(4_000, 1, 6), 4_000
    assert torch.equal(flip(images, generator=generator(), p=1.0), images.flip(3))
    assert torch.equal(flip(images, generator=generator(), p=0.0), images)
    out = flip(images, generator=generator(), p=0.3)
    flipped = (out == images.flip(3)).flatten(1).all(1)
    assert ((out == images).flatten(1).all(1) | flipped).all()
    assert abs(flipped.double().mean() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / n)
    pairs = 2 * flipped[1:].long() + flipped[:-1]
    expected = [(n - 1) * p for p in (0.49, 0.21, 0.21, 0.09)]
    assert stats.chisquare(torch.bincount(pairs).numpy(), expected).pvalue > 1e-4


# Rotation.


@pytest.mark.parametrize("size", [7, 8, 28])
def test_quarter_turns_are_exact(size):
    images = noise(4, 2, size)
    angles = torch.tensor([0.0, 0.5, 1.0, -0.5]) * math.pi
    for turns, before, after in zip((0, 1, 2, -1), images, rotate(images, angles), strict=True):
        assert torch.equal(after, torch.rot90(before, turns, (1, 2)))


def test_takes_the_nearest_pixel_and_zeros_from_outside():
    image = noise(1, 1, 9)
    angle = math.radians(30)
    out = rotate(image, torch.tensor([angle]))[0, 0]
    for y in range(9):
        for x in range(9):
            # Turning the result back, clockwise by 30 degrees, leads to the source.
            right, up = x - 4, 4 - y
            source_x = 4 + right * math.cos(angle) + up * math.sin(angle)
            source_y = 4 - (up * math.cos(angle) - right * math.sin(angle))
            row, column = round(source_y), round(source_x)
            inside = 0 <= row < 9 and 0 <= column < 9
            assert out[y, x] == (image[0, 0, row, column] if inside else 0)
    assert out[0, 0] == 0


def test_angles_are_uniform_within_the_range(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "thumbnets.data.augment.rotate", lambda images, angles: seen.append(angles) or images
    )
    rotation(noise(5_000, 1, 2), generator=generator(), degrees=20.0)
    share = (seen[0] / math.radians(20) + 1) / 2
    assert 0 <= share.min() < 0.01 and 0.99 < share.max() <= 1
    assert uniform(torch.bincount((share * 20).long().clamp(max=19), minlength=20))
    assert torch.corrcoef(torch.stack([share[1:], share[:-1]]))[0, 1].abs() < 0.06


# Cutout. Worked examples for 28 pixels: side 14, its centre in three places.


@pytest.mark.parametrize(
    ("size", "centre", "rows", "columns"),
    [
        (14, (0, 0), range(0, 7), range(0, 7)),  # 49 pixels
        (14, (14, 14), range(7, 21), range(7, 21)),  # 196
        (14, (27, 27), range(20, 28), range(20, 28)),  # 64
        (7, (10, 3), range(7, 14), range(0, 7)),  # an odd side is kept, and centred
        (1, (5, 6), range(5, 6), range(6, 7)),
    ],
)
def test_the_square_lies_about_its_centre_and_ends_at_the_edge(
    monkeypatch, size, centre, rows, columns
):
    images = noise(1, 3)
    force(monkeypatch, "randint", *(torch.tensor([[c]]) for c in centre))
    out = cutout(images, generator=generator(), size=size)
    inside = torch.zeros(28, 28, dtype=torch.bool)
    inside[rows.start : rows.stop, columns.start : columns.stop] = True
    assert torch.equal(out, images * ~inside)
    assert (out == 0).sum() == 3 * len(rows) * len(columns)


def test_centres_are_uniform_over_all_pixels():
    n, size = 6_400, 8
    out = cutout(ones(n, size), generator=generator(), size=1)
    at = out.view(n, -1).argmin(1)
    assert ((out == 0).flatten(1).sum(1) == 1).all()
    assert uniform(torch.bincount(at, minlength=64))


def test_the_mean_hole_is_as_published():
    out = cutout(ones(20_000), generator=generator(), size=14)
    area = (out == 0).double().flatten(1).mean(1)
    assert area.mean().item() == pytest.approx(0.19140625, abs=4 * area.std().item() / 141)
    assert area.min() * 784 >= 49 and area.max() * 784 == 196


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_images_of_a_batch_are_treated_differently(choice):
    augment, image = pipeline([choice]), noise(1)
    assert len(augment(image.repeat(30, 1, 1, 1), generator()).unique(dim=0)) > 1
    assert augment(image, generator()).shape == image.shape  # a batch of one is allowed
