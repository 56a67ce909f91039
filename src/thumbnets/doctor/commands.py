"""The command `thumbnets doctor`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from thumbnets import runtime
from thumbnets.doctor import files, machine, state
from thumbnets.doctor.findings import Finding
from thumbnets.messages import shorten
from thumbnets.params import load_params
from thumbnets.watched import check_watched

NO_PROJECT = "No project here: go to a folder of a project, which has dvc.yaml at its root."


def examine(root: Path, cache: Path) -> list[Finding]:
    """All findings, in the order in which to repair them."""
    checks: dict[str, Callable[[], list[Finding]]] = {
        "git": lambda: state.repository(root),
        "DVC's lock": lambda: state.rwlock(root),
        "dvc.lock": lambda: state.lock_file(root),
        "metrics": lambda: state.metrics(root),
        "params against dvc.lock": lambda: state.params(root),
        "weights and predictions": lambda: files.artifacts(root, cache),
        "libraries": lambda: machine.libraries(root),
        "params": lambda: _of_params(root),
        "the remote of DVC": lambda: machine.remote(root),
        "room on the disk": lambda: files.room(root, cache),
    }
    return [finding for what, check in checks.items() for finding in _found(what, check)]


def _found(what: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """The findings of a check; if it fails, that is a finding, and others may say why."""
    try:
        return check()
    except Exception as error:  # anything, such as the effects of missing libraries
        problem = f"{what} can't be examined: {type(error).__name__}: {shorten(str(error))}"
        return [Finding(problem, "repair the other findings first, or make install")]


def _of_params(root: Path) -> list[Finding]:
    if found := state.conflicts(root):
        return found
    try:
        params = load_params()
        check_watched(params)
    except ValueError as error:
        return [machine.of_params(error)]
    return [*files.missing(root, params), *machine.arithmetic(params)]


def doctor(arguments: argparse.Namespace) -> None:
    """Find what is broken or odd in the project, and name the command that repairs it."""
    root = Path.cwd()
    if not any((root / name).exists() for name in ("dvc.yaml", ".dvc")):
        raise ValueError(NO_PROJECT)
    found = examine(root, root / (runtime.dvc_cache() or ".dvc/cache"))
    broken = 0
    for finding in found:
        if arguments.fix and finding.mend:
            finding.mend()
            print(f"repaired: {finding.problem}")
            continue
        broken += finding.broken
        print(f"{'broken' if finding.broken else 'note'}: {finding.problem}")
        print(f"    {finding.remedy}")
    if broken:
        sys.exit(1)
    print("Nothing is broken.")


def mend_locks(root: Path) -> None:
    """Repair what a kill has left of DVC's own files, so that the next command can run.

    Raises:
        ValueError: A file needs a person's decision, or a live run is writing it.
    """
    for finding in [*state.rwlock(root), *state.lock_file(root)]:
        if finding.mend:
            finding.mend()
            print(f"repaired: {finding.problem}")
        elif finding.broken:
            raise ValueError(f"{finding.problem}: {finding.remedy}.")


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the options of `doctor`."""
    parser.add_argument(
        "--fix", action="store_true", help="repair what can be repaired without losing results"
    )
