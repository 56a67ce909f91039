"""Train one model with one seed: weights, logits on its validation fold, learning curve.

A training that is already finished is found by its inputs and not repeated: `thumbnets train` runs
several at once and stores them. One that another process is running is waited for.
"""

import sys
import time

from thumbnets import paths, runtime
from thumbnets.artifacts import read_json
from thumbnets.stage import run_stage
from thumbnets.store import Store, project_store, training_files, training_key
from thumbnets.training.settings import ModelSettings


def main(slot: str, seed: str) -> None:
    settings = ModelSettings.model_validate(read_json(paths.training_inputs(slot))["settings"])
    store, key = project_store(), training_key(slot, int(seed))
    if take(store, key, slot, settings, int(seed)):
        return
    told = None
    while True:
        with store.claim(key) as holder:
            if holder is None:
                if not take(store, key, slot, settings, int(seed)):
                    train(store, key, slot, settings, int(seed))
                return
        if told != holder:
            told = holder
            print(f"{settings.name}, seed {seed}: under way in {holder}, waiting", flush=True)
        time.sleep(1)


def take(store: Store, key: str, slot: str, settings: ModelSettings, seed: int) -> bool:
    """Write the files of a training that was finished before, if it was."""
    if not store.take(key, training_files(slot, seed)):
        return False
    print(f"{settings.name}, seed {seed}: trained before, found by its inputs")
    return True


def train(store: Store, key: str, slot: str, settings: ModelSettings, seed: int) -> None:
    """Train, write the files, and store them."""
    from thumbnets.trainings import train_model  # not before: importing torch takes seconds

    files = training_files(slot, seed)
    started = time.monotonic()
    train_model(settings, seed, key, files)
    about = {"machine": runtime.machine(), "seconds": round(time.monotonic() - started, 3)}
    store.put(key, files, about)


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
