"""Cutout and random erasing: where the rectangles lie, and how often."""

import math
from functools import partial

import pytest
import torch
from augment_images import force, generator, noise, ones, uniform
from scipy import stats
from torchvision.transforms import (
    RandomErasing,
)
from torchvision.transforms import functional as torchvision

from thumbnets.data.augment.erasing import cutout, erasing

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
