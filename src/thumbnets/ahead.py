"""Training several models and seeds at once, ahead of `dvc repro`, which runs one after the other.

The trained states are kept among the checkpoints; the stages find them there, so they still write
every file themselves, and the numbers are the same.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import IO

from tqdm import tqdm

Training = tuple[str, str]  # model block and seed


def stale_trainings() -> list[Training]:
    """What `dvc repro` would train, in the order of params.yaml; brings the data up to date.

    Raises:
        ValueError: DVC failed; it has said why.
    """
    if subprocess.run(["dvc", "repro", "preprocess"]).returncode:
        raise ValueError("The images could not be prepared: see above.")
    done = subprocess.run(["dvc", "status", "--json", "train"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ValueError("`dvc status` failed: see above.")
    stages = [name.split("@")[1].rsplit("-", 1) for name in json.loads(done.stdout)]
    return [(model, seed) for model, seed in stages]


def train_ahead(trainings: list[Training], jobs: int) -> None:
    """Train at most `jobs` at a time, a process each.

    Raises:
        ValueError: Some failed; the others are trained all the same.
    """
    waiting, failed = list(trainings), []
    running: dict[Training, tuple[subprocess.Popen, IO[str]]] = {}
    bar = tqdm(total=len(trainings), desc=f"training, {jobs} at once", disable=None)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                training = waiting.pop(0)
                running[training] = _start(training)
            time.sleep(0.05)
            for training in [key for key, (process, _) in running.items() if process.poll() == 0]:
                del running[training]
                bar.update()
                if bar.disable:
                    print(f"{' seed '.join(training)}: trained", flush=True)
            for training in [key for key, (process, _) in running.items() if process.poll()]:
                _, said = running.pop(training)
                said.seek(0)
                failed.append((said.read().strip().splitlines() or ["error: killed"])[-1])
    finally:
        bar.close()
        for process, _ in running.values():  # interrupted: the checkpoints are kept
            process.kill()
    if failed:
        raise ValueError(f"{len(failed)} of {len(trainings)}: {'; '.join(failed)}")


def _start(training: Training) -> tuple[subprocess.Popen, IO[str]]:
    said = tempfile.TemporaryFile("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train", *training, "--ahead"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    return process, said
