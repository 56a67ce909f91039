"""Folds, channel statistics, and the arrays on disk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbnets.data.arrays import Meta, Split, read_split, write_split
from thumbnets.data.datasets import DATASETS
from thumbnets.data.download import download
from thumbnets.data.preprocess import channel_statistics, preprocess, stratified_folds


def counts(fold: np.ndarray, labels: np.ndarray, folds: int) -> np.ndarray:
    """Images by fold and class."""
    return np.stack(
        [np.bincount(labels[fold == f], minlength=labels.max() + 1) for f in range(folds)]
    )


@settings(max_examples=25)
@given(st.lists(st.integers(5, 40), min_size=2, max_size=5), st.integers(2, 5), st.integers(0, 9))
def test_folds_are_even_in_size_and_classes(sizes, folds, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    fold = stratified_folds(labels, folds=folds, seed=seed)
    assert fold.dtype == np.int16 and set(fold) == set(range(folds))
    table = counts(fold, labels, folds)
    assert np.ptp(table, axis=0).max() <= 1  # of each class
    assert np.ptp(table.sum(1)) <= 1  # of all


def test_twelve_folds_of_fashion_mnist_have_5000_images():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 6_000))
    fold = stratified_folds(labels, folds=12, seed=0)
    assert (counts(fold, labels, 12) == 500).all()


def test_the_seed_divides():
    labels = np.arange(300) % 3
    one, same, other = (stratified_folds(labels, folds=5, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_a_class_too_rare_for_the_folds_is_refused():
    labels = np.array([0] * 20 + [1] * 3 + [3] * 20)
    with pytest.raises(
        ValueError, match="split.folds is 4, but class 1 has only 3 training images.*fewer folds"
    ):
        stratified_folds(labels, folds=4, seed=0)
    assert len(stratified_folds(labels, folds=3, seed=0)) == 43  # class 2 has no image at all


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_those_of_the_pixels(channels):
    images = np.random.default_rng(0).integers(0, 200, (50, channels, 9, 9), np.uint8)
    images[:, 0] //= 3
    mean, std = channel_statistics(images)
    pixels = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std((0, 2, 3)), rtol=1e-12)


def test_a_split_round_trips(tmp_path):
    rng = np.random.default_rng(0)
    meta = Meta("toy", ["a", "é"], 1, 4, [0.25], [0.5], [3, 2], "f" * 64)
    split = Split(
        rng.integers(0, 256, (5, 1, 4, 4), np.uint8),
        np.array([0, 1, 0, 1, 0]),
        meta,
        np.array([0, 0, 1, 1, 2], np.int16),
    )
    write_split(tmp_path / "train", split)
    back = read_split(tmp_path / "train")
    for name in ("images", "labels", "fold"):
        np.testing.assert_array_equal(getattr(back, name), getattr(split, name), strict=True)
    assert back.meta == meta
    assert meta.shape == {"in_channels": 1, "image_size": 4, "num_classes": 2}
    write_split(tmp_path / "test", Split(split.images, split.labels, meta))
    assert read_split(tmp_path / "test").fold is None
    (tmp_path / "test" / "labels.npy").unlink()
    with pytest.raises(ValueError, match=r"labels\.npy is missing: run `dvc repro preprocess`"):
        read_split(tmp_path / "test")


def test_the_embedded_data_set_from_raw_files_to_splits(tmp_path):
    download(DATASETS["digits"], tmp_path, mirror=None)
    train, test = preprocess("digits", tmp_path, folds=5, seed=0)
    for split in (train, test):
        assert split.images.shape == (len(split.labels), 1, 28, 28)
        assert split.images.dtype == np.uint8 and split.labels.dtype == np.int64
        assert split.meta.counts == np.bincount(split.labels).tolist()
    pixels = train.images / 255
    np.testing.assert_allclose(train.meta.mean, pixels.mean(), rtol=1e-9)
    assert test.meta.mean == train.meta.mean and test.meta.std == train.meta.std
    assert test.fold is None and set(train.fold) == set(range(5))
    assert train.meta.sha256 != test.meta.sha256
    again, _ = preprocess("digits", tmp_path, folds=5, seed=1)
    assert again.meta == train.meta and not np.array_equal(again.fold, train.fold)
    with pytest.raises(ValueError, match="split.folds is 200, but class"):
        preprocess("digits", tmp_path, folds=200, seed=0)
