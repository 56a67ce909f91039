"""From raw files to the arrays that training and evaluation read."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold

from thumbnets.data.arrays import Meta, Split
from thumbnets.data.datasets import get_dataset


def stratified_folds(labels: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """Divide images into folds of nearly equal size and class shares.

    Args:
        labels: int64 [N].
        folds: Number of folds.
        seed: Seeds the division.

    Returns:
        int16 [N], the fold of each image.

    Raises:
        ValueError: A class has fewer images than there are folds, so that a fold would lack it.
    """
    counts = np.bincount(labels)
    rare = int(np.where(counts, counts, len(labels)).argmin())
    if counts[rare] < folds:
        raise ValueError(
            f"split.folds is {folds}, but class {rare} has only {counts[rare]} training images: "
            "a fold would be without it. Use fewer folds, or more images of it."
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    fold = np.empty(len(labels), np.int16)
    for number, (_, chosen) in enumerate(splitter.split(np.zeros(len(labels)), labels)):
        fold[chosen] = number
    return fold


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of uint8 images [N, C, H, W], as fractions."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[1]):
        # From a histogram: exact, and no float copy of the images.
        share = np.bincount(images[:, channel].ravel(), minlength=256) / images[:, channel].size
        means.append(float(share @ levels))
        stds.append(float(np.sqrt(share @ (levels - means[-1]) ** 2)))
    return means, stds


def read_dataset(name: str, raw: Path) -> dict[str, Split]:
    """Read a data set's raw files and describe them.

    Args:
        name: Name of the data set.
        raw: Folder of its raw files.

    Returns:
        The splits "train" and "test"; the mean and standard deviation of both are those of train.

    Raises:
        ValueError: A file is missing or damaged.
    """
    dataset = get_dataset(name)
    arrays = dataset.read(raw)
    mean, std = channel_statistics(arrays["train"].images)
    if min(std) == 0:
        raise ValueError(f"{raw}: all training images of {name} are the same plain colour.")

    def described(images: np.ndarray, labels: np.ndarray) -> Split:
        checksum = hashlib.sha256(np.ascontiguousarray(images))
        checksum.update(labels)
        meta = Meta(
            dataset=name,
            classes=list(dataset.classes),
            channels=images.shape[1],
            image_size=images.shape[2],
            mean=mean,
            std=std,
            counts=np.bincount(labels, minlength=len(dataset.classes)).tolist(),
            sha256=checksum.hexdigest(),
        )
        return Split(images, labels, meta)

    return {split: described(part.images, part.labels) for split, part in arrays.items()}


def preprocess(name: str, raw: Path, *, folds: int, seed: int) -> tuple[Split, Split]:
    """Read a data set's raw files and divide its training images into folds.

    Args:
        name: Name of the data set.
        raw: Folder of its raw files.
        folds: Number of folds of the training images.
        seed: Seeds the division into folds.

    Returns:
        The training split (with `fold`) and the test split.

    Raises:
        ValueError: A file is missing or damaged, or a class is too rare for the folds.
    """
    splits = read_dataset(name, raw)
    train = splits["train"]
    fold = stratified_folds(train.labels, folds=folds, seed=seed)
    return replace(train, fold=fold), splits["test"]
