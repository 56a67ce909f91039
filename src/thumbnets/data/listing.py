"""Which files below a folder are images: one rule for training and `thumbnets predict`."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from thumbnets.data.formats import is_left_behind, passed_over
from thumbnets.data.names import is_utf8, shown


def refuse_link(path: Path) -> None:
    """Say what to do about a link to a place where DVC sees no change.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"{shown(path)} is a link, behind which no change would be noticed: put a copy there "
        f"(cp -r), or hard links (cp -rl)."
    )


def refuse_locked(error: OSError) -> None:
    """Say what to do about a folder that can't be opened.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"{shown(error.filename)} can't be looked into ({error.strerror}): change its permissions, "
        "or move it."
    ) from None


def images_below(
    folder: Path,
    kinds: Counter[str],
    *,
    link: Callable[[Path], object] = refuse_link,
    locked: Callable[[OSError], object] = refuse_locked,
) -> Iterator[Path]:
    """The images in a folder and in those inside, in order.

    Args:
        folder: Where to look.
        kinds: Counts the files that are passed over, by kind.
        link: Called for a folder that is a link; none is followed.
        locked: Called with the error of a folder that can't be opened.

    Raises:
        ValueError: A folder is a link, which DVC does not follow, or can't be opened.
    """
    if folder.is_symlink():
        link(folder)
    for place, folders, names in os.walk(folder, onerror=locked):
        folders[:] = sorted(name for name in folders if not is_left_behind(name))
        for path in map(Path(place).joinpath, folders):
            if path.is_symlink():
                link(path)
        for path in map(Path(place).joinpath, sorted(names)):
            if is_left_behind(path.name):
                continue
            if kind := passed_over(path):
                kinds[kind] += 1
            else:
                yield path


def refuse_untracked(folder: Path) -> None:
    """Refuse what DVC can't read when it looks for changes: it would fail, or wait forever.

    Args:
        folder: Where to look, at images and all else.

    Raises:
        ValueError: There is a link to nothing, a FIFO or device, a name that is not UTF-8, or a
            folder that can't be opened.
    """
    for place, folders, names in os.walk(folder, onerror=refuse_locked):
        if unsayable := next((name for name in [*folders, *names] if not is_utf8(name)), None):
            raise ValueError(
                f"{shown(Path(place) / unsayable)} has a name that is not UTF-8, which DVC can't "
                "write down: rename it."
            )
        for path in map(Path(place).joinpath, names):
            if not path.is_file():
                kind = "a link to nothing" if path.is_symlink() else "no regular file"
                raise ValueError(f"{shown(path)} is {kind}, which DVC can't read: remove it.")
