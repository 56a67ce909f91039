"""Running a stage or command: errors of the user are reported in one line, without a traceback."""

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from thumbnets.runtime import wants_traceback


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM); it does so as for Ctrl-C, children included."""


def _terminate(signum: int, frame: object) -> None:
    raise Terminated


def run(main: Callable[..., object], *arguments: object) -> None:
    """Call `main` with the arguments, and exit non-zero if it fails.

    ValueError and OSError are about what was given (params, files, disk): one line on stderr.
    Anything else is a bug and keeps its traceback. `$THUMBNETS_DEBUG` shows every traceback.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    _open_output()
    try:
        main(*arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has closed it
        _close_output()
        sys.exit(128 + signal.SIGPIPE)
    except (ValueError, OSError) as error:
        if wants_traceback():
            raise
        _close_output()
        sys.exit(f"error: {one_line(error)}")
    except Terminated:
        sys.exit(128 + signal.SIGTERM)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _open_output() -> None:
    """Make both outputs take whatever is written to them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the caller has closed it: `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):  # a name may not be in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")


def _close_output() -> None:
    """Write what is left of the output, or discard it: at exit Python would complain once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_stage(main: Callable[..., object], *arguments: object) -> None:
    """As `run`, then exit at once: an orderly shutdown of torch takes half a second."""
    run(main, *arguments)
    sys.stderr.flush()
    os._exit(0)


def one_line(error: Exception) -> str:
    """An error as one line, with the file that it is about."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'standard output, or a file'}: {error.strerror}"
    return " ".join(str(error).split())
