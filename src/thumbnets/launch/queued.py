"""Jobs that wait in this process until there is room: the base of local processes and Ray."""

import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from thumbnets import paths
from thumbnets.launch.base import Bundle, Job, State


class Queued(ABC):
    """Queues jobs until a back end has room for them; each has its own log.

    Args:
        name: Name of the back end.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder: Path = paths.LAUNCH / f"{name}-{socket.gethostname()}-{os.getpid()}"
        self._waiting: list[Job] = []
        self._numbered = 0

    def check(self) -> None:  # noqa: B027 - there is nothing to do
        """Do nothing: the check was made when the back end was created."""

    def submit(self, bundles: Sequence[Bundle]) -> list[Job]:
        self.folder.mkdir(parents=True, exist_ok=True)
        jobs = []
        for number, bundle in enumerate(bundles, self._numbered):
            log = self.folder / f"{number}.log"
            log.write_bytes(b"")
            jobs.append(Job(self.name, f"{os.getpid()}-{number}", bundle, log))
        self._numbered += len(jobs)
        self._waiting += jobs
        self._start()
        return jobs

    def states(self, jobs: Sequence[Job]) -> list[State]:
        self._start()
        return [self._begun(job) or self._not_begun(job) for job in jobs]

    def cancel(self, jobs: Sequence[Job]) -> None:
        self._waiting = [job for job in self._waiting if job not in jobs]
        for job in jobs:
            self._end(job)

    def _not_begun(self, job: Job) -> State:
        return State("waiting" if job in self._waiting else "ended")

    @abstractmethod
    def _start(self) -> None:
        """Start waiting jobs, as far as there is room."""

    @abstractmethod
    def _begun(self, job: Job) -> State | None:
        """The state of a job that was started; None if it was not."""

    @abstractmethod
    def _end(self, job: Job) -> None:
        """End a job if it is running."""
