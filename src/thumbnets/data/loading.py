"""Data sets for use from Python, outside the pipeline."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from thumbnets import paths, runtime
from thumbnets.data.arrays import Split, read_split
from thumbnets.data.datasets import DATASETS, OwnImages, get_dataset
from thumbnets.data.download import download
from thumbnets.data.folder import list_images
from thumbnets.data.listed import FolderRule
from thumbnets.data.preprocess import read_dataset


def load(name_or_folder: str | Path, split: Literal["train", "test"], **rule: Any) -> Split:
    """Load images and labels of a known data set, a folder of images, or a preprocessed folder.

    Args:
        name_or_folder: A known data set, fetched to data/raw/<name> if it is not there; a folder
            that `preprocess` has written, such as data/processed; or a folder of images with a
            folder for each class.
        split: Name of the split.
        **rule: Options of a folder of images: `size`, `fit`, `test`, `seed` and `broken`, see
            `FolderRule`.

    Returns:
        images uint8 [N, C, H, W], labels int64 [N], and metadata. Folds only from a folder that
        `preprocess` has written. Large arrays of images are memory-mapped.

    Raises:
        ValueError: Neither a data set nor a folder has this name, or no source has the files.
    """
    name, folder = str(name_or_folder), Path(name_or_folder)
    if name not in DATASETS and (folder / split / "meta.json").is_file():
        return read_split(folder / split)
    if name not in DATASETS and folder.is_dir():
        return _load_images(FolderRule(str(folder), **rule), split)
    dataset = get_dataset(name)
    if isinstance(dataset, OwnImages):
        raise ValueError(f"{name} are images of your own: give the folder that they are in.")
    raw = paths.fetched(name)
    download(dataset, raw, mirror=runtime.mirror())
    return getattr(read_dataset(name, raw), split)


def _load_images(rule: FolderRule, split: str) -> Split:
    paths.RAW.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".folder-", dir=paths.RAW) as listing:  # not the pipeline's
        list_images(rule, Path(listing))
        return getattr(read_dataset("folder", Path(listing), rule), split)
