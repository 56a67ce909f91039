"""Train one model with one seed: weights, logits on its validation fold, learning curve.

A training that was finished before is found by its inputs and not done again. With `--ahead` it is
stored for that alone: `thumbnets train` runs several so at once, and the stage then finds them.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from thumbnets import paths
from thumbnets.artifacts import read_json
from thumbnets.stage import run_stage
from thumbnets.store import project_store, training_key
from thumbnets.training.settings import ModelSettings


def main(slot: str, seed: str, *flags: str) -> None:
    settings = ModelSettings.model_validate(read_json(paths.training_inputs(slot))["settings"])
    files = {
        "weights": paths.weights(slot, int(seed)),
        "validation": paths.validation_predictions(slot, int(seed)),
        "history": paths.history(slot, int(seed)),
    }
    store, key, ahead = project_store(), training_key(slot, int(seed)), "--ahead" in flags
    if store.has(key) if ahead else store.take(key, files):
        print(f"{settings.name}, seed {seed}: trained before, found by its inputs")
        return
    from thumbnets.trainings import train_model  # not before: importing torch takes seconds

    with TemporaryDirectory() as folder:
        if ahead:
            files = {name: Path(folder, path.name) for name, path in files.items()}
        train_model(settings, int(seed), key, files)
        store.put(key, files)


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
