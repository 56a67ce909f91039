"""Which files below a folder are images: one rule for training and `thumbnets predict`."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from thumbnets.data.formats import is_left_behind, passed_over
from thumbnets.data.names import shown


def images_below(folder: Path, kinds: Counter[str]) -> Iterator[Path]:
    """The images in a folder and in those inside, in order.

    Args:
        folder: Where to look.
        kinds: Counts the files that are passed over, by kind.

    Raises:
        ValueError: A folder is a link, which DVC does not look behind.
    """
    if folder.is_symlink():
        refuse_link(folder)
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_left_behind(name))
        if linked := next((n for n in folders if (Path(place) / n).is_symlink()), None):
            refuse_link(Path(place) / linked)
        for path in map(Path(place).joinpath, sorted(names)):
            if is_left_behind(path.name):
                continue
            if kind := passed_over(path):
                kinds[kind] += 1
            else:
                yield path


def refuse_link(path: Path) -> None:
    """Say what to do about a link to a place where DVC sees no change.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"{shown(path)} is a link, behind which no change would be noticed: put a copy there "
        f"(cp -r), or hard links (cp -rl)."
    )
