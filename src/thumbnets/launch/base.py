"""What all back ends have in common: trainings, jobs of one or several of them, and their states.

A back end is a module of this package that is listed in `BACKENDS`. It starts
`python -m thumbnets.launch.worker`, or calls `worker.work`, for bundles of trainings; what these
have finished is found in the store, so a back end brings back no results, but says what runs.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

# Module and class of each back end; only the one that is asked for is imported.
BACKENDS = {
    "local": ("thumbnets.launch.local", "Local"),
    "slurm": ("thumbnets.launch.slurm", "Slurm"),
    "ray": ("thumbnets.launch.ray", "Ray"),
}


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        slot: Its slot, a block of the pool or the headline.
        seed: Its seed.
        key: Hash of all its inputs, under which the store has it once it is finished.
        name: Name of its block, as its lines in a log begin.
        epochs: Number of epochs, those of a refit included.
        seconds: About how long it takes; None if that is not known.
    """

    slot: str
    seed: int
    key: str
    name: str
    epochs: int
    seconds: float | None = None

    @property
    def title(self) -> str:
        """What its lines in a log begin with."""
        return f"{self.name}, seed {self.seed}"

    @property
    def argument(self) -> str:
        """What a worker is given of it."""
        return f"{self.slot}:{self.seed}:{self.key}:{self.name}"


Bundle = tuple[Training, ...]  # trainings of one job, one after the other


@dataclass(frozen=True)
class Request:
    """What the user asks of a back end.

    Attributes:
        jobs: Jobs at once; None: as the back end likes.
        minutes: Longest time of a job.
        threads: CPU cores of a job.
        gpus: GPUs of a job; a fraction shares one.
        per_gpu: Jobs that share a GPU of this machine; None: as few as `jobs` need, or no GPU.
        options: Options of the back end, from the profile and the command line.
        environment: Variables that the worker needs, beside those here.
    """

    jobs: int | None = None
    minutes: int = 60
    threads: int = 1
    gpus: float = 0
    per_gpu: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A bundle that was submitted.

    Attributes:
        backend: Name of the back end.
        id: What the back end calls it.
        trainings: What it trains, in this order.
        log: File of all that it prints.
    """

    backend: str
    id: str
    trainings: Bundle
    log: Path


@dataclass(frozen=True)
class State:
    """What a back end knows of a job.

    Attributes:
        phase: Whether it still waits, runs, or has ended, well or not.
        reason: Why it waits, or why it ended before its time, with what to do; else empty.
    """

    phase: Literal["waiting", "running", "ended"]
    reason: str = ""


class Backend(Protocol):
    """Runs jobs somewhere.

    Attributes:
        name: Its name in `BACKENDS`.
        detaches: Whether jobs go on when this process ends.
        jobs: About how many jobs run at once.
        every: Seconds from one question for states to the next.
        folder: Logs of the jobs, and what else a back end writes: removed once all is trained.
    """

    name: str
    detaches: bool
    jobs: int
    every: float
    folder: Path

    def check(self) -> None:
        """Look whether jobs could be submitted, before anything is made ready for them.

        Raises:
            ValueError: Nobody answers.
        """

    def submit(self, bundles: Sequence[Bundle]) -> list[Job]:
        """Hand in one job a bundle.

        Raises:
            ValueError: The back end refused it: its own message, in one line.
        """

    def states(self, jobs: Sequence[Job]) -> list[State]:
        """How each job is, of this or an earlier process."""

    def cancel(self, jobs: Sequence[Job]) -> None:
        """End jobs, whether they wait or run; checkpoints stay."""


def create_backend(name: str, request: Request) -> Backend:
    """A back end by its name.

    Raises:
        ValueError: There is none, it is not installed or not to be reached, or it can't do what is
            asked.
    """
    if name not in BACKENDS:
        raise ValueError(f"--on must be one of {', '.join(BACKENDS)}, got {name!r}.")
    module, kind = BACKENDS[name]
    return getattr(importlib.import_module(module), kind)(request)
