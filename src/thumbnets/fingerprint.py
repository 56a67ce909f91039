"""Fingerprints of code: what a stage or a training depends on, as fine-grained as the params.

A fingerprint lists the project's modules that a root imports, directly or not, each with a hash of
those of its functions, classes and constants that are used (comments, docstrings and texts of
errors left out), and the pinned releases of the libraries they import. All is found by reading
source; nothing is imported.

What is used: all of a root; of other modules what is named there or in what is used itself,
statements that act when the module is imported, and entries of registries that the params name.
Classes count as a whole.
"""

import gc
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from thumbnets import paths
from thumbnets.modules import (
    file_of,
    files_of,
    imported_files,
    imports,
    module_name,
    module_of,
    named,
)
from thumbnets.references import (
    Place,
    Target,
    asked_for,
    entries,
    forget_references,
    is_dotted,
    reached_from,
    targets_of,
)
from thumbnets.remembered import forget_code, remembered
from thumbnets.statements import REGISTRIES, Statement

Fingerprint = dict[str, Any]

# Modules that can't change a number: where files lie (dvc.yaml says it too), where finished work is
# found and what it depends on, how errors and progress are shown, that torch's compiler stays out,
# and how params.yaml and zoo/ are read and checked, since the settings that come of them count by
# their values. If they counted, a new path for the report would retrain every model.
WITHOUT_EFFECT = {
    "thumbnets.blocks",
    "thumbnets.checks",
    "thumbnets.choices",
    "thumbnets.claims",
    "thumbnets.compiler",
    "thumbnets.fingerprint",
    "thumbnets.messages",
    "thumbnets.modules",
    "thumbnets.options",
    "thumbnets.paths",
    "thumbnets.references",
    "thumbnets.registry",
    "thumbnets.remembered",
    "thumbnets.side_effects",
    "thumbnets.stage",
    "thumbnets.statements",
    "thumbnets.store",
    "thumbnets.syntax",
    "thumbnets.training.progress",
    "thumbnets.yaml_files",
    "thumbnets.zoo",
}

# Import names whose distribution has another name.
_RELEASED_AS = {"sklearn": "scikit-learn", "PIL": "pillow", "ruamel": "ruamel-yaml"}

# What may be found by a name that stands in another file. Names of other entries are common words,
# such as "step".
_NAMED_ANYWHERE = {"NETWORKS", "modules"}


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Syntax trees are many objects that live on: looking for garbage takes as long as all else."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_no_garbage_collection()
def fingerprint(
    roots: list[Path],
    source: Path,
    requirements: Path,
    *,
    entries: Collection[str] = (),
    unused: Collection[str] = (),
) -> Fingerprint:
    """What `roots` depend on.

    Args:
        roots: Python files to begin with.
        source: Folder that holds the project's package(s), `src`.
        requirements: The lock file with the pinned releases.
        entries: Names of functions that registries find by them.
        unused: Modules that are imported, but never called with the params at hand.

    Returns:
        `modules`: module or script name to SHA-256 of what is used of it; `libraries`: import name
        to pinned release(s); `roots`, `entries` and `unused` as given.

    Raises:
        ValueError: A file is not valid Python.
    """
    asked = {
        "roots": [root.as_posix() for root in roots],
        "entries": sorted(entries),
        "unused": sorted(unused),
    }
    found, pins = _found(asked, source), _pins(requirements)
    libraries = {
        name: pins[release]
        for name in found["imports"]
        if (release := _normal(_RELEASED_AS.get(name, name))) in pins
    }
    return {"modules": found["modules"], "libraries": libraries, **asked}


def _found(asked: Mapping[str, list[str]], source: Path) -> dict[str, Any]:
    """Hashes of the modules that are used, and names of all packages that they import."""

    def find() -> tuple[dict[str, Any], set[Path]]:
        used = _Used(source, asked["entries"], asked["unused"]).by(map(Path, asked["roots"]))
        imported = {
            name.split(".")[0]
            for file in used.files
            if module_name(file, source) not in WITHOUT_EFFECT
            for name in imports(file, source)
        }
        return {"modules": used.hashes(), "imports": sorted(imported)}, used.files

    return remembered(asked, source, find)


@_no_garbage_collection()
def changed(fingerprints: Iterable[Mapping[str, Any]], source: Path) -> list[str]:
    """Modules whose code no longer matches fingerprints; files are read anew, once for all.

    Args:
        fingerprints: They were made in this working folder.
        source: As for `fingerprint`.
    """
    forget()
    return list(dict.fromkeys(name for code in fingerprints for name in _changed(code, source)))


def _changed(code: Mapping[str, Any], source: Path) -> list[str]:
    before, asked = code["modules"], {key: code[key] for key in ("roots", "entries", "unused")}
    try:
        now = _found(asked, source)["modules"]
    except (ValueError, OSError):  # a file is gone, or no longer valid Python
        return [name for name in before if not _is_readable(name, source)]
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def forget() -> None:
    """Read files anew from now on: they may have changed since this process read them."""
    forget_references()
    forget_code()
    _pins.cache_clear()


def _is_readable(name: str, source: Path) -> bool:
    try:
        return bool(named(name, source))
    except ValueError:
        return False


class _Used:
    """The statements that are used, and the files that they come from.

    Args:
        source: As for `fingerprint`.
        entries: As for `fingerprint`.
        unused: As for `fingerprint`.
    """

    def __init__(self, source: Path, entries: Collection[str], unused: Collection[str]) -> None:
        self.source, self.entries, self.unused = source, set(entries), set(unused)
        self.files: set[Path] = set()
        self.places: set[Place] = set()
        self._waiting: list[Place] = []
        # Of all statements: what is found by name, and strings that may be names; both may lie in
        # different files, as of a helper that is given the name of a network.
        self._finds: set[str] = set()
        self._strings: set[str] = set()
        self._targets: set[Target] = set()

    def by(self, roots: Iterable[Path]) -> "_Used":
        """Add what these files use, and all of the files themselves."""
        for root in roots:
            self._use(root)
        while self._waiting or self._use_what_is_named():
            name, number = place = self._waiting.pop()
            module = named(name, self.source)
            if place in self.places or name in self.unused:
                continue
            self.places.add(place)
            self._waiting += reached_from(name, number, self.source)
            statement = module.statements[number]
            for file, entry in asked_for(name, number, self.source):
                self._use(file, entry)
            if name in WITHOUT_EFFECT:
                continue
            self._finds |= statement.names.finds & _NAMED_ANYWHERE
            self._strings |= statement.names.strings
            if statement.names.searches:  # it may use all there is
                self.entries.update(one for of in REGISTRIES for one in entries(of))
                for file in sorted(self.files):
                    self._use(file)
        return self

    def _use_what_is_named(self) -> bool:
        """Use networks and modules that strings name; whether there are any more."""
        targets = {
            target
            for text in self._strings
            for target in targets_of(text, frozenset(self._finds), None, self.source)
        }
        for file, entry in targets - self._targets:
            self._use(file, entry)
        self._targets |= targets
        return bool(self._waiting)

    def _use(self, file: Path, entry: str | None = None) -> None:
        """Use all of a file, or only an entry of a registry."""
        self._import(file)
        module = module_of(file, self.source)
        self._waiting += (
            (module.name, number)
            for number, statement in enumerate(module.statements)
            if entry in (None, statement.entry)
        )

    def _import(self, file: Path) -> None:
        """Add what importing a file runs: the packages that it lies in, and what all import."""
        name = module_name(file, self.source)
        found = [file, *files_of(name, self.source), *files_of(name, Path())]
        while found:
            file = found.pop()
            if file in self.files or module_name(file, self.source) in self.unused:
                continue
            self.files.add(file)
            found += imported_files(file, self.source)
            module = module_of(file, self.source)
            self._waiting += (
                (module.name, number)
                for number, statement in enumerate(module.statements)
                if statement.acts or statement.entry in self.entries
            )

    def hashes(self) -> dict[str, str]:
        """SHA-256 of what is used of each module, in the order of the source."""
        of_module: dict[str, list[Statement]] = {}
        for name, number in sorted(self.places):
            if name not in WITHOUT_EFFECT:
                statement = named(name, self.source).statements[number]
                of_module.setdefault(name, []).append(statement)
        return {name: self._hash(name, used) for name, used in of_module.items()}

    def _hash(self, name: str, statements: list[Statement]) -> str:
        digest = hashlib.sha256("\n".join(one.code for one in statements).encode())
        looking = [one.names for one in statements if one.looks_beside]
        files = {file_of(name, self.source)} if looking else set()
        for names in looking:  # `files("thumbnets.models")`
            packages = filter(is_dotted, names.strings | names.reads)
            files.update(filter(None, (file_of(one, self.source) for one in packages)))
        for path in sorted({path for file in files for path in _data_below(file.parent)}):
            digest.update(path.as_posix().encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def _data_below(folder: Path) -> list[Path]:
    """Files in a folder and below that are no code; those of editors and caches are left out."""
    files = (path for path in paths.visible(folder, "**/*") if path.is_file())
    return [path for path in files if path.suffix not in (".py", ".pyc")]


@cache
def _pins(requirements: Path) -> dict[str, str]:
    """Releases by distribution name, several if the lock has one for each Python release."""
    pins: dict[str, list[str]] = {}
    for line in requirements.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", line):
            pins.setdefault(_normal(match[1]), []).append(match[2])
    return {name: " or ".join(releases) for name, releases in pins.items()}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
