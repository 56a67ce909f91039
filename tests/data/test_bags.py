"""Bags: drawn as the source's two loaders draw them, and batched without loss or padding."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thumbnets.data.arrays import Split
from thumbnets.data.bags import Bags, Drawing, whole
from thumbnets.data.datasets import get_dataset
from thumbnets.data.download import download
from thumbnets.data.preprocess import read_dataset

NATURAL, BALANCED = (Drawing(9, 10.0, 2.0, balanced) for balanced in (False, True))
DIGITS = np.arange(60_000) % 10  # natural bags' sizes and indices do not depend on the labels


def positives(labels: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> list[bool]:
    return [bool((bag == 9).any()) for bag in np.split(labels[rows], np.cumsum(sizes)[:-1])]


@pytest.mark.parametrize(
    ("images", "sizes", "indices", "counts"),
    [
        (60_000, [13, 8, 8, 13, 9, 8], [32511, 50057, 43723, 7813, 52047], {200: 1_859}),
        (10_000, [13, 8, 11, 9, 9, 12], [905, 7813, 2895, 5056, 144], {50: 479, 1000: 9_518}),
    ],
)
def test_natural_bags_are_those_of_the_source(images, sizes, indices, counts):
    for bags, total in counts.items():
        rows, found = NATURAL.draw(DIGITS[:images], bags, seed=1)
        assert found[:6].tolist() == sizes and rows[:5].tolist() == indices
        assert len(found) == bags and len(rows) == found.sum() == total


def test_balanced_bags_take_turns_and_hold_what_they_say():
    rows, sizes = BALANCED.draw(DIGITS, 40, seed=3)
    assert positives(DIGITS, rows, sizes) == [True, False] * 20


def as_the_source(labels: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """The balanced loader of the source, step by step."""
    r, bags, last = np.random.RandomState(seed), [], 0
    while len(bags) < count:
        length = max(int(r.normal(10, 2, 1)[0]), 1)
        indices = r.randint(0, len(labels), length)
        if last == 0 and 9 in labels[indices]:
            bags.append(indices)
            last = 1
        elif last == 1:
            kept = []
            while len(kept) < length:
                index = r.randint(0, len(labels), 1)
                if labels[index][0] != 9:
                    kept.append(index[0])
            bags.append(np.array(kept))
            last = 0
    return bags


def test_balanced_bags_are_those_of_the_source():
    labels = np.random.default_rng(0).integers(0, 10, 5_000)
    expected = as_the_source(labels, 60, 1)
    rows, sizes = BALANCED.draw(labels, 60, seed=1)
    assert sizes.tolist() == [len(bag) for bag in expected]
    np.testing.assert_array_equal(rows, np.concatenate(expected))


@pytest.fixture(scope="module")
def mnist(tmp_path_factory) -> dict[str, Split]:
    """MNIST, where a mirror has it."""
    mirror = os.environ.get("THUMBNETS_MIRROR")
    if not mirror or not (Path(mirror) / "mnist").is_dir():
        pytest.skip("needs MNIST in $THUMBNETS_MIRROR")
    raw = tmp_path_factory.mktemp("mnist")
    download(get_dataset("mnist"), raw, mirror=mirror)
    read = read_dataset("mnist", raw)
    return {"train": read.train, "test": read.test}


@pytest.mark.parametrize(
    ("part", "bags", "positive", "mean", "least", "most"),
    [
        ("train", 50, 30, 9.42, 6, 13),
        ("train", 200, 125, 9.295, 4, 14),
        ("train", 500, 325, 9.536, 2, 15),
        ("test", 50, 26, 9.58, 5, 15),
        ("test", 1000, 628, 9.518, 3, 16),
    ],
)
def test_on_mnist_as_many_are_positive_as_in_the_source(
    mnist, part, bags, positive, mean, least, most
):
    rows, sizes = NATURAL.draw(mnist[part].labels, bags, seed=1)
    assert sum(positives(mnist[part].labels, rows, sizes)) == positive
    assert (sizes.mean(), sizes.min(), sizes.max()) == (pytest.approx(mean), least, most)


@pytest.mark.parametrize(
    ("part", "bags", "mean", "first"),
    [("train", 200, 9.55, [8, 8, 8, 9, 8, 13]), ("test", 50, 10.4, [13, 8, 10, 8, 8, 14])],
)
def test_on_mnist_balanced_bags_are_as_large_as_in_the_source(mnist, part, bags, mean, first):
    labels = mnist[part].labels
    rows, sizes = BALANCED.draw(labels, bags, seed=1)
    assert sizes[:6].tolist() == first and sizes.mean() == pytest.approx(mean)
    assert sum(positives(labels, rows, sizes)) == bags // 2


def test_a_bag_has_an_image_even_where_the_size_drawn_is_negative():
    _, sizes = Drawing(9, 0.5, 3.0, False).draw(DIGITS, 200, seed=0)
    assert sizes.min() == 1


REFUSED = [
    ([], {}, "0 of 0 are of it"),
    ([0, 1, 2], {}, "target class 9 and of others, but 0 of 3 are of it"),
    ([9, 9], {}, "but 2 of 2 are of it"),
]
ALL_ALIKE = [  # which balanced bags never are
    ([9] * 90 + [0], {}, "5 of 5 bags are positive, so there is one class only"),
    ([9] + [0] * 999, {"mean": 1.0, "spread": 0.0}, "0 of 5 bags are positive"),
]


@pytest.mark.parametrize(
    ("balanced", "labels", "changes", "message"),
    [(True, *case) for case in REFUSED] + [(False, *case) for case in REFUSED + ALL_ALIKE],
)
def test_refused(balanced, labels, changes, message):
    drawing = Drawing(**{"target": 9, "mean": 10.0, "spread": 2.0, "balanced": balanced, **changes})
    with pytest.raises(ValueError, match=message):
        drawing.draw(np.array(labels, np.int64), 5, seed=0)


# Batches.

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def bags_of(sizes: list[int]) -> Bags:
    return Bags(torch.arange(sum(sizes)).view(-1, 1, 1, 1), torch.tensor(sizes))


@given(SIZES, st.integers(1, 20))
def test_parts_hold_whole_bags_and_no_more_images_than_asked_for(sizes, most):
    parts = bags_of(sizes).split(most)
    assert torch.equal(torch.cat([part.images for part in parts]), bags_of(sizes).images)
    assert sum((part.sizes.tolist() for part in parts), []) == sizes
    assert all(len(part) == 1 or len(part.images) <= most for part in parts)
    lengths = [len(part.images) for part in parts]
    firsts = [int(part.sizes[0]) for part in parts[1:]]
    assert all(n + first > most for n, first in zip(lengths, firsts, strict=False))  # none idle


@given(SIZES, st.integers(1, 4))
def test_shares_are_cut_between_bags_as_torch_cuts_their_labels(sizes, parts):
    shares = bags_of(sizes).tensor_split(parts)
    expected = [len(part) for part in torch.arange(len(sizes)).tensor_split(parts)]
    assert [len(share) for share in shares] == expected
    assert torch.equal(torch.cat([share.images for share in shares]), bags_of(sizes).images)


def test_every_image_knows_its_bag():
    bags = bags_of([2, 1, 3])
    assert bags.of.tolist() == [0, 0, 1, 2, 2, 2] and len(bags) == 3
    doubled = bags.changed(lambda images: 2 * images)
    assert torch.equal(doubled.images, 2 * bags.images) and torch.equal(doubled.of, bags.of)
    assert whole(bags.sizes, 3) == [2, 1]
