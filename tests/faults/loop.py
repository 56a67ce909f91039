"""The loop that damages files and judges what their readers do."""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .kinds import Kind
from .mutations import mutate

LONGEST = 600  # characters of a message without the paths in it


@dataclass
class Tally:
    """What became of the damaged files of one kind.

    Attributes:
        read: How many were read: damage that a format has no checksum for.
        refused: How many were refused in one line that names the file.
        faults: What went wrong with each of the others, by the number of the mutation.
    """

    read: int = 0
    refused: int = 0
    faults: dict[int, str] = field(default_factory=dict)


def attack(kind: Kind, folder: Path, count: int, start: int = 0) -> Tally:
    """Damage a file and read it, `count` times.

    Args:
        kind: Kind of file.
        folder: Empty folder.
        count: Number of mutations.
        start: Number of the first one, which seeds it, so that one can be repeated alone.
    """
    path = kind.make(folder)
    good, tally = path.read_bytes(), Tally()
    kind.read(path)
    for number, content in _damaged(kind, good, range(start, start + count)):
        path.write_bytes(content)
        fault = _judge(kind, path, tally)
        if fault:
            tally.faults[number] = fault
    path.write_bytes(good)
    kind.read(path)  # no reader has changed what it rests on
    return tally


def _damaged(kind: Kind, good: bytes, numbers: range) -> Iterator[tuple[int, bytes]]:
    inner = kind.unwrap and kind.unwrap(good)
    for number in numbers:
        rng = random.Random(zlib.crc32(f"{kind.name} {number}".encode()))
        content = good
        while content == good:
            inside = inner is not None and rng.random() < 0.5
            content = kind.wrap(mutate(inner, rng)) if inside else mutate(good, rng)
            if inside and kind.unwrap(content) == inner:
                content = good
        yield number, content


def _judge(kind: Kind, path: Path, tally: Tally) -> str | None:
    try:
        kind.read(path)
    except (ValueError, OSError) as error:
        fault = judge_message(error, path)
        tally.refused += fault is None
        return fault
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    if kind.checked:
        return "was read, though a checksum is wrong"
    tally.read += 1
    return None


def judge_message(error: Exception, path: Path) -> str | None:
    """What is wrong with a message; None if it is one short line that names the file."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    names = [str(place) for place in (path, path.parent)]
    names += [str(path.relative_to(path.parents[2])), path.name]
    if not any(name in text for name in names):
        return f"does not name the file: {type(error).__name__}: {text[:200]}"
    if "\n" in text:
        return f"more than one line: {text[:200]}"
    if len(text.replace(str(path.parent), "")) > LONGEST:
        return f"{len(text)} characters: {text[:200]}"
    return None
