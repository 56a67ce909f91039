"""Programs that a command starts and waits for."""

import subprocess
from collections.abc import Sequence
from typing import Any

from thumbnets.stage import Terminated


def run_to_end(command: Sequence[str], **how: Any) -> int:
    """Run a program, and end it with all that it has started if this process is told to end.

    `subprocess.run` would kill the program alone, and leave what it has started. At Ctrl-C the
    terminal tells them all, so they are waited for.

    Args:
        command: The program and its arguments.
        **how: As for `subprocess.Popen`.

    Returns:
        Its exit status.
    """
    process = subprocess.Popen(command, **how)
    try:
        return process.wait()
    except KeyboardInterrupt as told:
        if isinstance(told, Terminated):
            _terminate(process.pid)
        process.wait()
        raise


def _terminate(process: int) -> None:
    """Tell a process and all below it to end (SIGTERM)."""
    import psutil

    try:
        first = psutil.Process(process)
        for one in [first, *first.children(recursive=True)]:
            one.terminate()
    except psutil.NoSuchProcess:  # it has ended meanwhile
        pass
