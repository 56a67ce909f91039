"""Copies are found within and across the parts, and dropped from training alone."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from thumbnets.data.datasets import DATASETS, Dataset
from thumbnets.data.duplicates import Copies, find_copies
from thumbnets.data.preprocess import preprocess
from thumbnets.data.readers import Content, Part


def scenes(n: int, seed: int = 0, side: int = 32) -> np.ndarray:
    """Smooth pictures, as photos are, uint8 [n, 3, side, side]."""
    rng = np.random.default_rng(seed)
    found = []
    for coarse in rng.integers(0, 255, (n, 6, 6, 3), np.uint8):
        large = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        found.append(np.asarray(large).transpose(2, 0, 1))
    return np.stack(found)


def changed(image: np.ndarray, how: str) -> np.ndarray:
    """A copy as it comes about: saved again, resized, brightened."""
    picture = Image.fromarray(image.transpose(1, 2, 0))
    if how == "jpeg":
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=80)
        picture = Image.open(content)
    if how == "resized":
        picture = picture.resize((48, 48)).resize(picture.size)
    if how == "brighter":
        picture = picture.point(lambda level: 20 + int(0.9 * level))
    if how == "blurred":
        picture = picture.filter(ImageFilter.GaussianBlur(3))
    return np.asarray(picture).transpose(2, 0, 1)


@pytest.mark.parametrize("how", ["same", "jpeg", "resized", "brighter"])
def test_a_changed_copy_is_found_and_nothing_else(how):
    train, test = scenes(60), scenes(30, seed=1)
    train[50], test[20] = changed(train[7], how), changed(train[8], how)
    found = find_copies(train, test)
    assert found.pairs.tolist() == [[7, 50], [8, 80]]
    assert found.in_training.tolist() == [True, False] and found.leaked.tolist() == [False, True]


def test_what_only_looks_alike_is_no_copy():
    train = scenes(40)
    train[30] = 255 - train[3]
    train[31] = train[4][:, :, ::-1]
    train[32] = changed(train[5], "blurred")
    assert find_copies(train, scenes(20, seed=1)).pairs.tolist() == []


def test_plain_images_are_copies_by_their_level():
    train = scenes(6)[:, :1]
    train[1], train[3], train[5] = 90, 90, 120
    assert find_copies(train, scenes(4, seed=1)[:, :1]).pairs.tolist() == [[1, 3]]


def test_the_same_shape_in_another_colour_is_no_copy():
    train, test = scenes(8), scenes(4, seed=1)
    for place, colour in ((2, (200, 30, 30)), (5, (30, 30, 200)), (6, (200, 30, 30))):
        train[place] = 255
        train[place, :, 8:24, 10:20] = np.array(colour)[:, None, None]  # all of the same grey
    train[1] = np.array([255, 0, 0])[:, None, None]
    train[3] = np.array([0, 0, 255])[:, None, None]
    assert find_copies(train, test).pairs.tolist() == [[2, 6]]


def test_many_plain_images_are_paired_with_the_first_and_the_first_that_tests():
    train, test = np.full((3_000, 1, 8, 8), 90, np.uint8), np.full((20, 1, 8, 8), 90, np.uint8)
    train[7], test[0] = scenes(1, side=8)[0, :1], 10
    found = find_copies(train, test)
    assert len(found.pairs) == (2_999 + 19 - 1) + (2_999 - 1 + 18)
    assert found.to_drop().tolist() == [place for place in range(3_000) if place != 7]
    others = find_copies(train, test[:1])  # none of the same that tests: the first stays
    assert others.to_drop().tolist() == [place for place in range(1, 3_000) if place != 7]


def test_one_of_each_stays_unless_it_tests():
    pairs = np.array([[0, 1], [0, 2], [1, 2], [3, 4], [3, 10], [5, 6], [10, 11]])
    copies = Copies(pairs, tests_from=10)
    drop = copies.to_drop()
    assert drop.tolist() == [1, 2, 3, 6]  # 3 tests as 10; 4 stays for it
    left = copies.without(drop)
    assert left.tests_from == 6 and left.pairs.tolist() == [[6, 7]]


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """A data set with two copies in training, and one of a test image."""
    train, test = scenes(40), scenes(10, seed=1)
    train[12], train[39] = train[2], test[4]
    content = Content(("a", "b"), Part(train, np.arange(40) % 2), Part(test, np.arange(10) % 2))
    row = Dataset(name="toy", title="", folder="", mirrors=(), archives=(), classes=("a", "b"),
                  reader=lambda *_: content)  # fmt: skip
    monkeypatch.setitem(DATASETS, "toy", row)
    return lambda **more: preprocess("toy", tmp_path / "raw", folds=2, seed=0, **more)


def test_a_training_part_of_copies_alone_is_told(toy, monkeypatch):
    monkeypatch.setattr(Copies, "to_drop", lambda self: np.arange(40))
    with pytest.raises(ValueError, match="data.duplicates: drop leaves no training image"):
        toy(duplicates="drop")


def test_dropped_copies_train_no_more(toy):
    kept, dropped = toy(), toy(duplicates="drop")
    assert kept.mended["dropped"] == 0 and len(kept.train.labels) == 40
    assert dropped.mended["dropped"] == 2 and len(dropped.copies.pairs) == 0
    stays = np.delete(np.arange(40), [12, 39])
    assert np.array_equal(dropped.train.images, kept.train.images[stays])
    assert np.array_equal(dropped.train.labels, kept.train.labels[stays])
    assert np.array_equal(dropped.test.images, kept.test.images)
    assert len(dropped.train.fold) == sum(dropped.train.meta.counts) == 38
    assert dropped.findings.leaked == 0 and kept.findings.leaked == 1
