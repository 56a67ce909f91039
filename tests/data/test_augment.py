"""Augmentations: what they do to an image, and that every image has its own, fair draw."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import (
    ElasticTransform,
    InterpolationMode,
    RandomErasing,
    RandomResizedCrop,
)
from torchvision.transforms import functional as torchvision

from thumbnets.data.augment import pipeline
from thumbnets.data.augment.blanks import cutout, erasing
from thumbnets.data.augment.light import (
    colour_jitter,
    contrasted,
    greyscale,
    recoloured,
    turn_hues,
)
from thumbnets.data.augment.maps import affine, displace, elastic, rotate, rotation, transform
from thumbnets.data.augment.means import blur, resized_crop
from thumbnets.data.augment.moves import alternating_flip, flip, shift
from thumbnets.registry import AUGMENTATIONS
from thumbnets.training.settings import Choice


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(
    n: int, channels: int = 1, size: int = 28, width: int | None = None, seed: int = 1
) -> torch.Tensor:
    """Images in which few pixels are alike, none of them 0."""
    shape = (n, channels, size, width or size)
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


def choice(name: str, **options) -> Choice:
    return Choice(name=name, options=AUGMENTATIONS.options(name)(**options).model_dump())


def apply(choices: list[Choice], images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Augment images as the first ones of the first epoch."""
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


# Alternating flip.


def flipped_by(images: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """bool [N]: which images are mirrored; the others must be as they were."""
    mirrored = (out == images.flip(3)).flatten(1).all(1)
    assert ((out == images).flatten(1).all(1) != mirrored).all()
    return mirrored


def test_every_image_is_mirrored_in_every_other_epoch():
    images, n = noise(4_000, 1, 6), 4_000
    order = torch.randperm(n, generator=generator(3))
    epochs, bits = [], generator(1)
    for epoch in range(1, 5):
        out = alternating_flip(images, generator=bits, epoch=epoch, index=torch.arange(n))
        epochs.append(flipped_by(images, out))
        torch.rand(7, generator=bits)  # how much is drawn in between does not matter
        again = alternating_flip(images[order], generator=bits, epoch=epoch, index=order)
        assert torch.equal(again, out[order])  # nor where in which batch an image comes
    for one, following in zip(epochs, epochs[1:], strict=False):
        assert torch.equal(one, ~following)
    assert abs(epochs[0].double().mean() - 0.5) < 4 * 0.5 / math.sqrt(n)
    pairs = 2 * epochs[0][1:].long() + epochs[0][:-1]
    assert uniform(torch.bincount(pairs, minlength=4))


def test_which_half_begins_goes_by_the_seed_and_outlives_a_checkpoint():
    images, index = noise(4_000, 1, 6), torch.arange(4_000)

    def halves(bits: torch.Generator) -> torch.Tensor:
        return flipped_by(images, alternating_flip(images, generator=bits, epoch=1, index=index))

    one, other = halves(generator(1)), halves(generator(2))
    assert abs((one == other).double().mean() - 0.5) < 4 * 0.5 / math.sqrt(4_000)
    used, resumed = generator(1), torch.Generator()
    torch.rand(9, generator=used)
    resumed.set_state(used.get_state())
    assert torch.equal(halves(resumed), one)


# Rotation.


@pytest.mark.parametrize("size", [7, 8, 28])
def test_quarter_turns_are_exact(size):
    images = noise(4, 2, size)
    angles = torch.tensor([0.0, 0.5, 1.0, -0.5]) * math.pi
    still = torch.zeros(4)
    by_affine = transform(
        images, angles=angles, moves=still.long().repeat(2, 1), scales=still + 1, shears=still
    )
    assert torch.equal(rotate(images, angles), by_affine)
    for turns, before, after in zip((0, 1, 2, -1), images, by_affine, strict=True):
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
        "thumbnets.data.augment.maps.rotate", lambda images, angles: seen.append(angles) or images
    )
    rotation(noise(5_000, 1, 2), generator=generator(), degrees=20.0)
    share = (seen[0] / math.radians(20) + 1) / 2
    assert 0 <= share.min() < 0.01 and 0.99 < share.max() <= 1
    assert uniform(torch.bincount((share * 20).long().clamp(max=19), minlength=20))
    assert torch.corrcoef(torch.stack([share[1:], share[:-1]]))[0, 1].abs() < 0.06


# Affine.


def capture(monkeypatch, name: str) -> dict:
    """Keep what a function of the module is given beside images, and leave those as they are."""
    seen = {}

    def keep(images, *fields, **named):
        seen.update(named, fields=fields)
        return images

    monkeypatch.setattr(f"thumbnets.data.augment.maps.{name}", keep)
    return seen


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 11, 18)])
@pytest.mark.parametrize(
    ("degrees", "down", "right", "scale", "shear"),
    [
        (12.0, 0, 0, 1.0, 0.0),
        (0.0, 3, -2, 1.0, 0.0),
        (0.0, 0, 0, 1.3, 0.0),
        (0.0, 0, 0, 1.0, 25.0),
        (-33.0, -4, 1, 0.83, -17.0),
    ],
)
def test_affine_is_that_of_torchvision(shape, degrees, down, right, scale, shear):
    images = noise(2, *shape)
    out = transform(
        images,
        angles=torch.full((2,), math.radians(degrees)),
        moves=torch.tensor([[down], [right]]).expand(2, 2),
        scales=torch.full((2,), scale),
        shears=torch.full((2,), math.radians(shear)),
    )
    expected = torchvision.affine(
        images,
        angle=-degrees,  # there clockwise
        translate=[right, down],
        scale=scale,
        shear=[shear, 0.0],
        interpolation=InterpolationMode.NEAREST,
        fill=0,
    )
    assert torch.equal(out, expected)


def test_affine_of_whole_pixels_is_a_shift():
    images = noise(50, 1, 9)
    out = affine(images, generator=generator(), degrees=0.0, translate=2)
    span = range(-2, 3)
    seen = [
        next((dy, dx) for dy in span for dx in span if torch.equal(after, moved(before, dy, dx)))
        for before, after in zip(images, out, strict=True)
    ]
    assert len(set(seen)) > 10 and {-2, 2} <= {dy for dy, _ in seen} & {dx for _, dx in seen}


def test_draws_of_affine_are_uniform_and_independent(monkeypatch):
    seen = capture(monkeypatch, "transform")
    affine(
        noise(5_000, 1, 2),
        generator=generator(),
        degrees=20.0,
        translate=2,
        scale=(0.8, 1.5),
        shear=10.0,
    )
    moves = seen["moves"] + 2
    assert uniform(torch.bincount(moves[0] * 5 + moves[1], minlength=25))
    shares = torch.stack(
        [
            (seen["angles"] / math.radians(20) + 1) / 2,
            (seen["scales"] - 0.8) / 0.7,
            (seen["shears"] / math.radians(10) + 1) / 2,
        ]
    )
    assert shares.min() >= 0 and shares.max() <= 1
    for share in shares:
        assert uniform(torch.bincount((share * 20).long().clamp(max=19), minlength=20))
    related = torch.corrcoef(torch.cat([shares, moves])) - torch.eye(5)
    assert related.abs().max() < 0.06


# Elastic.


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 11, 18)])
def test_displaces_as_torchvision_does(shape):
    images, (_, h, w) = noise(3, *shape), shape
    fields = 3 * torch.randn(2, 3, h, w, generator=generator())
    unit = torch.tensor([w / 2, h / 2])  # there -1..1 spans the image
    for image, field, out in zip(images, fields.unbind(1), displace(images, fields), strict=True):
        expected = torchvision.elastic_transform(
            image, field.permute(1, 2, 0)[None] / unit, InterpolationMode.BILINEAR, fill=None
        )
        difference = (out.int() - expected.int()).abs()
        assert difference.max() <= 1  # a half may be rounded otherwise
        assert (difference > 0).double().mean() < 0.01


def test_a_displacement_says_where_a_pixel_comes_from():
    image = noise(1, 2, 8)
    fields = torch.tensor([2.0, -1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)  # right, down
    assert torch.equal(displace(image, fields)[0], moved(image[0], 1, -2))
    half = displace(image, torch.tensor([0.5, 0.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8))
    mean = (image[..., :-1].double() + image[..., 1:].double()) / 2
    assert (half[..., :-1] - mean).abs().max() <= 0.5


@pytest.mark.parametrize(("alpha", "sigma"), [(34.0, 4.0), (20.0, 2.3), (5.0, 1.0)])
def test_fields_are_noise_blurred_by_a_gaussian(monkeypatch, alpha, sigma):
    seen = capture(monkeypatch, "displace")
    elastic(noise(2_000, 1, 24, 20), generator=generator(), alpha=alpha, sigma=sigma)
    (fields,) = seen["fields"]
    assert fields.shape == (2, 2_000, 24, 20)
    deviation = alpha / (2 * math.sqrt(3 * math.pi) * sigma)
    # The same everywhere, at the edges too.
    assert fields.std(1).numpy() == pytest.approx(deviation, rel=0.1)
    assert fields.std().item() == pytest.approx(deviation, rel=0.02)
    assert fields.mean(1).abs().max() < 5 * deviation / math.sqrt(2_000)
    scaled = fields / deviation
    for lag in range(1, 9):  # a Gaussian of white noise correlates as one of sqrt 2 the width
        expected = math.exp(-((lag / sigma) ** 2) / 4)
        for one, other in [
            (scaled[:, :, lag:], scaled[:, :, :-lag]),
            (scaled[..., lag:], scaled[..., :-lag]),
        ]:
            assert (one * other).mean().item() == pytest.approx(expected, abs=0.03)
    assert (scaled[0] * scaled[1]).mean().abs() < 0.03  # the axes
    assert (scaled[:, 1:] * scaled[:, :-1]).mean().abs() < 0.03  # the images


def test_fields_are_as_strong_as_those_of_torchvision(monkeypatch):
    seen, size = capture(monkeypatch, "displace"), 40
    elastic(noise(500, 1, size), generator=generator(), alpha=34.0, sigma=4.0)
    torch.manual_seed(0)
    theirs = torch.cat(
        [ElasticTransform.get_params([68.0, 68.0], [4.0, 4.0], [size, size]) for _ in range(300)]
    )
    inner = slice(15, 25)  # there noise is reflected at the edges
    expected = theirs[:, inner, inner].std().item() * size / 2
    assert seen["fields"][0][:, :, inner, inner].std().item() == pytest.approx(expected, rel=0.05)


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


# Erasing.


def boxes(out: torch.Tensor) -> torch.Tensor:
    """int64 [N, 4] of blanks in images of ones: top, left, height, width; all 0 without one."""
    blank = out[:, 0] == 0
    rows, columns = blank.any(2).long(), blank.any(1).long()
    found = torch.stack([rows.argmax(1), columns.argmax(1), rows.sum(1), columns.sum(1)], 1)
    assert torch.equal(found[:, 2] * found[:, 3], blank.flatten(1).sum(1))  # full rectangles
    return found


def test_erases_as_torchvision_does():
    ours = boxes(erasing(ones(4_000), generator=generator(), p=1.0))
    torch.manual_seed(0)
    get = partial(RandomErasing.get_params, ones(1)[0], scale=(0.02, 0.33), ratio=(0.3, 3.3))
    theirs = torch.tensor([get(value=[0.0])[:4] for _ in range(4_000)])
    for of in (
        lambda box: box[:, 0],
        lambda box: box[:, 1],
        lambda box: box[:, 2] * box[:, 3],
        lambda box: box[:, 2] / box[:, 3],
        lambda box: box[:, 0] / (29 - box[:, 2]),
        lambda box: box[:, 1] - box[:, 0],
    ):
        assert stats.ks_2samp(of(ours).numpy(), of(theirs).numpy()).pvalue > 1e-3
    images = noise(4_000, 3)
    for image, out, box in zip(
        images[:50], erasing(images, generator=generator(), p=1.0), ours.tolist(), strict=False
    ):
        assert torch.equal(out, torchvision.erase(image, *box, v=torch.tensor(0)))


def test_the_rectangle_lies_inside_within_its_ranges():
    out = erasing(ones(3_000), generator=generator(), p=1.0, area=(0.1, 0.2), aspect=(0.5, 2.0))
    top, left, height, width = boxes(out).unbind(1)
    assert ((height > 0) & (top + height <= 28) & (left + width <= 28)).all()
    # Sides are rounded, by half a pixel at most.
    assert ((height + 0.5) * (width + 0.5) >= 0.1 * 784).all()
    assert ((height - 0.5) * (width - 0.5) <= 0.2 * 784).all()
    assert ((height + 0.5) / (width - 0.5) >= 0.5).all()
    assert ((height - 0.5) / (width + 0.5) <= 2.0).all()
    same = height == 10  # among equal heights every top is as likely
    assert uniform(torch.bincount(top[same], minlength=19))


def test_erases_the_share_p_and_gives_up_after_ten_tries():
    n = 6_000
    share = (boxes(erasing(ones(n), generator=generator(), p=0.3))[:, 2] > 0).double().mean()
    assert abs(share - 0.3) < 4 * math.sqrt(0.3 * 0.7 / n)
    # Width / height is 5: the width, sqrt(5 area) of the image's, is under 28 when rounded for
    # an area of less than (27.5 / 28)^2 / 5.
    fits = ((27.5 / 28) ** 2 / 5 - 0.15) / 0.18
    expected = 1 - (1 - fits) ** 10
    assert 0.9 < expected < 0.95
    out = erasing(ones(n), generator=generator(), p=1.0, area=(0.15, 0.33), aspect=(0.2, 0.2))
    share = (boxes(out)[:, 2] > 0).double().mean()
    assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    for aspect in (1.0, 1e300):
        ranges = {"area": (1.0, 1.0), "aspect": (aspect, aspect)}
        assert torch.equal(erasing(ones(9), generator=generator(), p=1.0, **ranges), ones(9))


def test_noise_fills_the_rectangle_and_nothing_else():
    images = torch.zeros(500, 3, 15, 15, dtype=torch.uint8)
    options = {"p": 1.0, "area": (0.1, 0.3)}
    filled = erasing(images, generator=generator(), fill="noise", **options)
    kept = erasing(images + 1, generator=generator(), **options) == 1
    assert (filled[kept] == 0).all()
    assert uniform(torch.bincount(filled[~kept].long(), minlength=256))
    assert not torch.equal(filled[:, 0], filled[:, 1])


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
