"""Training several models and seeds at once, ahead of `dvc repro`, which runs one after the other.

Each process runs stage `train`, which puts what it has trained into the store. `dvc repro` finds it
there, so its stages still write every file themselves, and the numbers are the same.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import IO

from tqdm import tqdm

from thumbnets.store import Store, training_key
from thumbnets.training.settings import ModelSettings

Training = tuple[str, str]  # slot and seed


def missing_trainings(store: Store) -> list[Training]:
    """What `dvc repro` would have to train; brings images and encoders up to date.

    Args:
        store: Finished trainings, which are not trained again.

    Raises:
        ValueError: DVC failed; it has said why.
    """
    if subprocess.run(["dvc", "repro", "pretrain"]).returncode:
        raise ValueError("Images or encoders could not be prepared: see above.")
    status = ["dvc", "status", "--json", "train", "train-headline"]
    done = subprocess.run(status, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ValueError("`dvc status` failed: see above.")
    missing: dict[str, Training] = {}  # by key: the headline may be in the pool
    for name in json.loads(done.stdout):
        slot, seed = name.split("@")[1].rsplit("-", 1)
        key = training_key(slot, int(seed))
        if not store.has(key):
            missing.setdefault(key, (slot, seed))
    return list(missing.values())


@dataclass
class _Process:
    """A training under way: its process, what it prints, and the epochs told of so far."""

    process: subprocess.Popen
    output: IO[str]
    errors: IO[str]
    epochs: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, training: Training) -> "_Process":
        output, errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        process = subprocess.Popen(
            [sys.executable, "-m", "stages.train", *training, "--ahead"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": "src"},
        )
        return cls(process, output, errors)

    def new_epochs(self) -> int:
        before = len(self.epochs)
        whole_lines = _read(self.output).split("\n")[:-1]
        self.epochs = [line for line in whole_lines if ": epoch " in line]
        return len(self.epochs) - before

    def error(self) -> str:
        return (_read(self.errors).strip().splitlines() or ["error: killed"])[-1]


def _read(file: IO[str]) -> str:
    """What a child has written so far; a seek would move the place where it writes next."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


def train_ahead(trainings: list[Training], settings: dict[str, ModelSettings], jobs: int) -> None:
    """Train at most `jobs` at a time, a process each.

    Args:
        trainings: Slots and seeds.
        settings: Settings of the block in each slot.
        jobs: Number of trainings at a time.

    Raises:
        ValueError: Some failed; the others are trained all the same.
    """
    epochs = {
        slot: block.train.epochs * (1 + block.train.refit) for slot, block in settings.items()
    }
    waiting, failed = list(trainings), []
    running: dict[Training, _Process] = {}
    bar = tqdm(
        total=sum(epochs[slot] for slot, _ in trainings),
        desc=f"{len(trainings)} trainings, {jobs} at once",
        unit="epoch",
        disable=None if trainings else True,
    )
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running[waiting[0]] = _Process.start(waiting[0])
                waiting.pop(0)
            time.sleep(0.1)
            for training, process in list(running.items()):
                ended = process.process.poll()
                bar.update(process.new_epochs())
                if ended is None:
                    continue
                del running[training]
                bar.update(epochs[training[0]] - len(process.epochs))  # if it stopped early
                if ended:
                    failed.append(process.error())
                elif bar.disable and process.epochs:
                    print(process.epochs[-1], flush=True)
    finally:
        bar.close()
        for process in running.values():  # interrupted: their checkpoints stay
            process.process.kill()
    if failed:
        raise ValueError(f"{len(failed)} of {len(trainings)} failed: {'; '.join(failed)}")
