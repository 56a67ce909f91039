"""The table of data sets: what each is called, which files it consists of, how they are read.

A new data set is one row of `DATASETS` (and a reader, if none here fits its format).
Free of torch and scikit-learn at import, because the CLI lists this table.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Archive:
    """One official file of a data set; gzip containers differ by mirror, so content is described.

    Attributes:
        name: file name on the official mirrors, e.g. `train-images-idx3-ubyte.gz`.
        sha256: SHA-256 of the decompressed content, hexadecimal.
        size: length of the decompressed content in bytes.
    """

    name: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        """Name of the decompressed file in `data/raw/<dataset>/`."""
        return self.name.removesuffix(".gz")


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels of the official train or test part.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N], indices into the classes of the data set.
    """

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """One data set.

    Attributes:
        name: as in params.yaml (`data.name`) and `data/raw/<name>/`.
        title: as in the report.
        classes: class names, in the order of the labels.
        folder: its folder below a mirror, named as on torchvision's mirrors.
        mirrors: official addresses, each a folder of the archives.
        package: Debian package that holds the archives, if any.
        archives: the files it consists of.
        reader: turns its folder of decompressed files and the number of classes into its splits.
        bundled: folder of an installed Python package that holds the archives, if any.
        image_size: height and width that the reader gives, in pixels.
        channels: of an image.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    folder: str
    mirrors: tuple[str, ...]
    package: str | None
    archives: tuple[Archive, ...]
    reader: Callable[[Path, int], dict[str, Split]]
    bundled: str | None = None
    image_size: int = 28
    channels: int = 1

    @property
    def shape(self) -> dict[str, int]:
        """The arguments that fit a network to the data."""
        return {
            "in_channels": self.channels,
            "image_size": self.image_size,
            "num_classes": len(self.classes),
        }

    def read(self, raw_folder: Path) -> dict[str, Split]:
        """Read the decompressed files that `download` wrote.

        Args:
            raw_folder: `data/raw/<name>/`.

        Returns:
            The splits "train" and "test".

        Raises:
            ValueError: a file is damaged, or its labels do not fit the images or the classes.
            FileNotFoundError: a file is missing.
        """
        return self.reader(raw_folder, len(self.classes))


def get_dataset(name: str) -> Dataset:
    """Look a data set up by name.

    Raises:
        ValueError: there is no such data set.
    """
    if name in DATASETS:
        return DATASETS[name]
    near = get_close_matches(name.lower().replace("-", "_"), DATASETS, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(
        f"Unknown data set {name!r}.{hint} Known: {', '.join(DATASETS)}. "
        "To add it: a row in src/thumbnets/data/datasets.py"
    )


def read_idx(path: Path, *, dims: int) -> np.ndarray:
    """Read a decompressed IDX file of unsigned bytes.

    Args:
        path: the file.
        dims: number of dimensions it must have, 1 for labels, 3 for images.

    Returns:
        A uint8 array of `dims` dimensions.

    Raises:
        ValueError: the file is no IDX file of that kind, or its length is not what it states.

    Source: LeCun, Cortes and Burges, "The MNIST database", section "File formats".
    """
    content = np.fromfile(path, dtype=np.uint8)
    magic, start = bytes([0, 0, 8, dims]), 4 + 4 * dims  # 8: the type code of unsigned bytes
    head = content[:start].tobytes()
    if head[:4] != magic or len(head) < start:
        raise ValueError(
            f"{path}: an IDX file of bytes with {dims} dimension(s) begins with {magic.hex()} and "
            f"a header of {start} bytes, got {head.hex() or 'an empty file'}."
        )
    shape = tuple(np.frombuffer(head, dtype=">u4", offset=4).tolist())
    if len(content) != start + math.prod(shape):
        raise ValueError(
            f"{path}: shape {shape} needs {start + math.prod(shape)} bytes, got {len(content)}."
        )
    return content[start:].reshape(shape)


def _read_idx_splits(folder: Path, classes: int) -> dict[str, Split]:
    """Read the four IDX files of MNIST and of those that copy its form; 28 x 28, one channel."""
    splits = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        source = folder / f"{prefix}-labels-idx1-ubyte"
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte", dims=3)
        labels = read_idx(source, dims=1)
        splits[split] = _checked(images[:, None], labels, classes=classes, source=source)
    return splits


def _read_digits(folder: Path, classes: int) -> dict[str, Split]:
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
    return {
        split: _checked(images[rows], labels[rows], classes=classes, source=source)
        for split, rows in zip(("train", "test"), next(folds), strict=True)
    }


def _checked(images: np.ndarray, labels: np.ndarray, *, classes: int, source: Path) -> Split:
    """Make a split, once its labels fit its images and the classes; `source` is named if not."""
    if len(images) != len(labels):
        raise ValueError(f"{source}: {len(images)} images need as many labels, got {len(labels)}.")
    outside = labels[(labels < 0) | (labels >= classes)]
    if len(outside):
        raise ValueError(f"{source}: labels must be in 0..{classes - 1}, got {outside[0]}.")
    return Split(images, labels.astype(np.int64))


_DIGITS = tuple("0123456789")

_ROWS = (
    Dataset(
        name="fashion_mnist",
        title="Fashion-MNIST",
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        folder="fashion-mnist",
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        package="dataset-fashion-mnist",
        archives=(
            Archive(
                "train-images-idx3-ubyte.gz",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                47_040_016,
            ),
            Archive(
                "train-labels-idx1-ubyte.gz",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                60_008,
            ),
            Archive(
                "t10k-images-idx3-ubyte.gz",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                7_840_016,
            ),
            Archive(
                "t10k-labels-idx1-ubyte.gz",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                10_008,
            ),
        ),
        reader=_read_idx_splits,
    ),
    Dataset(
        name="mnist",
        title="MNIST",
        classes=_DIGITS,
        folder="mnist",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
        package=None,
        archives=(
            Archive(
                "train-images-idx3-ubyte.gz",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                47_040_016,
            ),
            Archive(
                "train-labels-idx1-ubyte.gz",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                60_008,
            ),
            Archive(
                "t10k-images-idx3-ubyte.gz",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                7_840_016,
            ),
            Archive(
                "t10k-labels-idx1-ubyte.gz",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                10_008,
            ),
        ),
        reader=_read_idx_splits,
    ),
    Dataset(
        name="digits",
        title="Digits (scikit-learn)",
        classes=_DIGITS,
        folder="digits",
        mirrors=(),
        package=None,
        archives=(
            Archive(
                "digits.csv.gz",
                "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
                264_712,
            ),
        ),
        reader=_read_digits,
        bundled="sklearn/datasets/data",
    ),
)

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in _ROWS}
assert len(DATASETS) == len(_ROWS), "two data sets have the same name"
