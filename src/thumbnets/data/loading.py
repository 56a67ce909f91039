"""Data sets for use from Python, outside the pipeline."""

import os
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pydantic import ValidationError

from thumbnets import paths, runtime
from thumbnets.choices import explain
from thumbnets.data.arrays import Split, read_split
from thumbnets.data.columns import check_columns
from thumbnets.data.datasets import DATASETS, OwnImages, get_dataset
from thumbnets.data.download import download
from thumbnets.data.folder import list_images
from thumbnets.data.listed import FolderRule
from thumbnets.data.names import shown
from thumbnets.data.preprocess import read_dataset
from thumbnets.registry import unknown


def load(name_or_folder: str | Path, split: Literal["train", "test"], **rule: Any) -> Split:
    """Load images and labels of a known data set, a folder of images, or a preprocessed folder.

    Args:
        name_or_folder: A known data set, fetched to data/raw/<name> if it is not there; a folder
            that `preprocess` has written, such as data/processed; or a folder of images with a
            folder for each class.
        split: Name of the split.
        **rule: Options of a folder of images: `size`, `fit`, `test`, `seed`, `broken`, `depth`,
            `max_pixels`, `list`, `group` and `leaks`, see `FolderRule`.

    Returns:
        images uint8 [N, C, H, W], labels int64 [N], and metadata. Folds only from a folder that
        `preprocess` has written. Large arrays of images are memory-mapped.

    Raises:
        ValueError: Neither a data set nor a folder has this name, no source has the files, or a
            split or an option is unknown.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be train or test, got {split!r}.")
    name, folder = str(name_or_folder), Path(name_or_folder)
    preprocessed = name not in DATASETS and (folder / split / "meta.json").is_file()
    if name not in DATASETS and folder.is_dir() and not preprocessed:
        return _load_images(_rule(folder, rule), split)
    if os.sep in name and not folder.is_dir():
        raise ValueError(f"{shown(name)}: there is no such folder.")
    if rule:
        raise ValueError(
            f"{shown(', '.join(rule))} can't be given for {shown(name)}: options are for a folder "
            "of images."
        )
    if preprocessed:
        return read_split(folder / split)
    try:
        dataset = get_dataset(name)
    except ValueError as error:
        raise ValueError(f"{error}. There is no such folder either.") from None
    if isinstance(dataset, OwnImages):
        raise ValueError(f"{name} are images of your own: give the folder that they are in.")
    raw = paths.fetched(name)
    download(dataset, raw, mirror=runtime.mirror())
    return getattr(read_dataset(name, raw), split)


def _rule(folder: Path, options: dict[str, Any]) -> FolderRule:
    known = [field.name for field in fields(FolderRule) if field.name != "path"]
    for name in options:
        if name not in known:
            raise ValueError(unknown("option of a folder", name, known))
    try:
        return FolderRule(str(folder), **options)
    except ValidationError as error:
        raise ValueError(f"{shown(str(folder))}: {explain(error, FolderRule)}") from None


def _load_images(rule: FolderRule, split: str) -> Split:
    check_columns(rule)
    with TemporaryDirectory(prefix="thumbnets-") as listing:  # not in the pipeline's folder
        list_images(rule, Path(listing))
        return getattr(read_dataset("folder", Path(listing), rule), split)
