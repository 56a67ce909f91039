"""From raw files to the arrays that training and evaluation read: statistics, folds, duplicates."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from thumbnets.data.arrays import Meta, Split, chunks
from thumbnets.data.corrections import correct_labels, read_corrections
from thumbnets.data.datasets import OwnImages, get_dataset
from thumbnets.data.depth import FULL
from thumbnets.data.division import numbered, stratified_folds
from thumbnets.data.duplicates import Copies, find_copies, keep_only
from thumbnets.data.few import folds_of_few
from thumbnets.data.folder import read_folder
from thumbnets.data.listed import FolderRule
from thumbnets.data.names import shown
from thumbnets.data.readers import Content, Part

_MAX_EXAMPLES = 20  # pairs of duplicates in the findings


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
        own: Of images of the user's own, else None: `passed_over` (number of files by kind),
            `deep_files` (files of 16 bits), `depth` (bits that they were read as), `groups`,
            `groups_in_both` (some that train and test), `groups_in_both_count`, `folds` (which may
            be fewer than split.folds), `validates` and `few` (see `folds_of_few`).
    """

    train: list[int]
    test: list[int]
    repeated: int
    leaked: int
    leaked_other_label: int
    examples: list[list[str]]
    broken: list[str]
    own: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The findings as they are written to JSON."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Prepared:
    """A data set ready for training and testing, with its findings."""

    train: Split
    test: Split
    findings: Findings
    groups: list[str] | None = None  # of the training images
    parts: dict[str, Part] = field(default_factory=dict)  # with files, by name
    copies: Copies | None = None  # this and the next: of `preprocess` alone
    mended: dict[str, int] = field(default_factory=dict)  # images `corrected` and `dropped`


def read_dataset(
    name: str,
    raw: Path,
    rule: FolderRule | None = None,
    mend: Callable[[Content], Content] = lambda content: content,
) -> Prepared:
    """Read a data set's raw files, and compute checksums and statistics.

    Args:
        name: Name of the data set.
        raw: Folder of its raw files.
        rule: Options for reading the user's own images.
        mend: Function that corrects its content first.

    Returns:
        Both splits, without folds; the mean and standard deviation of both are those of train.

    Raises:
        ValueError: A file is missing or damaged.
    """
    dataset = get_dataset(name)
    own = isinstance(dataset, OwnImages)
    content = mend(read_folder(raw, rule) if own else dataset.read(raw))
    mean, deviations = channel_statistics(content.train.images)
    if max(deviations) == 0:
        where = rule.path if own and rule else raw
        raise ValueError(f"{where}: all training images of {name} have the same single colour.")
    std = [deviation or 1.0 for deviation in deviations]  # 0 if a channel is constant
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
    if own and content.groups:
        train = replace(train, group=numbered(content.groups))
        test = replace(test, group=numbered(content.test_groups))
    duplicates = _duplicates(content, digests["train"], digests["test"])
    return Prepared(
        replace(train, unlabelled=content.unlabelled),
        test,
        Findings(**counts, **duplicates, broken=content.broken, own=content.about if own else None),
        content.groups if own else None,
        content.parts,
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
    name: str,
    raw: Path,
    *,
    folds: int,
    seed: int,
    rule: FolderRule | None = None,
    corrections: Path | None = None,
    duplicates: str = "keep",
) -> Prepared:
    """Read a data set's raw files, correct them and divide the training images into folds.

    Args:
        name: Name of the data set.
        raw: Folder of its raw files.
        folds: Number of folds of the training images.
        seed: Seed of the division into folds.
        rule: Options for reading the user's own images.
        corrections: CSV file of corrected labels, if any.
        duplicates: `keep`, or `drop` the training images that are copies, see `Copies.to_drop`.

    Returns:
        The training split has `fold`; `copies` are those left after dropping.

    Raises:
        ValueError: A file is missing or damaged, or a class is too rare for the folds.
    """
    mending = _Mending(corrections, duplicates, raw.parent)
    prepared = read_dataset(name, raw, rule, mending)
    prepared = replace(prepared, copies=mending.copies, mended=mending.mended)
    train, findings = prepared.train, prepared.findings
    if findings.own is None:
        fold = stratified_folds(train.labels, folds=folds, seed=seed, classes=train.meta.classes)
    else:
        fold, more = folds_of_few(train, prepared.test, prepared.groups, folds=folds, seed=seed)
        findings = replace(findings, own={**findings.own, **more})
    return replace(prepared, train=replace(train, fold=fold), findings=findings)


class _Mending:
    """Corrects labels and drops copies, of training images alone.

    Args:
        corrections: CSV file of corrected labels, if any.
        duplicates: `keep` or `drop`.
        folder: Folder on a disk that takes the images.
    """

    def __init__(self, corrections: Path | None, duplicates: str, folder: Path) -> None:
        self.corrections, self.duplicates, self.folder = corrections, duplicates, folder
        self.copies: Copies | None = None
        self.mended = {"corrected": 0, "dropped": 0}

    def __call__(self, content: Content) -> Content:
        """The content with training images corrected and dropped.

        Raises:
            ValueError: A correction does not fit, or a class has no image left.
        """
        if self.corrections:
            corrections = read_corrections(self.corrections, content.classes)
            train = correct_labels(content.train, corrections, content.classes)
            self.mended["corrected"] = int((train.labels != content.train.labels).sum())
            content = replace(content, train=train)
        self.copies = find_copies(content.train.images, content.test.images)
        if self.duplicates == "drop" and len(drop := self.copies.to_drop()):
            content = self._without(content, drop)
        for name, count in zip(content.classes, _counts(content.train, content), strict=True):
            if count == 0 and (self.corrections or self.duplicates == "drop"):
                raise ValueError(
                    f"class {shown(name)} has no training image left, after data.corrections and "
                    "data.duplicates."
                )
        return content

    def _without(self, content: Content, drop: np.ndarray) -> Content:
        kept = np.ones(len(content.train.labels), bool)
        kept[drop] = False
        if not kept.any():
            raise ValueError(
                "data.duplicates: drop leaves no training image, since each is a copy of a test "
                "image."
            )
        print(f"{len(drop):,} training images left out, which are copies (data.duplicates)")
        self.copies = self.copies.without(drop)
        self.mended["dropped"] = len(drop)
        changed = {"train": keep_only(content.train, kept, self.folder)}
        if getattr(content, "groups", None) is not None:
            changed["groups"] = list(compress(content.groups, kept))
        return replace(content, **changed)
