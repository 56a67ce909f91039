"""Processed arrays: what `preprocess` writes and training and evaluation read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thumbnets.artifacts import read_json, write_array, write_json


@dataclass(frozen=True)
class Meta:
    """What is known of a split besides its pixels.

    Attributes:
        dataset: Name of the data set.
        classes: Names of the classes, in the order of the labels.
        channels: Channels of an image.
        image_size: Height and width in pixels.
        mean: Mean of each channel over the training split, as a fraction of 255.
        std: Standard deviation of each channel, likewise.
        counts: Images of each class in this split.
        sha256: Checksum of `images.npy` followed by `labels.npy`.
    """

    dataset: str
    classes: list[str]
    channels: int
    image_size: int
    mean: list[float]
    std: list[float]
    counts: list[int]
    sha256: str

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
        meta: What is known of them.
        fold: int16 [N], the fold of each image; only in the training split.
    """

    images: np.ndarray
    labels: np.ndarray
    meta: Meta
    fold: np.ndarray | None = None


def write_split(folder: Path, split: Split) -> None:
    """Write images.npy, labels.npy, meta.json and, if the split has folds, fold.npy."""
    folder.mkdir(parents=True, exist_ok=True)
    write_array(folder / "images.npy", split.images)
    write_array(folder / "labels.npy", split.labels)
    if split.fold is not None:
        write_array(folder / "fold.npy", split.fold)
    write_json(folder / "meta.json", vars(split.meta))


def read_split(folder: Path) -> Split:
    """Read what `write_split` wrote.

    Raises:
        ValueError: The folder is missing or incomplete.
    """
    try:
        fold = folder / "fold.npy"
        return Split(
            images=np.load(folder / "images.npy"),
            labels=np.load(folder / "labels.npy"),
            meta=Meta(**read_json(folder / "meta.json")),
            fold=np.load(fold) if fold.exists() else None,
        )
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename} is missing: run `dvc repro preprocess`.") from None
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(f"{folder} is damaged ({error}): remove it, `dvc repro`.") from None
