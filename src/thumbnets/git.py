"""git: its commands, and files of commits, read from its objects in a few calls."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

_SILENT = "failed"  # what an error says if git did not
MOST = 20_000_000  # largest file that is read, in bytes: a foreign commit may hold anything


def git(root: Path, *arguments: str, text: str | None = None) -> bytes:
    """The output of a git command.

    Args:
        root: Folder in which it runs.
        arguments: Arguments of the command.
        text: Its standard input.

    Raises:
        ValueError: git is not installed, or the command failed.
    """
    try:
        done = subprocess.run(
            ["git", "-c", f"core.hooksPath={os.devnull}", *arguments],  # DVC's hooks change files
            cwd=root,
            input=None if text is None else text.encode(),
            capture_output=True,
        )
    except FileNotFoundError:
        raise ValueError("git not found: install it.") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [_SILENT]
        told = next((line for line in lines if line.startswith("fatal:")), lines[-1])
        if not is_repository(root):
            raise ValueError(
                f"{root} lies in no git repository: clone one, or begin by `git init`."
            )
        raise ValueError(f"git {arguments[0]}: {told[:200]}")
    return done.stdout


def is_repository(root: Path) -> bool:
    """Whether a folder lies in a git repository."""
    root = root.resolve()
    return any((folder / ".git").exists() for folder in (root, *root.parents))


def commit_of(root: Path, revision: str) -> str:
    """The full name of a commit.

    Raises:
        ValueError: There is no such commit here.
    """
    try:
        if revision.startswith("-"):  # an option: no commit's name
            raise ValueError(f"git rev-parse: {_SILENT}")
        found = git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except ValueError as error:
        if str(error) != f"git rev-parse: {_SILENT}":  # git itself can't work here
            raise
        if ".." in revision:  # no commit's name has two dots
            raise ValueError(
                f"{revision[:200]!r} is a range: name its ends apart, as in `thumbnets review A B`."
            ) from None
        raise ValueError(
            f"{revision[:200]!r} is not a commit of this repository: fetch it first, for "
            "example by `git fetch origin`, in a shallow clone with `--unshallow`."
        ) from None
    return found.decode().strip()


def merge_base(root: Path, a: str, b: str) -> str:
    """The last common commit of two.

    Raises:
        ValueError: There is none, or it was not fetched.
    """
    try:
        return git(root, "merge-base", a, b).decode().strip()
    except ValueError:
        raise ValueError(
            f"{a[:12]} and {b[:12]} have no commit in common here: a shallow clone needs "
            "`git fetch --unshallow`."
        ) from None


def read_blobs(root: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Contents of git objects by name (object id or COMMIT:PATH); missing ones are left out.

    Raises:
        ValueError: An object is larger than any file of a run.
    """
    names = list(dict.fromkeys(names))
    checked = git(root, "cat-file", "--batch-check", text="".join(f"{n}\n" for n in names))
    objects: dict[str, str] = {}
    for name, line in zip(names, checked.decode(errors="replace").splitlines(), strict=True):
        parts = line.rsplit(" ", 2)
        if len(parts) == 3 and parts[1] == "blob":
            if int(parts[2]) > MOST:
                raise ValueError(f"{name}: {int(parts[2]):,} bytes are more than {MOST:,}.")
            objects[name] = parts[0]
    unique = list(dict.fromkeys(objects.values()))
    output, contents, start = git(root, "cat-file", "--batch", text="\n".join(unique)), {}, 0
    for name in unique:
        end = output.index(b"\n", start)
        length = int(output[start:end].rsplit(b" ", 1)[1])
        contents[name] = output[end + 1 : end + 1 + length]
        start = end + length + 2
    return {name: contents[of_name] for name, of_name in objects.items()}


def at_head(root: Path, path: Path) -> bytes | None:
    """Content of a file, relative to the root of the project, in the last commit.

    None if it is not there, or this is not a git repository.
    """
    name = f"HEAD:./{path}"
    try:
        return read_blobs(root, [name]).get(name)
    except ValueError:
        return None
