"""What a node of a Ray cluster does for a job: it starts the worker and reports its output.

This module is sent to the node, so it imports nothing from the project, which may not be there. If
the node sees the project's folder, the worker reads it and writes to its store. Otherwise code and
arrays are unpacked into a separate folder, once per node, and finished trainings are sent back.
"""

import ctypes
import hashlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ADDED = ".dvc"  # so that the unpacked project has a store
_KEPT = 7 * 24 * 3600  # seconds that an unpacked project stays on a node
_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG

# What a node reports, in order: that it needs the project, that it has begun (on which host), the
# worker's output, finished trainings (key and parcel), and the worker's exit status at the end.
Told = tuple[str, object]


@dataclass(frozen=True)
class Order:
    """A job as it is sent to a node.

    Attributes:
        root: The project's folder on the submitting machine.
        token: Relative path and content of a file in it, by which a node recognises the folder.
        arguments: `Training.argument` of each training.
        environment: Variables for the worker.
        shared: Whether the project's folder may be read, if it is there.
    """

    root: str
    token: tuple[str, str]
    arguments: tuple[str, ...]
    environment: dict[str, str]
    shared: bool


def task(order: Order, sha256: str | None, reference: list) -> Iterator[Told]:
    """The function that Ray calls: `train`, with the archive fetched from Ray if it is needed."""
    import ray

    yield from train(order, sha256, lambda: ray.get(reference[0]))


def train(order: Order, sha256: str | None, archive: Callable[[], bytes] | None) -> Iterator[Told]:
    """Do a job.

    Args:
        order: The job.
        sha256: Checksum of the project's archive; None if there is none yet.
        archive: Function that fetches it.
    """
    folder = Path(order.root)
    shared = order.shared and _is_here(folder, order.token)
    if not shared:
        if sha256 is None:
            yield "unshared", None
            return
        folder = unpacked(sha256, archive)
    environment = {**os.environ, **order.environment, "PYTHONPATH": str(folder / "src")}
    yield "begun", socket.gethostname()
    process = subprocess.Popen(
        [sys.executable, "-m", "thumbnets.launch.worker", *order.arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )
    for line in process.stdout:
        yield "line", line
    code = process.wait()
    if not shared:
        for argument in order.arguments:
            slot, seed, key, _ = argument.split(":")
            command = [sys.executable, "-m", "thumbnets.launch.parcel", key, slot, seed]
            done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE)
            if not done.returncode and done.stdout:
                yield "finished", (key, done.stdout)
    yield "ended", code


def _is_here(folder: Path, token: tuple[str, str]) -> bool:
    try:
        return (folder / token[0]).read_text(encoding="utf-8") == token[1]
    except OSError:
        return False


def _end_with_parent() -> None:
    """End the worker with its parent, which Ray kills when a job is cancelled."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def unpacked(sha256: str, archive: Callable[[], bytes]) -> Path:
    """The folder with a project's archive, which is unpacked if it was not before.

    Raises:
        ValueError: The archive is damaged.
    """
    own = Path(tempfile.gettempdir(), f"thumbnets-{os.getuid()}")
    own.mkdir(mode=0o700, exist_ok=True)
    if own.is_symlink() or own.stat().st_uid != os.getuid():
        raise ValueError(f"{own} belongs to another user, or is a link")
    folder = own / sha256
    if folder.is_dir():
        return folder
    content = archive()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("the project that was sent is damaged (SHA-256)")
    for other in own.iterdir():
        with suppress(OSError):  # another job on this node may have renamed or removed it
            if time.time() - other.stat().st_mtime > _KEPT:
                shutil.rmtree(other, ignore_errors=True)
    made = Path(tempfile.mkdtemp(dir=own))
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as files:
            files.extractall(made, filter="data")
        (made / _ADDED).mkdir()
        made.rename(folder)
    except OSError:  # another job was faster, or the disk is full
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)  # unless it was renamed
    return folder
