"""One process per measurement, and both ends of the pipe to it.

Thread pools and the allocator are configured once per process, and thumbnets' settings must not
reach a peer. So nothing is timed in the comparing process, and children get the user's environment.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
ENVIRONMENT = dict(os.environ)  # before thumbnets is imported, which sets thread variables

_READY = "ready to be measured"

Measured = Callable[[], dict]


@dataclass(frozen=True)
class Job:
    """The work of one process.

    Attributes:
        name: Module of this package and function, such as `ours.fit`.
        arguments: Arguments of that function, plain values.
        environment: Variables besides the user's.
    """

    name: str
    arguments: dict
    environment: dict[str, str] = field(default_factory=dict)


def measure(*jobs: Job) -> list[dict]:
    """Run jobs at the same time, one process each; they begin together, once all are ready.

    Returns:
        The result of each job, with `spawned`, `began` and `ended`: Unix time in seconds.

    Raises:
        RuntimeError: A process failed; with the end of its output.
    """
    with _processes(jobs) as processes:
        for process, _, errors in processes:
            while (line := process.stdout.readline()).strip() != _READY:
                if not line:
                    raise RuntimeError(_end_of(errors))
        for process, _, _ in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        results = []
        for process, spawned, errors in processes:
            lines = process.communicate()[0].splitlines()
            if process.returncode:
                raise RuntimeError(_end_of(errors))
            results.append({"spawned": spawned, **json.loads(lines[-1])})
    return results


@contextmanager
def _processes(jobs: tuple[Job, ...]) -> Iterator[list[tuple[subprocess.Popen, float, IO]]]:
    """Start one process per job; yields each with its start time and its stderr."""
    started: list[tuple[subprocess.Popen, float, IO]] = []
    try:
        for job in jobs:
            module, function = job.name.split(".")
            command = [sys.executable, "-m", f"benchmarks.{module}", function]
            errors = tempfile.TemporaryFile("w+")
            spawned = time.time()
            process = subprocess.Popen(
                [*command, json.dumps(job.arguments)],
                cwd=ROOT,
                env={**ENVIRONMENT, **job.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            started.append((process, spawned, errors))
        yield started
    finally:
        for process, _, errors in started:
            process.kill()  # also after Ctrl-C; does nothing if it has ended
            process.wait()
            errors.close()


def _end_of(errors: IO) -> str:
    errors.seek(0)
    return "a measured process failed:\n" + "".join(errors.readlines()[-15:])


def answer(*jobs: Callable[..., Measured]) -> None:
    """The child's end: prepare the job of the command line, wait, run it, print its result.

    Args:
        jobs: Functions that take the arguments, import, read and warm up, and return the function
            to measure.
    """
    function = {job.__name__: job for job in jobs}[sys.argv[1]]
    measured = function(**json.loads(sys.argv[2]))
    print(f"\n{_READY}", flush=True)
    sys.stdin.readline()
    began = time.time()
    result = measured()
    # A peer's output may not end with a newline.
    print(f"\n{json.dumps({'began': began, 'ended': time.time(), **result})}", flush=True)
