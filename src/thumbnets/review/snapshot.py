"""The project as it was in a commit, or is in the working tree."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from thumbnets.git import git, read_blobs
from thumbnets.paths import LOCK

TREE = "working tree"


@dataclass(frozen=True)
class Snapshot:
    """The project as it was in a commit, or as it is in the working tree.

    Attributes:
        root: Folder of the project.
        name: Full name of the commit, or `working tree`.
    """

    root: Path
    name: str

    _READ = ("params.yaml", "zoo/", "metrics/", str(LOCK), "requirements.lock")
    # Paths that a review looks at; all else stays unread.
    _LOOKED_AT = (*_READ, "src", "stages", "corrections")

    @cached_property
    def objects(self) -> dict[str, str]:
        """Name of the object of every file that a review looks at, by path."""
        if self.name == TREE:
            listed = git(
                self.root, "ls-files", "-z", "-co", "--exclude-standard", "--", *self._LOOKED_AT
            )
            found = {path for path in listed.decode().split("\0") if path}
            paths = sorted(path for path in found if (self.root / path).is_file())
            # Whole paths: git reads these as below the root of the repository, not as from here.
            whole = "\n".join(str(self.root.absolute() / path) for path in paths)
            hashed = git(self.root, "hash-object", "--stdin-paths", text=whole)
            return dict(zip(paths, hashed.decode().split(), strict=True))
        listed = git(self.root, "ls-tree", "-r", "-z", self.name, "--", *self._LOOKED_AT).decode()
        entries = (line.split("\t", 1) for line in listed.split("\0") if line)
        return {path: facts.split()[2] for facts, path in entries if facts.split()[1] == "blob"}

    @cached_property
    def files(self) -> dict[str, str]:
        """Contents of params, metrics and locks, by path."""
        return self.read(path for path in self.objects if path.startswith(self._READ))

    def read(self, paths: Iterable[str]) -> dict[str, str]:
        """Texts of some files, such as code; those that it does not have are left out."""
        found = self.contents(paths)
        return {path: text.decode("utf-8", errors="replace") for path, text in found.items()}

    def contents(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Contents of some files; those that it does not have are left out."""
        wanted = [path for path in paths if path in self.objects]
        if self.name == TREE:
            return {path: (self.root / path).read_bytes() for path in wanted}
        blobs = read_blobs(self.root, [self.objects[path] for path in wanted])
        return {path: blobs[self.objects[path]] for path in wanted}

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
