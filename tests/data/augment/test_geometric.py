"""Moves, mirrorings, rotation, affine and elastic maps against torchvision and by hand."""

import math

import pytest
import torch
from augment_images import force, generator, moved, noise, uniform
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import (
    ElasticTransform,
    InterpolationMode,
)
from torchvision.transforms import functional as torchvision

from thumbnets.data.augment.geometric import (
    affine,
    alternating_flip,
    displace,
    elastic,
    flip,
    rotate,
    rotation,
    shift,
    transform,
)

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
    module = "thumbnets.data.augment.geometric"
    monkeypatch.setattr(f"{module}.rotate", lambda images, angles: seen.append(angles) or images)
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

    monkeypatch.setattr(f"thumbnets.data.augment.geometric.{name}", keep)
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
