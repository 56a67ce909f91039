"""Fetch the raw files of the data set and verify checksums, or list own images: data/raw/dataset.

Also fetch the published weights that blocks of the run begin with: pretrained/imagenet.
"""

import shutil

from thumbnets import paths, runtime
from thumbnets.artifacts import read_json
from thumbnets.data.datasets import OwnImages, get_dataset
from thumbnets.data.download import download
from thumbnets.data.folder import list_images
from thumbnets.inputs import stage_params
from thumbnets.stage import run_stage


def main() -> None:
    fetch_dataset()
    if networks := read_json(paths.stage_inputs("download")).get("weights"):
        from thumbnets.fetching import fetch_weights  # not before: importing torch takes seconds

        for network in networks:
            fetch_weights(network)


def fetch_dataset() -> None:
    data = stage_params("download").data
    dataset = get_dataset(data.name)
    if isinstance(dataset, OwnImages):
        list_images(data.rule, paths.DATASET)
        return
    if paths.fetched(data.name).is_dir():  # `download` checks what it finds
        shutil.copytree(paths.fetched(data.name), paths.DATASET, dirs_exist_ok=True)
    download(dataset, paths.DATASET, mirror=runtime.mirror())


if __name__ == "__main__":
    run_stage(main)
