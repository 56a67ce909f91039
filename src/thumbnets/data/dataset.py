"""What describes a data set: its files, where they are published, and how they are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from thumbnets.data.readers import Content


@dataclass(frozen=True)
class Archive:
    """One official file of a data set.

    Attributes:
        name: File name on the official mirrors, e.g. `train-images-idx3-ubyte.gz`.
        sha256: SHA-256 of the file, hexadecimal; if `unpacked`, of its decompressed content. Its
            first digits alone where no source states all 64.
        size: Size in bytes, of the same; None where no source states it.
        unpacked: Whether checksum and size are of the decompressed content, which is what is
            stored; gzip containers differ by mirror.
    """

    name: str
    sha256: str
    size: int | None
    unpacked: bool = True

    @property
    def file(self) -> str:
        """Name of the file in `data/raw/<dataset>/`."""
        return self.name.removesuffix(".gz") if self.unpacked else self.name


@dataclass(frozen=True, kw_only=True)
class Files:
    """Published files that `download` fetches together.

    Attributes:
        name: Name in messages; of a data set also in params.yaml and of `data/raw/<name>/`.
        title: Name in the report.
        folder: Name of its folder on a mirror.
        mirrors: Official addresses, each a folder of the archives.
        archives: Files that it consists of.
        package: Debian package that holds the archives, if any.
        bundled: Folder of an installed Python package that holds the archives, if any.
        otherwise: What else to do where no source answers.
    """

    name: str
    title: str
    folder: str
    mirrors: tuple[str, ...]
    archives: tuple[Archive, ...]
    package: str | None = None
    bundled: str | None = None
    otherwise: str = "or take the data bundled with scikit-learn: -S data.name=digits"


@dataclass(frozen=True, kw_only=True)
class Dataset(Files):
    """One data set.

    Attributes:
        classes: Class names, in the order of the labels; empty where the files contain them.
        reader: Function of its folder of files and the class names that returns its content.
        image_size: Height and width of the images that the reader returns, in pixels.
        channels: Channels of an image.
        class_count: Number of classes where the files contain their names.
        licence: The licence that its publisher states; None where none is known.
    """

    classes: tuple[str, ...]
    reader: Callable[[Path, tuple[str, ...]], Content]
    image_size: int = 28
    channels: int = 1
    class_count: int = 0
    licence: str | None = None

    @property
    def shape(self) -> dict[str, int]:
        """The arguments that fit a network to the data."""
        return {
            "in_channels": self.channels,
            "image_size": self.image_size,
            "num_classes": len(self.classes) or self.class_count,
        }

    def read(self, raw_folder: Path) -> Content:
        """Read the files that `download` wrote.

        Args:
            raw_folder: Folder of the files, `data/raw/<name>/`.

        Raises:
            ValueError: A file is damaged, or its labels do not fit the images or the classes.
            FileNotFoundError: A file is missing.
        """
        return self.reader(raw_folder, self.classes)


@dataclass(frozen=True)
class OwnImages:
    """A data set of image files that the user has in a folder, `data.path`; see `folder.py`.

    Attributes:
        name: Name in params.yaml (`data.name`).
        title: Name in the report.
    """

    name: str
    title: str
    licence: None = None  # `report.licence` says it

    @property
    def archives(self) -> tuple[Archive, ...]:
        """No files: nothing is downloaded."""
        return ()

    @property
    def shape(self) -> dict[str, int]:
        """Known once the images are processed.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"{self.name}: classes and channels are known once the images are there: run "
            f"`dvc exp run -S data.name={self.name} preprocess` first."
        )
