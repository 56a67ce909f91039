"""Fetch the raw files of the data set, checksums verified, or list own images: data/raw/<name>/."""

from pathlib import Path

from thumbnets import paths, runtime
from thumbnets.data.datasets import OwnImages, get_dataset
from thumbnets.data.download import download
from thumbnets.data.folder import list_images
from thumbnets.params import load_params
from thumbnets.stage import run_stage


def main() -> None:
    data = load_params().data
    dataset, raw = get_dataset(data.name), paths.raw(data.name)
    if isinstance(dataset, OwnImages):
        list_images(Path(data.path), raw)
    else:
        download(dataset, raw, mirror=runtime.mirror())


if __name__ == "__main__":
    run_stage(main)
