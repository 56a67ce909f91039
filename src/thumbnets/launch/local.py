"""The back end of this machine: a process a job, so many at once."""

import os
import subprocess
import sys
from collections.abc import Sequence

from thumbnets import paths, runtime
from thumbnets.launch.base import Bundle, Job, Request, State


class Local:
    """Runs jobs as processes of this one.

    Args:
        request: What the user asks for.

    Raises:
        ValueError: Options are given: there are none.
    """

    name, detaches, every = "local", False, 0.1

    def __init__(self, request: Request) -> None:
        if request.options:
            raise ValueError(f"--option {next(iter(request.options))}: not for --on local.")
        self.jobs = request.jobs or max(1, runtime.cores() // request.threads)
        self.environment = {**os.environ, "PYTHONPATH": "src", **request.environment}
        self.folder = paths.LAUNCH / f"local-{os.getpid()}"
        self._waiting: list[Job] = []
        self._processes: dict[str, subprocess.Popen] = {}

    def submit(self, bundles: Sequence[Bundle]) -> list[Job]:
        self.folder.mkdir(parents=True, exist_ok=True)
        jobs = []
        for number, bundle in enumerate(bundles, len(self._processes) + len(self._waiting)):
            log = self.folder / f"{number}.log"
            log.write_bytes(b"")
            jobs.append(Job(self.name, f"{os.getpid()}-{number}", bundle, log))
        self._waiting += jobs
        self._start()
        return jobs

    def states(self, jobs: Sequence[Job]) -> list[State]:
        self._start()
        return [self._state(job) for job in jobs]

    def cancel(self, jobs: Sequence[Job]) -> None:
        self._waiting = [job for job in self._waiting if job not in jobs]
        for job in jobs:
            if process := self._processes.get(job.id):
                process.kill()

    def _state(self, job: Job) -> State:
        process = self._processes.get(job.id)
        if process is None:
            return State("waiting" if job in self._waiting else "ended")
        code = process.poll()
        if code is None:
            return State("running")
        return State("ended", f"killed by signal {-code}" if code < 0 else "")

    def _start(self) -> None:
        """Start what waits, as far as there is room."""
        running = sum(process.poll() is None for process in self._processes.values())
        while self._waiting and running < self.jobs:
            job = self._waiting.pop(0)
            arguments = [training.argument for training in job.trainings]
            with job.log.open("wb") as log:
                self._processes[job.id] = subprocess.Popen(
                    [sys.executable, "-m", "thumbnets.launch.worker", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self.environment,
                )
            running += 1
