"""Classifying image files with a trained model: some at a time, however many there are."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thumbnets.api import ImageClassifier
from thumbnets.data.formats import SUFFIXES
from thumbnets.data.images import MOST_PIXELS, highest_value
from thumbnets.data.listing import images_below


@dataclass(frozen=True)
class Answer:
    """The answer for one file.

    Attributes:
        file: The file.
        probabilities: float64 [K]; None if it can't be read.
        pixels: uint8 [C, H, W], as the model takes them; None likewise.
        reason: Why it can't be read, without the file's name.
    """

    file: Path
    probabilities: np.ndarray | None = None
    pixels: np.ndarray | None = None
    reason: str | None = None


def image_files(places: Iterable[Path]) -> list[Path]:
    """The files named, and the images in the folders named, in order.

    Paths that do not exist or can't be opened, and links to folders inside, stay in the list, to be
    reported with the rest.

    Raises:
        ValueError: There is no image at all.
    """
    files: list[Path] = []

    def locked(error: OSError) -> None:
        files.append(Path(error.filename))

    for place in places:
        if os.path.isdir(place):  # Path.is_dir raises without permission
            folder = place.resolve() if place.is_symlink() else place
            files += images_below(folder, Counter(), link=files.append, locked=locked)
        else:
            files.append(place)
    if not files:
        named = ", ".join(map(str, places))
        raise ValueError(f"No image found in {named}; looked for {', '.join(sorted(SUFFIXES))}.")
    return files


def predict(model: ImageClassifier, files: list[Path]) -> Iterator[Answer]:
    """Probabilities of each image file, or why it can't be read, in order.

    Memory holds one batch: `model.trained.at_once` images of the size that the model takes.
    """
    for start in range(0, len(files), model.trained.at_once):
        some = files[start : start + model.trained.at_once]
        found = [_read_or_reason(path, model) for path in some]
        images = [image for image in found if not isinstance(image, str)]
        rows = iter(model.probabilities(np.stack(images)) if images else ())
        for path, image in zip(some, found, strict=True):
            if isinstance(image, str):
                yield Answer(path, reason=image)
            else:
                yield Answer(path, next(rows), image)


def is_dim(file: Path, depth: int) -> bool:
    """Whether no value of a 16-bit file reaches a quarter of `depth` bits, as of 12 bits in 16."""
    highest = highest_value(file, max_pixels=MOST_PIXELS)
    return highest is not None and 4 * highest < 2**depth


def _read_or_reason(path: Path, model: ImageClassifier) -> np.ndarray | str:
    try:
        if path.is_symlink() and path.is_dir():
            return "is a link to a folder and not followed: name it directly"
        if path.is_dir():
            return "is a folder that can't be opened"
        if not os.path.lexists(path):
            return "does not exist" + (" (--model names a model)" if not path.suffix else "")
        if not path.exists():
            return "is a link to nothing"
        if not path.is_file():  # reading a FIFO would wait forever
            return "can't be read as an image: not a regular file"
        return model.pixels(path)
    except (ValueError, OSError) as error:
        # The answer names the file already; Pillow's reasons name it as well.
        return str(error).removeprefix(f"{path} ").replace(f" '{path}'", "").rstrip(":")
