"""Files of commits, read from git's objects in a few calls."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from thumbnets.paths import LOCK

MOST = 20_000_000  # largest file that is read, in bytes: a foreign commit may hold anything

TREE = "working tree"


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
            ["git", *arguments],
            cwd=root,
            input=None if text is None else text.encode(),
            capture_output=True,
        )
    except FileNotFoundError:
        raise ValueError("git not found: install it.") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["failed"]
        raise ValueError(f"git {arguments[0]}: {lines[-1][:200]}")
    return done.stdout


def commit(root: Path, revision: str) -> str:
    """The full name of a commit.

    Raises:
        ValueError: There is no such commit here.
    """
    try:
        found = git(
            root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
    except ValueError as error:
        if "not a git repository" in str(error):
            raise
        raise ValueError(
            f"{revision[:200]!r} is not a commit of this repository: fetch it first, for "
            "example by `git fetch origin`."
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


@dataclass(frozen=True)
class Snapshot:
    """The project as it was in a commit, or as it is in the working tree.

    Attributes:
        root: Folder of the project.
        name: Full name of the commit, or `working tree`.
    """

    root: Path
    name: str

    # Paths that a review looks at; all else stays unread.
    _LOOKED_AT = ("params.yaml", "zoo", "metrics", str(LOCK), "src", "stages", "requirements.lock")
    _READ = ("params.yaml", "zoo/", "metrics/", str(LOCK), "requirements.lock")

    @cached_property
    def objects(self) -> dict[str, str]:
        """Name of the object of every file that a review looks at, by path."""
        if self.name == TREE:
            listed = git(
                self.root, "ls-files", "-z", "-co", "--exclude-standard", "--", *self._LOOKED_AT
            )
            found = {path for path in listed.decode().split("\0") if path}
            paths = sorted(path for path in found if (self.root / path).is_file())
            hashed = git(self.root, "hash-object", "--stdin-paths", text="\n".join(paths))
            return dict(zip(paths, hashed.decode().split(), strict=True))
        listed = git(self.root, "ls-tree", "-r", "-z", self.name, "--", *self._LOOKED_AT).decode()
        entries = (line.split("\t", 1) for line in listed.split("\0") if line)
        return {path: facts.split()[2] for facts, path in entries if facts.split()[1] == "blob"}

    @cached_property
    def files(self) -> dict[str, str]:
        """Contents of params, metrics and locks, by path."""
        wanted = [path for path in self.objects if path.startswith(self._READ)]
        if self.name == TREE:
            return {path: _text((self.root / path).read_bytes()) for path in wanted}
        blobs = read_blobs(self.root, [self.objects[path] for path in wanted])
        return {path: _text(blobs[self.objects[path]]) for path in wanted}

    def sources(self, paths: Iterable[str]) -> dict[str, str]:
        """Contents of some code files."""
        wanted = [path for path in paths if path in self.objects]
        if self.name == TREE:
            return {path: _text((self.root / path).read_bytes()) for path in wanted}
        blobs = read_blobs(self.root, [self.objects[path] for path in wanted])
        return {path: _text(blobs[self.objects[path]]) for path in wanted}

    @property
    def short(self) -> str:
        """Its name for display."""
        return self.name if self.name == TREE else self.name[:10]

    @property
    def lock(self) -> str:
        """Text of its dvc.lock; empty if there is none."""
        return self.files.get(str(LOCK), "")

    @property
    def remedy(self) -> str:
        """What to do if its results are missing or are those of something else."""
        commit = "" if self.name == TREE else f" there and commit {LOCK} and metrics/"
        return f"run `dvc repro`{commit}"


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")
