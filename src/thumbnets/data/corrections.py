"""Labels that a user has corrected, `data.corrections`: a CSV file of checksums of images."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import parsing, read_lines
from thumbnets.data.arrays import chunks
from thumbnets.data.names import csv_cell, shown
from thumbnets.data.readers import Part
from thumbnets.messages import shorten

COLUMNS = ("checksum", "file", "old_label", "new_label")
_DIGITS = {32, 64}  # of a checksum of pixels, and of a file


@dataclass(frozen=True)
class Correction:
    """One line of the file.

    Attributes:
        where: File and line, for messages.
        checksum: Of the image, hexadecimal: see `checksums_of`.
        old_label, new_label: Names of classes.
    """

    where: str
    checksum: str
    old_label: str
    new_label: str


def check_place(path: str) -> None:
    """Refuse a file where DVC would not notice an edit.

    Raises:
        ValueError: It lies elsewhere, or is missing.
    """
    file = Path(path)
    if file.parent != paths.CORRECTIONS or not file.is_file():
        raise ValueError(
            f"must be a file that exists in {paths.CORRECTIONS}/, where edits are noticed, got "
            f"{shown(path)}: cp {paths.SUGGESTIONS} {paths.CORRECTIONS}/, and edit it there"
        )


def read_corrections(path: Path, classes: tuple[str, ...]) -> list[Correction]:
    """Read the corrections.

    Args:
        path: CSV file with the columns checksum, old_label and new_label; others are not read.
        classes: Names of the classes.

    Raises:
        ValueError: In one line: a column is missing, or which line has which fault.
    """
    remedy = f"correct it; its columns are {', '.join(COLUMNS)}"
    rows = read_lines(path, remedy)
    with parsing(path, remedy):
        found = [
            Correction(
                f"{path}, line {number}",
                row["checksum"].strip().lower(),
                row["old_label"],
                row["new_label"],
            )
            for number, row in rows
        ]
    by_cell = {csv_cell(name): name for name in classes} | {name: name for name in classes}
    seen: dict[str, Correction] = {}
    for one in found:
        digits = set(one.checksum) <= set("0123456789abcdef")
        if not digits or len(one.checksum) not in _DIGITS:
            given = shorten(shown(one.checksum)) or "nothing"
            raise ValueError(f"{one.where}: {given} is no checksum of 32 or 64 hexadecimal digits.")
        for label in (one.old_label, one.new_label):
            if label not in by_cell:
                given = shorten(shown(label))
                known = ", ".join(map(shown, classes[:20])) + (", …" * (len(classes) > 20))
                raise ValueError(f"{one.where}: no class is called '{given}'; got {known}.")
        before = seen.setdefault(one.checksum, one)
        if before.new_label != one.new_label:
            raise ValueError(f"{one.where}: {before.where} gives the same image another label.")
    return [
        replace(one, old_label=by_cell[one.old_label], new_label=by_cell[one.new_label])
        for one in found
    ]


def checksums_of(part: Part, places: np.ndarray | None = None) -> list[str]:
    """Checksums of images, hexadecimal: of their files where they have some, else of their pixels.

    So a correction of the user's own images holds at every `data.size`.

    Args:
        part: The images.
        places: Which, int64; None: all.
    """
    if part.checksums is not None:
        return [part.checksums[n] for n in (range(len(part.labels)) if places is None else places)]
    images = part.images if places is None else part.images[places]
    return [
        hashlib.blake2b(image, digest_size=16).hexdigest()
        for some in chunks(images)
        for image in some
    ]


def correct_labels(part: Part, corrections: list[Correction], classes: tuple[str, ...]) -> Part:
    """Give the training images named in corrections their new labels; test images keep theirs.

    Args:
        part: The training images.
        corrections: What to correct; an image that has its new label already is left alone.
        classes: Names of the classes.

    Raises:
        ValueError: An image is not among them, or has neither the old nor the new label.
    """
    places: dict[str, list[int]] = {}
    for number, checksum in enumerate(checksums_of(part)):
        places.setdefault(checksum, []).append(number)
    labels = part.labels.copy()
    for one in corrections:
        if one.checksum not in places:
            raise ValueError(
                f"{one.where}: no training image has the checksum {one.checksum[:16]}…: take the "
                "line out (images that test are not corrected)."
            )
        old, new = classes.index(one.old_label), classes.index(one.new_label)
        for number in places[one.checksum]:
            if labels[number] not in (old, new):
                raise ValueError(
                    f"{one.where}: the image has the label {shown(classes[labels[number]])}, "
                    f"neither {shown(one.old_label)} nor {shown(one.new_label)}."
                )
            labels[number] = new
    return replace(part, labels=labels)
