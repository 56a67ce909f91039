"""Data sets for use from Python, outside the pipeline."""

from pathlib import Path
from typing import Literal

from thumbnets import paths, runtime
from thumbnets.data.arrays import Split, read_split
from thumbnets.data.datasets import DATASETS, get_dataset
from thumbnets.data.download import download
from thumbnets.data.preprocess import read_dataset


def load(name_or_folder: str | Path, split: Literal["train", "test"]) -> Split:
    """Images and labels of a data set by name, or of a folder that `preprocess` has written.

    Args:
        name_or_folder: A known data set, fetched to data/raw/<name> if it is not there; or a
            folder with train/ and test/ such as data/processed.
        split: Which part.

    Returns:
        images uint8 [N, C, H, W], labels int64 [N], and what is known of them. Folds only from a
        folder.

    Raises:
        ValueError: Neither a known data set nor such a folder, or no source has the files.
    """
    folder = Path(name_or_folder)
    if str(name_or_folder) not in DATASETS and (folder / split).is_dir():
        return read_split(folder / split)
    dataset = get_dataset(str(name_or_folder))
    raw = paths.raw(dataset.name)
    download(dataset, raw, mirror=runtime.mirror())
    return read_dataset(dataset.name, raw)[split]
