"""The back end of this machine: one process per job, each on a GPU if there are any."""

import os
import subprocess
import sys

from thumbnets import runtime
from thumbnets.launch.base import Job, Request, State
from thumbnets.launch.devices import assign, visible_devices
from thumbnets.launch.queued import Queued
from thumbnets.processes import signals_afterwards


class Local(Queued):
    """Runs jobs as processes of this one.

    Args:
        request: The user's request.

    Raises:
        ValueError: Options are given, though there are none; or more jobs than the GPUs take.
    """

    detaches, every = False, 0.1

    def __init__(self, request: Request) -> None:
        super().__init__("local")
        if request.options:
            raise ValueError(f"--option {next(iter(request.options))}: not for --on local.")
        if request.gpus:
            raise ValueError("--gpus: not for --on local: --per-gpu 4 runs four on a GPU.")
        self._places: list[str | None] = self._devices(request)
        self.jobs = len(self._places)
        self.environment = {**os.environ, "PYTHONPATH": "src", **request.environment}
        self._processes: dict[str, subprocess.Popen] = {}
        self._place: dict[str, int] = {}  # place of each job that runs or has run

    @staticmethod
    def _devices(request: Request) -> list[str | None]:
        """The GPU of each job that runs at once, or None for each if cores limit the jobs."""
        # A GPU that torch can't use, as with an old driver, does not count: cores then do.
        if runtime.device_type() != "cpu" and (devices := visible_devices()):
            return list(assign(devices, request.per_gpu, request.jobs))
        if request.per_gpu:
            raise ValueError("--per-gpu: there is no GPU here that trainings can be spread over.")
        return [None] * (request.jobs or max(1, runtime.cores() // request.threads))

    def _end(self, job: Job) -> None:
        if process := self._processes.get(job.id):
            process.kill()

    def _begun(self, job: Job) -> State | None:
        process = self._processes.get(job.id)
        if process is None:
            return None
        code = process.poll()
        if code is None:
            return State("running")
        return State("ended", f"killed by signal {-code}" if code < 0 else "")

    def _start(self) -> None:
        running = {job for job, process in self._processes.items() if process.poll() is None}
        taken = {self._place[job] for job in running}
        free = [place for place in range(self.jobs) if place not in taken]
        for place in free[: len(self._waiting)]:
            job = self._waiting.pop(0)
            self._place[job.id] = place
            with signals_afterwards():
                self._processes[job.id] = self._process(job, self._places[place])

    def _process(self, job: Job, device: str | None) -> subprocess.Popen:
        arguments = [training.argument for training in job.trainings]
        chosen = {}
        if device is not None:  # a worker that can't use it fails, rather than train on the CPU
            chosen = {"CUDA_VISIBLE_DEVICES": device, "THUMBNETS_DEVICE": "cuda"}
        with job.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "thumbnets.launch.worker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.environment, **chosen},
            )
