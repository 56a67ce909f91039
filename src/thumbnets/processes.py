"""Programs that a command starts and waits for."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from thumbnets.stage import Terminated

_PATIENCE = 5  # seconds that a program has after Ctrl-C before SIGTERM


def environment() -> dict[str, str]:
    """Variables for DVC, whose stages call `python` by name: the folder of this Python is first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path}


def run_to_end(command: Sequence[str], **how: Any) -> int:
    """Run a program, and end it and all that it has started if this process is asked to end.

    `subprocess.run` would kill the program alone, and leave what it has started. Ctrl-C reaches all
    of them through the terminal, so they have some seconds to end by themselves.

    Args:
        command: The program and its arguments.
        **how: As for `subprocess.Popen`.

    Returns:
        Its exit status.
    """
    process = None
    try:
        with signals_afterwards():
            process = subprocess.Popen(command, **how)
        return process.wait()
    except KeyboardInterrupt as told:
        if process is None:
            raise
        with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
            process.wait(0 if isinstance(told, Terminated) else _PATIENCE)
        _terminate(process.pid)
        process.wait()
        raise


@contextmanager
def signals_afterwards() -> Iterator[None]:
    """Defer Ctrl-C and SIGTERM to the end of the block.

    A program has no handle before `Popen` returns: an interrupt inside it would leave the program
    running.
    """
    if threading.current_thread() is not threading.main_thread():  # signals never interrupt others
        yield
        return
    came: list[int] = []
    before = {
        one: signal.signal(one, lambda number, _: came.append(number))
        for one in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for one in came:
            signal.raise_signal(one)


def _terminate(process: int) -> None:
    """Send SIGTERM to a process and all its descendants."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(process)
        for one in [first, *first.children(recursive=True)]:
            with suppress(psutil.Error):  # it has ended meanwhile, or is another user's
                one.terminate()
