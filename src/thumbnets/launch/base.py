"""What all back ends share: trainings, jobs of one or more trainings, and the states of jobs.

A back end is a module of this package that is listed in `BACKENDS`. It starts
`python -m thumbnets.launch.worker`, or calls `worker.work`, for bundles of trainings. Finished
trainings are found in the store, so a back end reports the states of jobs but returns no results.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

# Module and class of each back end; only the selected one is imported.
BACKENDS = {
    "local": ("thumbnets.launch.local", "Local"),
    "slurm": ("thumbnets.launch.slurm", "Slurm"),
    "ray": ("thumbnets.launch.ray", "Ray"),
}


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        slot: Its slot, a block of the pool, the headline, or an encoder: see `paths`.
        seed: Its seed.
        key: Hash of all its inputs, under which the store has it once it is finished.
        name: Name of its block, with which its lines in a log begin.
        epochs: Number of epochs, including those of a refit.
        seconds: Estimated time in seconds; None if unknown.
    """

    slot: str
    seed: int
    key: str
    name: str
    epochs: int
    seconds: float | None = None

    @property
    def title(self) -> str:
        """The beginning of its lines in a log."""
        return f"{self.name}, seed {self.seed}"

    @property
    def argument(self) -> str:
        """The worker's command-line argument for it."""
        return f"{self.slot}:{self.seed}:{self.key}:{self.name}"


Bundle = tuple[Training, ...]  # trainings of one job, one after the other


@dataclass(frozen=True)
class Request:
    """The user's request to a back end.

    Attributes:
        jobs: Jobs at once; None: the back end's default.
        minutes: Time limit of a job.
        threads: CPU cores of a job.
        gpus: GPUs of a job; a fraction shares one.
        per_gpu: Jobs that share a GPU of this machine; None: as few as `jobs` need, or no GPU.
        options: Options of the back end, from the profile and the command line.
        environment: Environment variables for the worker, besides those of this process.
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
    """A submitted bundle.

    Attributes:
        backend: Name of the back end.
        id: Id in the back end.
        trainings: Its trainings, in order.
        log: File with all its output.
        device: Type of the device it trains on; None: not recorded.
    """

    backend: str
    id: str
    trainings: Bundle
    log: Path
    device: str | None = None


@dataclass(frozen=True)
class State:
    """What a back end knows of a job.

    Attributes:
        phase: Whether it is waiting, is running, or has ended, successfully or not.
        reason: Why it waits, or why it ended early and what to do; else empty.
    """

    phase: Literal["waiting", "running", "ended"]
    reason: str = ""


class Backend(Protocol):
    """Runs jobs somewhere.

    Attributes:
        name: Its name in `BACKENDS`.
        detaches: Whether jobs continue after this process ends.
        jobs: Approximate number of jobs at once.
        every: Seconds between queries of the states.
        folder: Folder of the jobs' logs and other files, removed once all trainings are finished.
    """

    name: str
    detaches: bool
    jobs: int
    every: float
    folder: Path

    def check(self) -> None:
        """Check that jobs could be submitted, before anything is prepared for them.

        Raises:
            ValueError: The back end does not answer.
        """

    def submit(self, bundles: Sequence[Bundle]) -> list[Job]:
        """Submit one job per bundle.

        Raises:
            ValueError: The back end refused a job; with the back end's own message, in one line.
        """

    def states(self, jobs: Sequence[Job]) -> list[State]:
        """The state of each job, submitted by this or an earlier process."""

    def cancel(self, jobs: Sequence[Job]) -> None:
        """End waiting or running jobs; checkpoints stay."""


def create_backend(name: str, request: Request) -> Backend:
    """A back end by its name.

    Raises:
        ValueError: There is no such back end, it is not installed or can't be reached, or it can't
            fulfil the request.
    """
    if name not in BACKENDS:
        raise ValueError(f"--on must be one of {', '.join(BACKENDS)}, got {name!r}.")
    module, kind = BACKENDS[name]
    return getattr(importlib.import_module(module), kind)(request)
