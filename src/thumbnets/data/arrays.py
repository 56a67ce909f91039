"""Processed arrays: what `preprocess` writes and training and evaluation read.

Images that are large compared with the memory stay on disk: they are read through a memory map in
chunks, and the pages already read are released at once. The numbers do not depend on it.
"""

import hashlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from thumbnets import runtime
from thumbnets.artifacts import (
    parsing,
    read_array,
    read_json,
    replacing,
    sha256,
    write_array,
    write_json,
)
from thumbnets.messages import quote

MAPPED_FROM = 1 / 4  # fraction of the memory; larger arrays of images are mapped
CHUNK = 1 << 25  # bytes of images that are processed together


@dataclass(frozen=True)
class Meta:
    """Metadata of a split.

    Attributes:
        dataset: Name of the data set.
        classes: Names of the classes, in the order of the labels.
        channels: Channels of an image.
        image_size: Height and width in pixels.
        mean: Mean of each channel over the training split, as a fraction of 255.
        std: Standard deviation of each channel, as a fraction of 255.
        counts: Images of each class in this split.
        sha256: Checksum of the pixels followed by the labels.
        fit: Way of resizing an image of another size to `image_size`, see `images.read_image`.
        depth: Bits that the values in 16-bit files use.
    """

    dataset: str
    classes: list[str]
    channels: int
    image_size: int
    mean: list[float]
    std: list[float]
    counts: list[int]
    sha256: str
    fit: str = "stretch"
    depth: int = field(default=16, repr=False)  # not in `identity`: the checksum covers the pixels

    @property
    def written(self) -> dict[str, Any]:
        """The metadata as written; without a depth of 16, as before that key was added."""
        return {key: value for key, value in vars(self).items() if (key, value) != ("depth", 16)}

    @property
    def shape(self) -> dict[str, int]:
        """The arguments that fit a network to the data."""
        return {
            "in_channels": self.channels,
            "image_size": self.image_size,
            "num_classes": len(self.classes),
        }


@dataclass(frozen=True)
class Split:
    """Images and labels of one split.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N].
        meta: Metadata of the split.
        fold: int16 [N], the fold of each image; only in the training split.
        group: int64 [N], number of the group of each image, from 0 in the order of their first
            images; None if there are no groups.
        unlabelled: uint8 [M, C, H, W], images for pre-training, mapped; only in the training split
            of a data set that has them.
    """

    images: np.ndarray
    labels: np.ndarray
    meta: Meta
    fold: np.ndarray | None = None
    unlabelled: np.ndarray | None = None
    group: np.ndarray | None = None

    @property
    def identity(self) -> bytes:
        """Bytes of all that a training depends on: checksum, normalisation and folds."""
        return repr(self.meta).encode() + self.fold.tobytes()


def at_once(image_bytes: int, most: int) -> int:
    """Number of images in a chunk: `most`, or fewer if they are large; at least two."""
    return max(2, min(most, CHUNK // image_bytes))


def chunks(
    images: np.ndarray, doing: str | None = None, most: int | None = None
) -> Iterator[np.ndarray]:
    """Consecutive images of at most `most` bytes (`CHUNK`), contiguous in memory.

    With `doing`, a progress bar of that title on a terminal.
    """
    size = max(1, (most or CHUNK) // max(1, images[:1].nbytes))
    starts = range(0, len(images), size)
    for start in tqdm(starts, doing, leave=False, delay=2, disable=None if doing else True):
        yield np.ascontiguousarray(images[start : start + size])
        release_pages(images)


def release_pages(array: np.ndarray) -> None:
    """Release the pages of an array that were already read, if it is memory-mapped."""
    base = array.base
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def write_split(folder: Path, split: Split) -> None:
    """Write images.npy, labels.npy and meta.json, and the other arrays that the split has."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_images(folder / "images.npy", split.images)
    write_array(folder / "labels.npy", split.labels)
    if split.fold is not None:
        write_array(folder / "fold.npy", split.fold)
    (folder / "group.npy").unlink(missing_ok=True)
    if split.group is not None:
        write_array(folder / "group.npy", split.group)
    (folder / "unlabelled.npy").unlink(missing_ok=True)
    if split.unlabelled is not None:
        _write_images(folder / "unlabelled.npy", split.unlabelled)
    write_json(folder / "meta.json", split.meta.written)


def _write_images(path: Path, images: np.ndarray) -> None:
    """Write the bytes of `np.save`, chunk by chunk."""
    described = {"descr": images.dtype.str, "fortran_order": False, "shape": images.shape}
    with replacing(path) as file:
        np.lib.format.write_array_header_1_0(file, described)
        for chunk in chunks(images, f"writing {path}"):
            file.write(chunk)


def _read_images(path: Path) -> np.ndarray:
    """Read into memory, or map if large compared with it (copy-on-write)."""
    mapped = path.exists() and path.stat().st_size > runtime.memory() * MAPPED_FROM
    return read_array(path, mapped=mapped)


def read_split(folder: Path) -> Split:
    """Read what `write_split` wrote.

    Raises:
        ValueError: The folder is missing or incomplete, or its files do not fit each other.
    """
    fold, unlabelled = folder / "fold.npy", folder / "unlabelled.npy"
    group = folder / "group.npy"
    split = Split(
        images=_read_images(folder / "images.npy"),
        labels=read_array(folder / "labels.npy"),
        meta=read_meta(folder / "meta.json"),
        fold=read_array(fold) if fold.exists() else None,
        unlabelled=read_array(unlabelled, mapped=True) if unlabelled.exists() else None,
        group=read_array(group) if group.exists() else None,
    )
    with parsing(folder):
        _check_split(split)
    return split


def _check_split(split: Split) -> None:
    """Check dtypes, shapes and labels.

    Raises:
        ValueError: They are not those of a split.
    """
    meta, count = split.meta, len(split.images)
    image = (meta.channels, meta.image_size, meta.image_size)
    for name, array, dtype, shape in (
        ("images", split.images, np.uint8, (count, *image)),
        ("labels", split.labels, np.int64, (count,)),
        ("fold", split.fold, np.int16, (count,)),
        ("unlabelled", split.unlabelled, np.uint8, image),
    ):
        found = None if array is None else array.shape[1:] if name == "unlabelled" else array.shape
        if array is not None and (array.dtype != dtype or found != shape):
            raise ValueError(f"{name} must be {np.dtype(dtype)} {shape}, got {array.dtype} {found}")
    if split.group is not None:
        check_group(split.group, count)
    outside = split.labels[(split.labels < 0) | (split.labels >= len(meta.classes))]
    if len(outside):
        raise ValueError(f"labels must be in 0..{len(meta.classes) - 1}, got {outside[0]}")


def read_checksum(folder: Path) -> str:
    """SHA-256 of a split: of its pixels and labels, and of its groups where there are some.

    Raises:
        ValueError: `meta.json` is missing or damaged.
    """
    group = folder / "group.npy"
    checksum = read_meta(folder / "meta.json").sha256
    if not group.exists():
        return checksum
    return hashlib.sha256(f"{checksum} {sha256(group)}".encode()).hexdigest()


def check_group(group: np.ndarray, count: int) -> None:
    """Check numbers of groups.

    Raises:
        ValueError: They are not one for each of `count` images, or not all from 0 up.
    """
    if group.dtype != np.int64 or group.shape != (count,):
        raise ValueError(f"group must be int64 [{count}], got {group.dtype} {list(group.shape)}")
    if not np.array_equal(np.unique(group), np.arange(group.max() + 1)):
        raise ValueError("group must have all numbers from 0 up")


def renumbered(group: np.ndarray) -> np.ndarray:
    """Renumber the groups of some images of a split from 0 up without gaps, in the same order."""
    return np.unique(group, return_inverse=True)[1]


def read_meta(path: Path) -> Meta:
    """Read the metadata of a split: `meta.json`.

    Raises:
        ValueError: The file is missing or damaged, or a value is of the wrong type or range.
    """
    content = read_json(path)
    with parsing(path):
        return meta_of(content)


def meta_of(content: dict[str, Any]) -> Meta:
    """Check the metadata of a split, as a file states them.

    Args:
        content: A value for each attribute of `Meta`.

    Raises:
        TypeError: A key is missing or unknown.
        ValueError: A value is of the wrong type or range.
    """
    meta = Meta(**content)
    lists = {"classes": str, "mean": float, "std": float, "counts": int}
    for name, value in vars(meta).items():
        kind = int if name in ("channels", "image_size", "depth") else lists.get(name, str)
        values = value if name in lists else [value]
        if not isinstance(values, list) or not all(type(one) is kind for one in values):
            of = f"a list of {kind.__name__}" if name in lists else kind.__name__
            raise ValueError(f"{name} must be {of}, got {quote(value)}")
    if min(meta.channels, meta.image_size, len(meta.classes)) < 1:
        raise ValueError("channels, image_size and the number of classes must be 1 or more")
    if not len(meta.mean) == len(meta.std) == meta.channels:
        raise ValueError(f"mean and std must have one value per channel, {meta.channels}")
    if not (np.isfinite(meta.mean).all() and np.isfinite(meta.std).all() and min(meta.std) > 0):
        raise ValueError(f"mean and std must be finite and std > 0, got {meta.mean}, {meta.std}")
    if len(meta.counts) != len(meta.classes):
        raise ValueError(f"counts must have one value per class, {len(meta.classes)}")
    return meta
