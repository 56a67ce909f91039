"""What was found in source code before, remembered as long as that code stays the same.

Most runs change params alone, and following the names in all modules takes a second.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from thumbnets import paths

Found = dict[str, Any]
Seen = dict[str, tuple[int, int] | None]


def remembered(
    question: Mapping[str, Any], source: Path, find: Callable[[], tuple[Found, Collection[Path]]]
) -> Found:
    """What `find` returns, or returned before for the same question and the same code.

    Args:
        question: What is asked, as JSON.
        source: Folder that holds the project's package(s).
        find: Returns the answer, as JSON, and the files that it was read from.
    """
    asked = json.dumps([question, source.as_posix(), sys.version_info[:2]], sort_keys=True)
    name = f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
    try:
        code, seen = _code(source)
    except OSError:  # files come and go
        return find()[0]
    file = paths.FOUND_IN_CODE / code / name
    with suppress(OSError, ValueError):  # there is none, or it was cut off in writing
        return json.loads(file.read_bytes())
    found, files = find()
    whole = all(seen.get(path.as_posix()) for path in files)  # of others only the name is known
    with suppress(OSError):  # a full or read-only disk: it is found anew next time
        if whole and _seen(source) == seen:  # not edited while it was read
            _write(file, found)
    return found


def _write(file: Path, found: Found) -> None:
    """Write a finding, and remove those in other code.

    Whoever writes a file of this name writes the same, so that it need not be replaced at once.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    for other in file.parent.parent.iterdir():
        if other != file.parent:
            shutil.rmtree(other, ignore_errors=True)
    file.write_text(json.dumps(found), encoding="utf-8")


def forget_code() -> None:
    """Read the code anew from now on: it may have changed."""
    _code.cache_clear()


@cache
def _code(source: Path) -> tuple[str, Seen]:
    """SHA-256 of all that a finding may rest on, and what was seen of it before it was read."""
    seen = _seen(source)
    digest = hashlib.sha256(json.dumps([*seen]).encode())
    for path, stamp in seen.items():
        if stamp:
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return digest.hexdigest(), seen


def _seen(source: Path) -> Seen:
    """All that a finding may rest on: size and time of change of files, None where a name is all.

    These are files below `source` and `stages`, and the code that looks. Names are enough of
    folders, and of modules elsewhere in the working folder: a new one may take the place of one
    that was not found.
    """
    whole = [source.as_posix(), paths.STAGES.as_posix()]
    looks = [] if Path(__file__).is_relative_to(source.absolute()) else [os.path.dirname(__file__)]
    below = [path for folder in whole + looks for path in _below(folder)]
    seen = {path: _stamp(path) for path in below}
    elsewhere = _below(".", hidden=False, known=whole)
    return seen | {path: None for path in elsewhere if path.endswith(".py")}


def _stamp(path: str) -> tuple[int, int] | None:
    """Size and time of change of a file; None of a folder, or what can't be read as a file."""
    if not os.path.isfile(path):
        return None
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _below(root: str, *, hidden: bool = True, known: Collection[str] = ()) -> Iterator[str]:
    """Files and folders (with a slash) below a folder, in order.

    Left out are hidden files, what Python compiled, and environments of Python's.

    Args:
        root: The folder.
        hidden: Whether to look into hidden folders.
        known: Folders below it that are left out as well.
    """
    for place, folders, files in os.walk(root):
        folders.sort()
        if "pyvenv.cfg" in files or os.path.normpath(place) in known:
            folders.clear()
            continue
        folders[:] = [
            name for name in folders if name != "__pycache__" and (hidden or name[0] != ".")
        ]
        yield f"{place}/"
        yield from sorted(f"{place}/{name}" for name in files if name[0] != ".")
