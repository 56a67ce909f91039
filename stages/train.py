"""Train one model with one seed: weights, logits on its validation fold, learning curve.

A training that is already finished is found by its inputs and not repeated: `thumbnets train` runs
several at once and stores them. One that another process is running is waited for.
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from thumbnets import paths
from thumbnets.artifacts import read_json
from thumbnets.stage import run_stage
from thumbnets.store import project_store, training_files, training_key
from thumbnets.training.settings import ModelSettings


def main(slot: str, seed: str) -> None:
    settings = ModelSettings.model_validate(read_json(paths.training_inputs(slot))["settings"])
    key = training_key(slot, int(seed))
    work = partial(train, settings, int(seed), key)
    title = f"{settings.name}, seed {seed}"
    project_store().finish(key, training_files(slot, int(seed)), title, work)


def train(settings: ModelSettings, seed: int, key: str, files: Mapping[str, Path]) -> None:
    from thumbnets.trainings import train_model  # not before: importing torch takes seconds

    train_model(settings, seed, key, files)


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
