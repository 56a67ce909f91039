"""Fetch the raw files of the data set, checksums verified: data/raw/<dataset>/."""

from thumbnets import paths, runtime
from thumbnets.data.datasets import get_dataset
from thumbnets.data.download import download
from thumbnets.params import load_params
from thumbnets.stage import run_stage


def main() -> None:
    name = load_params().data.name
    download(get_dataset(name), paths.raw(name), mirror=runtime.mirror())


if __name__ == "__main__":
    run_stage(main)
