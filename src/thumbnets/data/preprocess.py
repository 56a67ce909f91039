"""From raw files to the arrays that training and evaluation read: statistics, folds, duplicates."""

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from thumbnets.data.arrays import Meta, Split, chunks
from thumbnets.data.datasets import OwnImages, get_dataset
from thumbnets.data.depth import FULL
from thumbnets.data.folder import FolderRule, read_folder
from thumbnets.data.readers import Content, Part

_MAX_EXAMPLES = 20  # pairs of duplicates in the findings


def stratified_folds(
    labels: np.ndarray, *, folds: int, seed: int, classes: list[str] | None = None
) -> np.ndarray:
    """Divide images into folds of nearly equal size and class shares.

    Args:
        labels: int64 [N].
        folds: Number of folds.
        seed: Seed of the division.
        classes: Names of the classes, for the message.

    Returns:
        int16 [N], the fold of each image.

    Raises:
        ValueError: A class has fewer images than there are folds.
    """
    counts = np.bincount(labels)
    rare = int(np.where(counts, counts, len(labels)).argmin())
    if counts[rare] < folds:
        name = classes[rare] if classes else rare
        raise ValueError(
            f"split.folds is {folds}, but class {name} has only {counts[rare]} training images: "
            "some fold would have none. Use fewer folds, or add images of the class."
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    fold = np.empty(len(labels), np.int16)
    for number, (_, chosen) in enumerate(splitter.split(np.zeros(len(labels)), labels)):
        fold[chosen] = number
    return fold


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of uint8 images [N, C, H, W], as fractions."""
    levels = np.arange(256) / 255
    # From histograms: exact, and no float copy of the images.
    counts = np.zeros((images.shape[1], 256), np.int64)
    for some in chunks(images, "mean and deviation"):
        for channel, count in enumerate(counts):
            count += np.bincount(some[:, channel].ravel(), minlength=256)
    shares = counts / counts.sum(1, keepdims=True)
    means = [float(share @ levels) for share in shares]
    stds = [
        float(np.sqrt(share @ (levels - mean) ** 2))
        for share, mean in zip(shares, means, strict=True)
    ]
    return means, stds


@dataclass(frozen=True)
class Findings:
    """Properties of the data set for the report. No training depends on them.

    Attributes:
        train, test: Number of images of each class.
        repeated: Number of training images identical to an earlier one.
        leaked: Number of test images identical to a training image.
        leaked_other_label: Number of leaked images with another label than that training image.
        examples: Pairs of test and training image, as files or indices, of some leaked images.
        broken: Files that were left out because they could not be read.
    """

    train: list[int]
    test: list[int]
    repeated: int
    leaked: int
    leaked_other_label: int
    examples: list[list[str]]
    broken: list[str]

    def as_json(self) -> dict[str, Any]:
        """The findings as they are written to JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Prepared:
    """A data set ready for training and testing, with its findings."""

    train: Split
    test: Split
    findings: Findings


def read_dataset(name: str, raw: Path, rule: FolderRule | None = None) -> Prepared:
    """Read a data set's raw files, and compute checksums and statistics.

    Args:
        name: Name of the data set.
        raw: Folder of its raw files.
        rule: Options for reading the user's own images.

    Returns:
        Both splits, without folds; the mean and standard deviation of both are those of train.

    Raises:
        ValueError: A file is missing or damaged.
    """
    dataset = get_dataset(name)
    own = isinstance(dataset, OwnImages)
    content = read_folder(raw, rule) if own else dataset.read(raw)
    mean, std = channel_statistics(content.train.images)
    if min(std) == 0:
        raise ValueError(f"{raw}: all training images of {name} have the same single colour.")
    counts = {part: _counts(of, content) for part, of in content.parts.items()}
    digests = {}

    def described(part: str) -> Split:
        images, labels = content.parts[part].images, content.parts[part].labels
        checksum, digests[part] = _checksums(images, labels)
        meta = Meta(
            dataset=name,
            classes=list(content.classes),
            channels=images.shape[1],
            image_size=images.shape[2],
            mean=mean,
            std=std,
            counts=counts[part],
            sha256=checksum,
            fit=rule.fit if own else "stretch",
            depth=content.depth if own else FULL,
        )
        return Split(images, labels, meta)

    train, test = described("train"), described("test")
    duplicates = _duplicates(content, digests["train"], digests["test"])
    return Prepared(
        replace(train, unlabelled=content.unlabelled),
        test,
        Findings(**counts, **duplicates, broken=content.broken),
    )


def _counts(part: Part, content: Content) -> list[int]:
    return np.bincount(part.labels, minlength=len(content.classes)).tolist()


def _checksums(images: np.ndarray, labels: np.ndarray) -> tuple[str, list[bytes]]:
    """SHA-256 of all pixels and labels, and a digest of each image."""
    checksum, digests = hashlib.sha256(), []
    for some in chunks(images, "checksums"):
        checksum.update(some)
        digests += [hashlib.blake2b(image, digest_size=16).digest() for image in some]
    checksum.update(labels)
    return checksum.hexdigest(), digests


def _duplicates(content: Content, train: list[bytes], test: list[bytes]) -> dict[str, Any]:
    """Find images with the same pixels by digest; among training images the first one is named."""
    first: dict[bytes, int] = {}
    for number, digest in enumerate(train):
        first.setdefault(digest, number)
    leaked = [(number, first[digest]) for number, digest in enumerate(test) if digest in first]
    return {
        "repeated": len(train) - len(first),
        "leaked": len(leaked),
        "leaked_other_label": sum(
            int(content.test.labels[a] != content.train.labels[b]) for a, b in leaked
        ),
        "examples": [
            [_name(content.test, a), _name(content.train, b)] for a, b in leaked[:_MAX_EXAMPLES]
        ],
    }


def _name(part: Part, number: int) -> str:
    return part.files[number] if part.files else str(number)


def preprocess(
    name: str, raw: Path, *, folds: int, seed: int, rule: FolderRule | None = None
) -> Prepared:
    """Read a data set's raw files and divide its training images into folds.

    Args:
        name: Name of the data set.
        raw: Folder of its raw files.
        folds: Number of folds of the training images.
        seed: Seed of the division into folds.
        rule: Options for reading the user's own images.

    Returns:
        The training split has `fold`.

    Raises:
        ValueError: A file is missing or damaged, or a class is too rare for the folds.
    """
    prepared = read_dataset(name, raw, rule)
    fold = stratified_folds(
        prepared.train.labels, folds=folds, seed=seed, classes=prepared.train.meta.classes
    )
    return replace(prepared, train=replace(prepared.train, fold=fold))
