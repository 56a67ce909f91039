"""Claims: who has a training under way, so that nobody else on any machine begins it too.

A claim is a file that only one process can create (O_EXCL). Its holder touches it regularly while
it lives, and removes it at the end. After a kill, a claim is stale: on the same machine its process
no longer exists, on another one its age shows it. If two processes take over a stale claim at the
same instant, both train, and both store the same bytes.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TOUCHED = 30  # seconds from one touch to the next
_STALE = 300  # seconds without a touch: more than the clocks of machines may differ


@contextmanager
def claim(path: Path) -> Iterator[str | None]:
    """Hold a claim.

    Args:
        path: File of the claim.

    Yields:
        None if it is ours now, else who holds it.
    """
    if not _make(path):
        yield holder(path) or "a process that has just ended"
        return
    ended = threading.Event()
    threading.Thread(target=_keep_fresh, args=(path, ended), daemon=True).start()
    try:
        yield None
    finally:
        ended.set()
        path.unlink(missing_ok=True)


def holder(path: Path) -> str | None:
    """Who holds a claim, as `process 4711 on node3`; None if nobody does."""
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        host, process, started = content["host"], content["process"], content["started"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError):  # being written, or damaged
        return "an unknown process" if age < _STALE else None
    here = host == socket.gethostname()
    lives = started == _started(process) if here else age < _STALE
    return f"process {process} on {host}" if lives else None


def _make(path: Path) -> bool:
    """Create the file, in place of a stale one if need be; returns whether this call did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            if holder(path):
                return False
            path.unlink(missing_ok=True)
            continue
        process = os.getpid()
        content = {
            "host": socket.gethostname(),
            "process": process,
            "started": _started(process),
        }
        try:
            os.write(file, json.dumps(content).encode())
        except OSError:  # a full disk
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        return True
    return False


def _started(process: int) -> str | None:
    """When a process here was started, in ticks since boot; None if it does not exist."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        state, *values = stat.rpartition(")")[2].split()
        return None if state in "ZX" else values[18]  # a zombie has ended
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    try:  # no /proc, as on macOS: any process of that number
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    return "unknown"


def _keep_fresh(path: Path, ended: threading.Event) -> None:
    while not ended.wait(_TOUCHED):
        with suppress(OSError):
            os.utime(path)
