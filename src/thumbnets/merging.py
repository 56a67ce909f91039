"""A merge driver of git for dvc.lock: `python -m thumbnets.merging` sets it up for this clone.

An entry of dvc.lock records what a command made of its inputs, which is true on either side of a
merge. So entries are merged as a whole, and if both sides have changed one, either will do: `dvc
repro` finds the entries that do not fit the merged params and code, and runs only their stages.
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

from thumbnets.git import git

_DRIVERS = {
    "thumbnets-lock": ("dvc.lock, entry by entry", "{python} -m thumbnets.merging %O %A %B"),
    "thumbnets-made": ("what a stage writes: ours, until dvc repro", "true"),
}


def merge_locks(base: str, ours: str, theirs: str) -> str:
    """The text of dvc.lock after a merge.

    Args:
        base: File of the last common commit; empty where it has none.
        ours: File of one side.
        theirs: File of the other side.

    Raises:
        ValueError: A text is not as DVC writes it.
    """
    head, of_ours = _entries(ours)
    (_, of_base), (_, of_theirs) = _entries(base), _entries(theirs)
    names = dict.fromkeys([*of_ours, *of_theirs])
    merged = (_merged(of_base.get(n), of_ours.get(n), of_theirs.get(n)) for n in names)
    return head + "".join(entry for entry in merged if entry)


def _merged(base: str | None, ours: str | None, theirs: str | None) -> str | None:
    """The entry of a stage; None where one side has removed it."""
    if ours == base:
        return theirs
    if theirs == base or theirs is not None:
        return ours
    return None


def _entries(text: str) -> tuple[str, dict[str, str]]:
    """The text before the first entry, and each entry by the name of its stage."""
    parts = re.split(r"^(?=  [^\s#][^\n]*:\n)", text, flags=re.MULTILINE)
    if text.strip() and not parts[0].endswith("stages:\n"):
        raise ValueError("dvc.lock is not as DVC writes it: `thumbnets doctor` says more.")
    return parts[0], {part.split("\n", 1)[0].strip().rstrip(":"): part for part in parts[1:]}


def install() -> None:
    """Configure git to use the drivers that .gitattributes names.

    Raises:
        ValueError: git refuses, as outside a repository, or is not installed.
    """
    for name, (title, command) in _DRIVERS.items():
        # By `env`: DVC, which reads git's settings, refuses a value that begins with a quoted word.
        command = command.format(python=f"env {shlex.quote(sys.executable)}")
        for key, value in {"name": title, "driver": command}.items():
            git(Path(), "config", f"merge.{name}.{key}", value)
    print(
        "git merges dvc.lock entry by entry in this clone; after a merge: dvc checkout, dvc repro"
    )


def main(*words: str) -> None:
    """Merge three files into the second, as git calls a driver; without any, set it up."""
    parser = argparse.ArgumentParser(
        prog="python -m thumbnets.merging", description=main.__doc__.splitlines()[0]
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="base, ours and theirs")
    files = parser.parse_args(words).files
    if len(files) not in (0, 3):
        parser.error(f"three files, or none, not {len(files)}")
    if not files:
        install()
        return
    base, ours, theirs = (Path(file).read_text(encoding="utf-8") for file in files)
    Path(files[1]).write_text(merge_locks(base, ours, theirs), encoding="utf-8")


if __name__ == "__main__":
    from thumbnets.stage import run

    run(main, *sys.argv[1:])
