"""Readers of the formats that data sets are published in: published files to uint8 arrays.

Large images stay on disk: readers may return memory maps, also transposed ones. torchvision and
scikit-learn are imported by those who need them, so that the table of data sets is light.
"""

import gzip
import math
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np
from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper


@dataclass(frozen=True, eq=False)
class Part:
    """Images and labels of the train or test part.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N], indices into the classes of the data set.
        files: For images of the user's own their N files, to be named in findings.
    """

    images: np.ndarray
    labels: np.ndarray
    files: list[str] | None = None


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
        ValueError: The file is no IDX file of that kind, or its length is not what it states.

    Source: LeCun, Cortes and Burges, "The MNIST database", section "File formats".
    """
    if path.suffix != ".gz":
        return _parse_idx(np.fromfile(path, dtype=np.uint8), dims=dims, code=code, source=path)
    with gzip.open(path) as file:
        content = np.frombuffer(bytearray(file.read()), np.uint8)
    return _parse_idx(content, dims=dims, code=code, source=path)


_IDX_TYPES = {8: np.dtype(np.uint8), 12: np.dtype(">i4")}


def _parse_idx(content: np.ndarray, *, dims: int, code: int, source: object) -> np.ndarray:
    """As `read_idx`, of bytes that came from `source`."""
    magic, start = bytes([0, 0, code, dims]), 4 + 4 * dims
    head = content[:start].tobytes()
    if head[:4] != magic or len(head) < start:
        raise ValueError(
            f"{source}: an IDX file of this kind begins with {magic.hex()} and a header of "
            f"{start} bytes ({dims} dimension(s)), got {head.hex() or 'an empty file'}."
        )
    shape = tuple(np.frombuffer(head, dtype=">u4", offset=4).tolist())
    length = start + math.prod(shape) * _IDX_TYPES[code].itemsize
    if len(content) != length:
        raise ValueError(f"{source}: shape {shape} needs {length} bytes, got {len(content)}.")
    return content[start:].view(_IDX_TYPES[code]).reshape(shape)


def read_mnist(folder: Path, classes: tuple[str, ...], *, suffix: str = "") -> Content:
    """Read the four IDX files of MNIST and of those that copy its form; 28 x 28, one channel."""
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
        folder: Where the archive lies.
        classes: Class names.
        kind: `balanced`, `letters` or `digits`.
        first: Label of the first class.
    """
    parts = {}
    with zipfile.ZipFile(folder / "gzip.zip") as archive:

        def read(name: str, dims: int) -> np.ndarray:
            with archive.open(name) as member, gzip.open(member) as file:
                content = np.frombuffer(bytearray(file.read()), np.uint8)
            return _parse_idx(content, dims=dims, code=8, source=f"{archive.filename}/{name}")

        for part in ("train", "test"):
            prefix = f"gzip/emnist-{kind}-{part}"
            images = read(f"{prefix}-images-idx3-ubyte.gz", 3).swapaxes(1, 2)
            labels = read(f"{prefix}-labels-idx1-ubyte.gz", 1).astype(np.int64) - first
            source = f"{archive.filename}/{prefix}"
            parts[part] = _checked(images[:, None], labels, classes=classes, source=source)
    return Content(classes, **parts)


def read_cifar(folder: Path, classes: tuple[str, ...], *, kind: str) -> Content:
    """Read CIFAR-10 or CIFAR-100 with torchvision, which checks each file in the archive.

    Args:
        folder: Where the archive lies.
        classes: Class names; empty: those in the archive.
        kind: `CIFAR10` or `CIFAR100`, the class in torchvision.

    Raises:
        ValueError: A file in the archive is not the published one.
    """
    from torchvision import datasets

    reader = getattr(datasets, kind)
    source = folder / reader.filename
    with TemporaryDirectory(prefix=".unpack-", dir=folder.parent) as unpacked:
        with _tar(source) as archive:
            archive.extractall(unpacked)
        try:
            read = {part: reader(unpacked, train=part == "train") for part in ("train", "test")}
        except RuntimeError as error:
            raise ValueError(f"{source}: {error}") from None
    classes = classes or tuple(read["train"].classes)
    parts = {
        name: _checked(
            part.data.transpose(0, 3, 1, 2), np.array(part.targets), classes=classes, source=source
        )
        for name, part in read.items()
    }
    return Content(classes, **parts)


def read_svhn(folder: Path, classes: tuple[str, ...], *, extra: bool = False) -> Content:
    """Read SVHN's cropped digits with torchvision; `extra`: 531,131 easier images train too.

    Raises:
        ValueError: A file is not the published one.
    """
    from torchvision.datasets import SVHN

    def read(split: str) -> Part:
        try:
            part = SVHN(str(folder), split=split)
        except RuntimeError as error:
            raise ValueError(f"{folder}, {split}: {error}") from None
        return _checked(part.data, part.labels, classes=classes, source=folder / part.filename)

    train = read("train")
    if extra:
        more = read("extra")
        images = on_disk((train.images, more.images), folder.parent)
        train = Part(images, np.concatenate((train.labels, more.labels)))
    return Content(classes, train, read("test"))


def read_stl10(folder: Path, classes: tuple[str, ...], *, unlabelled: bool = False) -> Content:
    """Read STL-10: 96 x 96, three channels; column by column in its files, and labels from 1.

    torchvision would read all 100,000 unlabelled images into memory to give the others.

    Source: Coates, Lee and Ng 2011, section 4; the file format is that of its web page.
    """
    names = [f"{part}_{kind}.bin" for part in ("train", "test") for kind in "Xy"]
    names += ["unlabeled_X.bin"] * unlabelled
    with TemporaryDirectory(prefix=".unpack-", dir=folder.parent) as unpacked:
        files = _unpacked(folder / "stl10_binary.tar.gz", "stl10_binary", names, Path(unpacked))

        def images(name: str) -> np.ndarray:  # which live on when the file has lost its name
            pixels = np.memmap(files[name], np.uint8, "r").reshape(-1, 3, 96, 96)
            return pixels.swapaxes(2, 3)

        parts = {
            part: _checked(
                images(f"{part}_X.bin"),
                np.fromfile(files[f"{part}_y.bin"], np.uint8).astype(np.int64) - 1,
                classes=classes,
                source=folder / "stl10_binary.tar.gz",
            )
            for part in ("train", "test")
        }
        return Content(
            classes, **parts, unlabelled=images("unlabeled_X.bin") if unlabelled else None
        )


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar archive, to be read from its beginning to its end, with a bar if that takes long."""
    bar = tqdm(
        desc=f"unpacking {path.name}",
        total=path.stat().st_size,
        unit="B",
        unit_scale=True,
        leave=False,
        delay=2,
        disable=None,
    )
    with path.open("rb") as file, bar:
        stream = CallbackIOWrapper(bar.update, file, "read")
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            # An argument `filter` is refused by Python before 3.11.4, which has none.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            yield archive


def _unpacked(archive: Path, inside: str, names: list[str], folder: Path) -> dict[str, Path]:
    """Unpack some files of a tar archive, in the order in which they come."""
    missing = set(names)
    with _tar(archive) as tar:
        for member in tar:
            name = member.name.removeprefix("./").removeprefix(f"{inside}/")
            if name in missing:
                tar.extract(member, folder)
                (folder / member.name).rename(folder / name)
                missing.remove(name)
            if not missing:
                break
    if missing:
        raise ValueError(f"{archive} lacks {', '.join(sorted(missing))}.")
    return {name: folder / name for name in names}


def read_usps(folder: Path, classes: tuple[str, ...]) -> Content:
    """Read USPS with torchvision; 16 x 16, one channel, from -1..1 to 0..255 rounded down."""
    from torchvision.datasets import USPS

    parts = {}
    for name in ("train", "test"):
        part = USPS(str(folder), train=name == "train")
        source = folder / USPS.split_list[name][1]
        labels = np.array(part.targets)
        parts[name] = _checked(part.data[:, None], labels, classes=classes, source=source)
    return Content(classes, **parts)


def read_digits(folder: Path, classes: tuple[str, ...]) -> Content:
    """Read scikit-learn's 1,797 digits and bring them to the form of MNIST.

    A line of `digits.csv` has the 64 pixels of an 8 x 8 image, 0..16, and the label. Pixels are
    scaled to 0..255 and rounded, each is repeated 3 x 3, and 2 black pixels are put on each side:
    uint8 [N, 1, 28, 28]. The set has no official test part. Here it is a stratified fifth: fold 0
    of `StratifiedKFold(5, shuffle=True, random_state=0)`; both parts keep the order of the file.
    """
    from sklearn.model_selection import StratifiedKFold  # half a second, only digits need it

    source = folder / "digits.csv"
    table = np.loadtxt(source, delimiter=",", dtype=np.int64, ndmin=2)
    if table.shape[1] != 65 or table[:, :64].min() < 0 or table[:, :64].max() > 16:
        raise ValueError(f"{source}: each line must have 64 pixels in 0..16 and a label.")
    small = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    large = small.repeat(3, axis=2).repeat(3, axis=3)  # [N, 1, 24, 24]
    images = np.pad(large, ((0, 0), (0, 0), (2, 2), (2, 2)))  # [N, 1, 28, 28]
    labels = table[:, 64]
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(images, labels)
    parts = {
        name: _checked(images[rows], labels[rows], classes=classes, source=source)
        for name, rows in zip(("train", "test"), next(folds), strict=True)
    }
    return Content(classes, **parts)


def on_disk(parts: Iterable[np.ndarray], folder: Path) -> np.ndarray:
    """Join arrays [N, ...] in a nameless file that ends with the process and takes no memory.

    Args:
        parts: Arrays of one dtype that are alike but for their first dimension.
        folder: Where there is room.

    Returns:
        A memory map of all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as file:
        for part in parts:
            for start in range(0, len(part), 1000):
                file.write(np.ascontiguousarray(part[start : start + 1000]))
        file.flush()
        return np.memmap(file, part.dtype, "r").reshape(-1, *part.shape[1:])


def _checked(
    images: np.ndarray, labels: np.ndarray, *, classes: tuple[str, ...], source: object
) -> Part:
    """Make a part, once its labels fit its images and the classes; `source` is named if not."""
    if len(images) != len(labels):
        raise ValueError(f"{source}: {len(images)} images need as many labels, got {len(labels)}.")
    outside = labels[(labels < 0) | (labels >= len(classes))]
    if len(outside):
        raise ValueError(f"{source}: labels must be in 0..{len(classes) - 1}, got {outside[0]}.")
    return Part(images, labels.astype(np.int64))
