"""The back end of Slurm, through submitit: a job array, of which a limited number runs at once.

States come from `squeue` and `scontrol`, since many clusters keep no accounting for `sacct`.
Nothing that a job has pickled is ever read: finished trainings are found in the store.
"""

import contextlib
import io
import logging
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from thumbnets import paths
from thumbnets.launch.base import Bundle, Job, Request, State
from thumbnets.launch.worker import OUT_OF_MEMORY, OUT_OF_TIME, work
from thumbnets.messages import shorten
from thumbnets.stage import run

_ADVICE = {
    "OUT_OF_MEMORY": OUT_OF_MEMORY,
    "TIMEOUT": OUT_OF_TIME,
    "CANCELLED": "was cancelled",
    "NODE_FAIL": "its node failed: run `thumbnets train` again",
    "PREEMPTED": "was preempted: run `thumbnets train` again",
}
_WAITS = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "SUSPENDED"}


class Slurm:
    """Submits jobs to Slurm.

    Args:
        request: The user's request. Options are those of submitit without `slurm_` (partition,
            account, gres, mem_gb, qos, …), `modules` to load, `setup` lines, and those of sbatch.

    Raises:
        ValueError: submitit is not installed, there is no Slurm here, or an option is not valid.
    """

    name, detaches, folder = "slurm", True, paths.LAUNCH / "slurm"

    def __init__(self, request: Request) -> None:
        try:
            import submitit
        except ImportError:
            raise ValueError("--on slurm needs submitit: pip install submitit.") from None
        if shutil.which("sbatch") is None:
            raise ValueError("--on slurm needs sbatch, which is not on PATH: log in to a cluster.")
        logging.getLogger("submitit").setLevel(logging.ERROR)
        self.request, self.submitit = request, submitit
        self.jobs = request.jobs or 32
        self.parameters = self._parameters()
        self._begun = time.monotonic()

    @property
    def every(self) -> float:
        """Half a second at first, growing to 10 seconds to spare a busy controller."""
        return min(10.0, 0.5 + (time.monotonic() - self._begun) / 20)

    def check(self) -> None:
        done = _squeue()
        if done.returncode:
            said = _refusal(done.stderr or "")
            raise ValueError(f"--on slurm: Slurm does not answer ({said}): are its servers up?")

    def submit(self, bundles: Sequence[Bundle]) -> list[Job]:
        self.folder.mkdir(parents=True, exist_ok=True)
        executor = self.submitit.SlurmExecutor(folder=self.folder.resolve(), max_num_timeout=0)
        try:
            executor.update_parameters(**self.parameters)
            arguments = [[training.argument for training in bundle] for bundle in bundles]
            roots = [Path.cwd()] * len(bundles)
            with contextlib.redirect_stderr(io.StringIO()):  # submitit repeats sbatch's messages
                submitted = executor.map_array(partial(run, work), arguments, roots)
        except (self.submitit.core.utils.FailedJobError, ValueError) as error:
            raise ValueError(f"Slurm refused the job: {_refusal(str(error))}") from None
        return [
            Job(self.name, job.job_id, bundle, Path(job.paths.stdout))
            for job, bundle in zip(submitted, bundles, strict=True)
        ]

    def states(self, jobs: Sequence[Job]) -> list[State]:
        if not jobs:
            return []
        listed = _listed(_squeue())
        return [self._state(job, listed) for job in jobs]

    def cancel(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        command = ["scancel", *(job.id for job in jobs)]
        done = subprocess.run(command, capture_output=True, text=True)
        if not done.returncode:
            return
        listed = _listed(_squeue())  # without jobs that have just ended by themselves
        if listed is None or any(job.id in listed for job in jobs):
            raise ValueError(f"--on slurm: jobs could not be ended: {_refusal(done.stderr or '')}.")

    def _state(self, job: Job, listed: Mapping[str, tuple[str, str]] | None) -> State:
        if listed is None:  # the controller does not answer; jobs run on without it
            return State("running", "squeue does not answer")
        state, reason = listed.get(job.id, ("", ""))
        if state in _WAITS:
            return State("waiting", "" if reason == "None" else reason)
        if state in ("RUNNING", "COMPLETING"):
            return State("running")
        state = state or _ended_as(job.id)
        return State("ended", _ADVICE.get(state, ""))

    def _parameters(self) -> dict[str, Any]:
        """Parameters for submitit; options that it does not know are passed on to sbatch."""
        options = dict(self.request.options)
        setup = _texts("setup", options.pop("setup", []), "\n")
        modules = _texts("modules", options.pop("modules", []), ",")
        setup += [f"module load {shlex.quote(module)}" for module in modules]
        environment = {"PYTHONPATH": str(paths.SOURCE.resolve()), **self.request.environment}
        setup += [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
        known: dict[str, Any] = {
            "job_name": "thumbnets",
            "time": self.request.minutes,
            "cpus_per_task": self.request.threads,
            "array_parallelism": self.jobs,
            "stderr_to_stdout": True,
            "signal_delay_s": 30,
            "setup": setup,
        }
        if self.request.gpus:
            if self.request.gpus != int(self.request.gpus):
                raise ValueError(
                    f"--gpus {self.request.gpus:g}: Slurm gives only whole GPUs: use --gpus 1, or "
                    "--option gres=shard:1 where the cluster has shares."
                )
            known["gpus_per_node"] = int(self.request.gpus)
        from submitit.slurm.slurm import _get_default_parameters

        if "mem_gb" in options:
            options["mem"] = f"{options.pop('mem_gb')}G"
        mine = {key: value for key, value in options.items() if key in _get_default_parameters()}
        others = {key: value for key, value in options.items() if key not in mine}
        return {**known, **mine, "additional_parameters": others}


def _texts(name: str, value: object, separator: str) -> list[str]:
    """An option that is a list of texts, or one text that joins several by `separator`.

    Raises:
        ValueError: It is something else.
    """
    texts = value.split(separator) if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(
            f"--on slurm: {name} must be a string or a list of strings, got {value!r}."
        )
    return list(texts)


def _squeue() -> subprocess.CompletedProcess:
    """The result of `squeue` for the user's jobs, for `_listed`."""
    return subprocess.run(
        ["squeue", "--me", "--array", "--noheader", "--format", "%i|%T|%r"],
        capture_output=True,
        text=True,
    )


def _listed(done: subprocess.CompletedProcess) -> dict[str, tuple[str, str]] | None:
    """State and reason of each job, by id; None if `squeue` failed."""
    if done.returncode:
        return None
    rows = [line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
    return {identity.strip(): (state, reason) for identity, state, reason in rows}


def _ended_as(identity: str) -> str:
    """How a job that has left the queue ended, as far as Slurm still knows."""
    done = subprocess.run(
        ["scontrol", "show", "job", "--oneliner", identity], capture_output=True, text=True
    )
    found = re.search(r"\bJobState=(\w+)", done.stdout)
    return found[1] if found else ""


def _refusal(text: str) -> str:
    """The message of sbatch within submitit's error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if "error:" in line][-1:]
    said = said or [line for line in lines if line.startswith("sbatch: ")] or lines
    if not said:
        return "no reason given"
    return shorten(re.sub(r"^(sbatch|squeue|scancel): (error: )?", "", said[0]))
