"""What a job runs, on any machine: some trainings into the store, and nothing else.

It reads the project's folder, and needs no DVC, lock, remote or credential. What it is to train it
knows by the key of all inputs; if code, params or data have changed since, it trains nothing.
"""

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from thumbnets import paths, runtime
from thumbnets.artifacts import read_json
from thumbnets.inputs import training_inputs
from thumbnets.params import load_params
from thumbnets.stage import one_line, run_stage
from thumbnets.store import Store, project_store, training_files, training_key
from thumbnets.training.settings import ModelSettings


def work(arguments: Sequence[str], root: Path | None = None) -> int:
    """Train one after the other; one that fails stops no other.

    Args:
        arguments: `SLOT:SEED:KEY` of each.
        root: Root of the project, if it is not the working folder.

    Returns:
        How many failed; each has said why in a line of its own.
    """
    failed = 0
    with contextlib.chdir(root or Path.cwd()):
        for argument in arguments:
            slot, seed, key = argument.split(":")
            try:
                train_ahead(slot, int(seed), key, project_store(runtime.device().type))
            except (ValueError, OSError, MemoryError) as error:
                failed += 1
                print(f"error: {_named(slot, seed, one_line(error))}", flush=True)
    return failed


def train_ahead(slot: str, seed: int, key: str, store: Store) -> None:
    """Train into the store, unless it is there or under way elsewhere.

    Args:
        slot: Slot of the training.
        seed: Its seed.
        key: Hash of all its inputs when it was submitted.
        store: Where it is put.

    Raises:
        ValueError: Code, params or data are not those of the key, or the training failed.
    """
    check_unchanged(slot, seed, key)
    settings = ModelSettings.model_validate(read_json(paths.training_inputs(slot))["settings"])
    title = f"{settings.name}, seed {seed}"
    if store.has(key):
        print(f"{title}: trained before, found by its inputs", flush=True)
        return
    with store.claim(key) as holder:
        if holder:
            print(f"{title}: under way in {holder}", flush=True)
            return
        from thumbnets.trainings import train_model  # not before: importing torch takes seconds

        with TemporaryDirectory() as folder:
            files = {k: Path(folder, path.name) for k, path in training_files(slot, seed).items()}
            started = time.monotonic()
            train_model(settings, seed, key, files)
            seconds = time.monotonic() - started
            check_unchanged(slot, seed, key)  # a module may be imported late
            store.put(key, files, {"machine": runtime.machine(), "seconds": round(seconds, 3)})


def check_unchanged(slot: str, seed: int, key: str) -> None:
    """Refuse to train what is no longer what was asked for.

    Raises:
        ValueError: Code, params or data have changed since.
    """
    params = load_params()
    there = slot in [*params.pool, paths.HEADLINE]
    if (
        not there
        or _as_read(training_inputs(params, params.block_of(slot)))
        != read_json(paths.training_inputs(slot))
        or training_key(slot, seed) != key
    ):
        raise ValueError(
            "code, params or data have changed since it was submitted, so it is not trained: run "
            "`thumbnets train` again."
        )


def _as_read(content: dict[str, Any]) -> dict[str, Any]:
    """Values as they are when they were written as JSON and read."""
    return json.loads(json.dumps(content))


def _named(slot: str, seed: str, message: str) -> str:
    """A message that says which training it is about."""
    return message if f"seed {seed}" in message else f"{slot}, seed {seed}: {message}"


def main(*arguments: str) -> None:
    """Entry point."""
    if work(arguments):
        sys.exit(1)


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
