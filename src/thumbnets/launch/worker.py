"""The program of a job, on any machine: it trains some models into the store, and nothing else.

It reads the project's folder, and needs no DVC, lock, remote or credential. Each training comes
with the hash of all its inputs: if code, params or data have changed since, it is not done.
"""

import contextlib
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from thumbnets import inputs, paths, runtime
from thumbnets.fingerprint import forget
from thumbnets.params import Params, load_params
from thumbnets.registry import place_of
from thumbnets.stage import one_line, run_stage
from thumbnets.store import (
    Store,
    project_store,
    training_files,
    training_inputs,
    training_key,
)
from thumbnets.training.settings import ModelSettings

UNDER_WAY = "under way in"  # `following.failures` looks for it in the log
OUT_OF_MEMORY = "out of memory: use --option mem_gb=N for more, or a smaller batch_size"
OUT_OF_TIME = "out of time: raise --minutes; it continues from its checkpoint"


class OutOfTime(BaseException):
    """The job's time is up: the cluster signals that shortly before it ends the job."""


def _raise_out_of_time(signum: int, frame: object) -> None:
    raise OutOfTime


def work(arguments: Sequence[str], root: Path | None = None) -> None:
    """Train one after the other; a failed training does not stop the others.

    Args:
        arguments: `Training.argument` of each training.
        root: Root of the project, if it is not the working folder.

    Raises:
        SystemExit: Some trainings failed; each has printed why in its own line.
    """
    signal.signal(signal.SIGUSR2, _raise_out_of_time)
    failed = 0
    with contextlib.chdir(root or Path.cwd()):
        for argument in arguments:
            slot, seed, key, name = argument.split(":")
            title, message = f"{name}, seed {seed}", ""
            try:
                train_ahead(slot, int(seed), key, project_store(runtime.device().type))
            except (ValueError, OSError) as error:
                message = one_line(error).removeprefix(f"{title}: ")
            except MemoryError:
                message = OUT_OF_MEMORY
            except OutOfTime:
                message = OUT_OF_TIME
            except Exception as error:  # from a library; the log has the traceback
                traceback.print_exc()
                place = place_of(error)
                message = f"{place}: " if place else ""
                message += f"{type(error).__name__}: {one_line(error)}"
            if message:
                failed += 1
                print(f"error: {title}: {message}", flush=True)
            if message == OUT_OF_TIME:
                break
    if failed:
        sys.exit(1)


def train_ahead(slot: str, seed: int, key: str, store: Store) -> None:
    """Train into the store, unless the training is there or is running elsewhere.

    Args:
        slot: Slot of the training.
        seed: Its seed.
        key: Hash of all its inputs when it was submitted.
        store: Store that gets the training.

    Raises:
        ValueError: Code, params or data do not match the key, or the training failed.
    """
    check_unchanged(slot, seed, key)
    settings = ModelSettings.model_validate(training_inputs(slot)["settings"])
    title = f"{settings.name}, seed {seed}"
    if store.has(key):
        print(f"{title}: trained before, found by its inputs", flush=True)
        return
    with store.claim(key) as holder:
        if holder:
            print(f"{title}: {UNDER_WAY} {holder}", flush=True)
            return
        train = _training(slot)
        with TemporaryDirectory() as folder:
            files = {k: Path(folder, path.name) for k, path in training_files(slot, seed).items()}
            started = time.monotonic()
            train(settings, seed, key, files)
            seconds = time.monotonic() - started
            check_unchanged(slot, seed, key)  # a module may be imported late
            store.put(key, files, {"machine": runtime.machine(), "seconds": round(seconds, 3)})


def _training(slot: str) -> Callable[..., None]:
    """The function that trains what belongs into a slot."""
    if paths.encoder_of_slot(slot):  # imported here, since importing torch takes seconds
        from thumbnets.pretraining import train_encoder as train
    else:
        from thumbnets.trainings import train_model as train
    return train


def check_unchanged(slot: str, seed: int, key: str) -> None:
    """Refuse a training whose inputs have changed since it was submitted.

    Raises:
        ValueError: Code, params or data have changed since.
    """
    forget()
    params = load_params()
    encoders = [paths.encoder_slot(name) for name in params.encoders]
    if (
        slot not in [*params.pool, paths.HEADLINE, *encoders]
        or _as_read(_inputs_now(params, slot)) != training_inputs(slot)
        or _key_now(slot, seed) != key
    ):
        raise ValueError(
            "code, params or data have changed since it was submitted, so this training is not "
            "kept: run `thumbnets train` again."
        )


def _inputs_now(params: Params, slot: str) -> dict[str, Any]:
    """What the training of a slot depends on now."""
    return inputs.training_inputs(params, paths.encoder_of_slot(slot) or params.block_of(slot))


def _key_now(slot: str, seed: int) -> str | None:
    """Key of a training by its present inputs; None if some are missing, as after new seeds."""
    try:
        return training_key(slot, seed)
    except ValueError:
        return None


def _as_read(content: dict[str, Any]) -> dict[str, Any]:
    """Values after a round trip through JSON."""
    return json.loads(json.dumps(content))


def main(*arguments: str) -> None:
    """Entry point."""
    work(arguments)


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
