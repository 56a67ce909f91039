"""Readers of the formats that data sets are published in: published files to uint8 arrays.

Large images stay on disk: readers may return memory maps, also transposed ones. torchvision and
scikit-learn are imported only where needed, so that the table of data sets imports fast.
"""

import bz2
import gzip
import math
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

import numpy as np

from thumbnets.artifacts import naming, parsing
from thumbnets.data.archives import (
    DEFLATE_RATIO,
    open_member,
    read_exactly,
    read_text,
    unpack_tar,
)
from thumbnets.messages import quote

_AGAIN = "remove it and run `dvc repro download`"
_LONGEST_IDX = 1 << 28  # bytes; the largest of our sets, EMNIST digits, has 188 million
_LONGEST_PICKLE = 1 << 28  # bytes; CIFAR-100 has 155 million
_LONGEST_STL10 = 3 << 30  # bytes; the unlabelled images are 2.8 billion
_LONGEST_TEXT = 1 << 26  # bytes; USPS has 20 million


@dataclass(frozen=True, eq=False)
class Part:
    """Images and labels of the train or test part.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N], indices into the classes of the data set.
        files: For the user's own images, their N files, to be named in findings.
        checksums: SHA-256 of those files.
        sides: int64 [N, 2], width and height of those files in pixels.
    """

    images: np.ndarray
    labels: np.ndarray
    files: list[str] | None = None
    checksums: list[str] | None = None
    sides: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Content:
    """What the files of a data set hold.

    Attributes:
        classes: Class names, in the order of the labels.
        train, test: The two parts.
        unlabelled: uint8 [M, C, H, W], images without labels, for pre-training.
        broken: Files that were left out because they can't be read.
    """

    classes: tuple[str, ...]
    train: Part
    test: Part
    unlabelled: np.ndarray | None = None
    broken: list[str] = field(default_factory=list)

    @property
    def parts(self) -> dict[str, Part]:
        """The parts by name."""
        return {"train": self.train, "test": self.test}


def read_idx(path: Path, *, dims: int, code: int = 8) -> np.ndarray:
    """Read an IDX file, gzipped if its name says so.

    Args:
        path: The file.
        dims: Number of dimensions it must have, 1 for labels, 3 for images.
        code: Type that it must have: 8 for unsigned bytes, 12 for 32-bit integers.

    Returns:
        An array of `dims` dimensions, uint8 or big-endian int32.

    Raises:
        ValueError: The file is not an IDX file of that kind, or has another length than it states.
        FileNotFoundError: The file is missing.

    Source: LeCun, Cortes and Burges, "The MNIST database", section "File formats".
    """
    size = path.stat().st_size
    with parsing(path, _AGAIN), path.open("rb") as file:
        if path.suffix != ".gz":
            return _parse_idx(file, size, dims=dims, code=code)
        with gzip.open(file) as stream:
            return _parse_idx(stream, size * DEFLATE_RATIO, dims=dims, code=code)


_IDX_TYPES = {8: np.dtype(np.uint8), 12: np.dtype(">i4")}


def _parse_idx(stream: IO[bytes], longest: int, *, dims: int, code: int) -> np.ndarray:
    """As `read_idx`, for a stream that can't have more than `longest` bytes."""
    magic, start = bytes([0, 0, code, dims]), 4 + 4 * dims
    head = stream.read(start)
    if head[:4] != magic or len(head) < start:
        raise ValueError(
            f"an IDX file of this kind begins with {magic.hex()} and a header of "
            f"{start} bytes ({dims} dimension(s)), got {head.hex() or 'an empty file'}"
        )
    shape = tuple(np.frombuffer(head, dtype=">u4", offset=4).tolist())
    length = math.prod(shape) * _IDX_TYPES[code].itemsize
    if start + length > (longest := min(longest, _LONGEST_IDX)):
        raise ValueError(f"shape {shape} needs {start + length:,} bytes, got at most {longest:,}")
    content = np.frombuffer(read_exactly(stream, length), np.uint8)
    return content.view(_IDX_TYPES[code]).reshape(shape)


def read_mnist(folder: Path, classes: tuple[str, ...], *, suffix: str = "") -> Content:
    """Read the four IDX files of MNIST, or of a set in its form; 28 x 28, one channel."""
    parts = {}
    for name, prefix in (("train", "train"), ("test", "t10k")):
        source = folder / f"{prefix}-labels-idx1-ubyte{suffix}"
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", dims=3)
        labels = read_idx(source, dims=1)
        parts[name] = _checked(images[:, None], labels, classes=classes, source=source)
    return Content(classes, **parts)


def read_qmnist(folder: Path, classes: tuple[str, ...]) -> Content:
    """Read QMNIST: the training images of MNIST, and the 60,000 test images it was cut from.

    A label has eight numbers, of which the first is the class.

    Source: Yadav and Bottou 2019, arXiv:1905.10498, appendix.
    """
    parts = {}
    for name in ("train", "test"):
        source = folder / f"qmnist-{name}-labels-idx2-int.gz"
        images = read_idx(folder / f"qmnist-{name}-images-idx3-ubyte.gz", dims=3)
        labels = read_idx(source, dims=2, code=12)[:, 0]
        parts[name] = _checked(images[:, None], labels, classes=classes, source=source)
    return Content(classes, **parts)


def read_emnist(folder: Path, classes: tuple[str, ...], *, kind: str, first: int = 0) -> Content:
    """Read one of the sets in EMNIST's `gzip.zip`; 28 x 28, one channel.

    The files hold images column by column; here they stand upright (torchvision's do not).

    Args:
        folder: Folder of the archive.
        classes: Class names.
        kind: Name of the set: `balanced`, `letters` or `digits`.
        first: Label of the first class.

    Raises:
        ValueError: The archive or a member is damaged or missing, or has other labels.
    """
    path, arrays = folder / "gzip.zip", {}
    names = {
        (part, content): f"gzip/emnist-{kind}-{part}-{content}-idx{dims}-ubyte.gz"
        for part in ("train", "test")
        for content, dims in (("images", 3), ("labels", 1))
    }
    with path.open("rb") as file, parsing(path, _AGAIN), zipfile.ZipFile(file) as archive:
        for (part, content), name in names.items():
            with open_member(archive, name) as (member, size), gzip.open(member) as stream:
                dims = 3 if content == "images" else 1
                arrays[part, content] = _parse_idx(stream, size * DEFLATE_RATIO, dims=dims, code=8)
    return Content(
        classes,
        **{
            part: _checked(
                arrays[part, "images"].swapaxes(1, 2)[:, None],
                arrays[part, "labels"].astype(np.int64) - first,
                classes=classes,
                source=f"{path}/{names[part, 'labels']}",
            )
            for part in ("train", "test")
        },
    )


def read_cifar(folder: Path, classes: tuple[str, ...], *, kind: str) -> Content:
    """Read CIFAR-10 or CIFAR-100 with torchvision, which checks each file in the archive.

    The files are pickles: torchvision compares their MD5 with the published one before it opens
    them.

    Args:
        folder: Folder of the archive.
        classes: Class names; empty: those in the archive.
        kind: Class of torchvision, `CIFAR10` or `CIFAR100`.

    Raises:
        ValueError: The archive is damaged, or a file in it is not the published one.
    """
    from torchvision import datasets

    reader = getattr(datasets, kind)
    source, inside = folder / reader.filename, reader.base_folder
    names = [name for name, _ in (*reader.train_list, *reader.test_list)]
    names.append(reader.meta["filename"])
    with TemporaryDirectory(prefix=".unpack-", dir=folder.parent) as unpacked:
        target = Path(unpacked, inside)
        target.mkdir()
        with parsing(source, _AGAIN):
            unpack_tar(source, inside, names, target, longest=_LONGEST_PICKLE)
            read = {part: reader(unpacked, train=part == "train") for part in ("train", "test")}
    classes = classes or tuple(read["train"].classes)
    parts = {
        name: _checked(
            part.data.transpose(0, 3, 1, 2), np.array(part.targets), classes=classes, source=source
        )
        for name, part in read.items()
    }
    return Content(classes, **parts)


def read_svhn(folder: Path, classes: tuple[str, ...], *, extra: bool = False) -> Content:
    """Read SVHN's cropped digits with torchvision; `extra` adds 531,131 easier training images.

    Raises:
        ValueError: A file is not the published one, by its MD5.
    """
    from torchvision.datasets import SVHN

    def read(split: str) -> Part:
        with parsing(folder / SVHN.split_list[split][1], _AGAIN):
            part = SVHN(str(folder), split=split)
        return _checked(part.data, part.labels, classes=classes, source=folder / part.filename)

    train = read("train")
    if extra:
        more = read("extra")
        images = on_disk((train.images, more.images), folder.parent)
        train = Part(images, np.concatenate((train.labels, more.labels)))
    return Content(classes, train, read("test"))


def read_stl10(folder: Path, classes: tuple[str, ...], *, unlabelled: bool = False) -> Content:
    """Read STL-10: 96 x 96, three channels; column by column in its files, and labels from 1.

    torchvision would read all 100,000 unlabelled images into memory to return the others.

    Source: Coates, Lee and Ng 2011, section 4; the file format is that of its web page.
    """
    names = [f"{part}_{kind}.bin" for part in ("train", "test") for kind in "Xy"]
    names += ["unlabeled_X.bin"] * unlabelled
    path, arrays = folder / "stl10_binary.tar.gz", {}
    with TemporaryDirectory(prefix=".unpack-", dir=folder.parent) as unpacked:
        with parsing(path, _AGAIN):
            target, longest = Path(unpacked), _LONGEST_STL10
            files = unpack_tar(path, "stl10_binary", names, target, longest=longest)
            for name, file in files.items():
                content = np.memmap(file, np.uint8, "r")  # lives on when the file is removed
                images = name.endswith("_X.bin")
                arrays[name] = content.reshape(-1, 3, 96, 96).swapaxes(2, 3) if images else content
    parts = {
        part: _checked(
            arrays[f"{part}_X.bin"],
            arrays[f"{part}_y.bin"].astype(np.int64) - 1,
            classes=classes,
            source=path,
        )
        for part in ("train", "test")
    }
    return Content(classes, **parts, unlabelled=arrays.get("unlabeled_X.bin"))


def read_usps(folder: Path, classes: tuple[str, ...]) -> Content:
    """Read USPS; 16 x 16, one channel, from -1..1 to 0..255 rounded down, as torchvision does.

    A line has the label, 1 to 10, and the pixels as `place:value`.

    Raises:
        ValueError: A file is damaged, or a line has other values.
    """
    parts = {}
    for name, file_name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        source = folder / file_name
        with source.open("rb") as file, parsing(source, _AGAIN), bz2.open(file) as stream:
            lines = [line.split() for line in read_text(stream, _LONGEST_TEXT).splitlines()]
            pixels = [[cell.split(":")[-1] for cell in cells[1:]] for cells in lines]
            images = np.asarray(pixels, dtype=np.float32).reshape(-1, 1, 16, 16)
            labels = np.array([_whole(cells[0]) for cells in lines], np.int64) - 1
            if not (np.abs(images) <= 1).all():
                raise ValueError("pixels must be in -1..1")
        images = ((images + 1) / 2 * 255).astype(np.uint8)
        parts[name] = _checked(images, labels, classes=classes, source=source)
    return Content(classes, **parts)


def _whole(text: str) -> int:
    """A number of up to nine digits; `1.5` and `nan` are none."""
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise ValueError(f"must be a whole number, got {quote(text)}")
    return int(text)


def read_digits(folder: Path, classes: tuple[str, ...]) -> Content:
    """Read scikit-learn's 1,797 digits and bring them to the form of MNIST.

    A line of `digits.csv` has the 64 pixels of an 8 x 8 image, 0..16, and the label. Pixels are
    scaled to 0..255 and rounded, each is repeated 3 x 3, and 2 black pixels are put on each side:
    uint8 [N, 1, 28, 28]. The set has no official test part. Here it is a stratified fifth: fold 0
    of `StratifiedKFold(5, shuffle=True, random_state=0)`; both parts keep the order of the file.
    """
    from thumbnets.data.division import class_folds  # the list of data sets needs no folds

    source = folder / "digits.csv"
    with source.open("rb") as file, parsing(source, _AGAIN):
        lines = read_text(file, _LONGEST_TEXT).splitlines()
        table = np.array([[_whole(cell) for cell in line.split(",")] for line in lines], np.int64)
        if table.ndim != 2 or table.shape[1] != 65 or not ((0 <= table) & (table <= 16)).all():
            raise ValueError("each line must have 64 pixels in 0..16 and a label")
    small = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    large = small.repeat(3, axis=2).repeat(3, axis=3)  # [N, 1, 24, 24]
    images = np.pad(large, ((0, 0), (0, 0), (2, 2), (2, 2)))  # [N, 1, 28, 28]
    labels = table[:, 64]
    fold = class_folds(labels, 5, seed=0)
    parts = {
        name: _checked(images[of_part], labels[of_part], classes=classes, source=source)
        for name, of_part in {"train": fold != 0, "test": fold == 0}.items()
    }
    return Content(classes, **parts)


def on_disk(parts: Iterable[np.ndarray], folder: Path) -> np.ndarray:
    """Join arrays [N, ...] in a nameless file that ends with the process and takes no memory.

    Args:
        parts: Arrays of one dtype that are alike but for their first dimension.
        folder: Folder on the disk that takes the file.

    Returns:
        A memory map of all of them.

    Raises:
        OSError: The disk is full or read-only; the message names the folder.
    """
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        nameless = TemporaryFile(dir=folder)
    with nameless as file:
        for part in parts:
            for start in range(0, len(part), 1000):
                with naming(folder):
                    file.write(np.ascontiguousarray(part[start : start + 1000]))
        with naming(folder):
            file.flush()
            return np.memmap(file, part.dtype, "r").reshape(-1, *part.shape[1:])


def _checked(
    images: np.ndarray, labels: np.ndarray, *, classes: tuple[str, ...], source: object
) -> Part:
    """Make a part after checking its images and labels; `source` is named if they do not fit."""
    if images.ndim != 4 or not images.size:
        raise ValueError(f"{source}: images must be [N, C, H, W] and not empty.")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{source}: labels must be whole numbers, got {labels.dtype}.")
    if len(images) != len(labels):
        raise ValueError(f"{source}: {len(images)} images need as many labels, got {len(labels)}.")
    outside = labels[(labels < 0) | (labels >= len(classes))]
    if len(outside):
        raise ValueError(f"{source}: labels must be in 0..{len(classes) - 1}, got {outside[0]}.")
    return Part(images, labels.astype(np.int64))
