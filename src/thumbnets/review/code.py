"""Differences in the code of two commits, in words, and trainings whose inputs differ."""

import ast
import re
from pathlib import PurePosixPath

from thumbnets.paths import TRAIN
from thumbnets.review.snapshot import Snapshot
from thumbnets.syntax import code_of

_LOCK = "requirements.lock"

# An entry of dvc.lock, as DVC writes it; a YAML parser takes a second for a large file.
_LOCKED = re.compile(r"^ +- path: (\S+)\n(?: +hash: \S+\n)? +md5: (\S+)$", re.MULTILINE)

# What the files of a folder are; the first name that fits counts.
_WORDS = {
    "src/thumbnets/training/loop.py": "training loop",
    "src/thumbnets/models/": "network {}",
    "src/thumbnets/methods/": "method {}",
    "src/thumbnets/training/": "training: {}",
    "src/thumbnets/data/augment/": "augmentation: {}",
    "src/thumbnets/data/": "data: {}",
    "src/thumbnets/ensembles/": "ensembles: {}",
    "src/thumbnets/evaluation/": "evaluation: {}",
    "src/thumbnets/report/": "report: {}",
    "src/thumbnets/review/": "review: {}",
    "src/thumbnets/launch/": "launch: {}",
    "src/thumbnets/": "{}",
    "stages/": "stage {}",
}


def code_changes(before: Snapshot, after: Snapshot) -> list[str]:
    """Parts of the code that differ in more than comments and texts, and pinned libraries."""
    paths = sorted(
        path
        for path in before.objects.keys() | after.objects.keys()
        if path.startswith(("src/", "stages/"))
        and before.objects.get(path) != after.objects.get(path)
    )
    old, new = before.read(paths), after.read(paths)
    found = [
        _in_words(path, old.get(path), new.get(path))
        for path in paths
        if not _same(path, old.get(path), new.get(path))
    ]
    return list(dict.fromkeys(found)) + _libraries(before, after)


def _in_words(path: str, old: str | None, new: str | None) -> str:
    pattern = next((words for start, words in _WORDS.items() if path.startswith(start)), None)
    name = PurePosixPath(path)
    part = name.parent.name if name.stem == "__init__" else name.stem
    words = pattern.format(part) if pattern else path
    return f"{words} (new)" if old is None else f"{words} (removed)" if new is None else words


def _same(path: str, old: str | None, new: str | None) -> bool:
    if old is None or new is None or not path.endswith(".py"):
        return old == new
    try:
        return code_of(ast.parse(old)) == code_of(ast.parse(new))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _libraries(before: Snapshot, after: Snapshot) -> list[str]:
    old, new = (_pins(snapshot.files.get(_LOCK, "")) for snapshot in (before, after))
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return [f"library {n} {old.get(n, '(none)')} → {new.get(n, '(none)')}" for n in names]


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, flags=re.MULTILINE))


def checksums(lock: str) -> dict[str, str]:
    """MD5 of each file and folder by path, from the text of dvc.lock."""
    return dict(_LOCKED.findall(lock))


def other_trainings(before: Snapshot, after: Snapshot, models: list[str]) -> list[str]:
    """Those of the blocks whose inputs differ, according to dvc.lock of both commits.

    Inputs are settings, code and training images.
    """
    old, new = (checksums(of.lock) for of in (before, after))

    def inputs(locked: dict[str, str], model: str) -> tuple[str, str | None] | None:
        paths = (f"build/inputs/{model}.json", f"build/code/{model}.json")
        found = next((locked[path] for path in paths if path in locked), None)
        return found and (found, locked.get(str(TRAIN)))

    return [name for name in models if inputs(old, name) and inputs(old, name) != inputs(new, name)]
