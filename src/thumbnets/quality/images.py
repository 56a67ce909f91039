"""Copies and odd images that stage `preprocess` finds, with pictures."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from thumbnets.artifacts import write_arrays, write_csv, write_json
from thumbnets.data.corrections import checksums_of
from thumbnets.data.duplicates import Copies
from thumbnets.quality.odd import find_odd, measure

if TYPE_CHECKING:  # the report only needs the file names here, not scikit-learn
    from thumbnets.data.preprocess import Prepared

MOST_PAIRS = 24  # pairs that are shown
MOST_ODD = 8  # of each kind
PICTURE_SIDE = 64  # pixels; larger images are reduced
LIST, PICTURES, FILES = "images.json", "pictures.npz", "files.csv"


def write_flaws(folder: Path, prepared: "Prepared") -> None:
    """Write copies and odd images (images.json), pictures of some (pictures.npz), and files.csv.

    `files.csv` has file and checksum of each training image if images are the user's own.

    Args:
        folder: Folder to write to.
        prepared: Output of `preprocess`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    images = _Images(prepared)
    copies, pairs = _copies(prepared.copies, images)
    odd, pictures = _odd(images)
    write_json(folder / LIST, {"copies": copies, "odd": odd, "mended": prepared.mended})
    write_arrays(folder / PICTURES, copies=pairs, odd=pictures)
    train = prepared.parts["train"]
    if train.files is not None:
        rows = zip(train.files, checksums_of(train), strict=True)
        write_csv(folder / FILES, ({"file": file, "checksum": sha} for file, sha in rows))


class _Images:
    """The images of both parts under one index: training images, then test images."""

    def __init__(self, prepared: "Prepared") -> None:
        self.parts = [prepared.parts["train"], prepared.parts["test"]]
        self.labels = np.concatenate([part.labels for part in self.parts])
        self.classes = prepared.train.meta.classes
        self.tests_from = len(self.parts[0].labels)

    def _at(self, place: int) -> tuple[int, int]:
        """Part, and index in it."""
        return (0, place) if place < self.tests_from else (1, place - self.tests_from)

    def describe(self, place: int) -> dict[str, Any]:
        """Which image it is."""
        part, number = self._at(place)
        files = self.parts[part].files
        return {
            "part": ("train", "test")[part],
            "name": files[number] if files else str(number),
            "label": self.classes[self.labels[place]],
        }

    def pictures(self, places: list[int]) -> np.ndarray:
        """The images, reduced to `PICTURE_SIDE`, uint8 [P, C, H, W]."""
        found = [picture(self.parts[part].images[n]) for part, n in map(self._at, places)]
        shape = picture(self.parts[0].images[0]).shape
        return np.stack(found) if found else np.empty((0, *shape), np.uint8)


def picture(image: np.ndarray) -> np.ndarray:
    """An image uint8 [C, H, W], reduced to `PICTURE_SIDE` pixels a side if it is larger."""
    if image.shape[1] <= PICTURE_SIDE:
        return image
    shrunk = [
        np.asarray(Image.fromarray(channel).resize((PICTURE_SIDE,) * 2, Image.Resampling.BOX))
        for channel in image
    ]
    return np.stack(shrunk)


def _copies(copies: Copies, images: _Images) -> tuple[dict[str, Any], np.ndarray]:
    """Counts of pairs with examples, and pictures uint8 [E, 2, C, H, W] of the examples."""
    pairs, leaked = copies.pairs, copies.leaked
    other = images.labels[pairs[:, 0]] != images.labels[pairs[:, 1]]
    # The most serious first: pairs across both parts, then those with different labels.
    examples = pairs[np.lexsort((~other, ~leaked))][:MOST_PAIRS].tolist()
    found = {
        "across": int(leaked.sum()),
        "within_train": int(copies.in_training.sum()),
        "within_test": int((~leaked & ~copies.in_training).sum()),
        "other_label": int(other.sum()),
        "training_images": len(copies.to_drop()),
        "examples": [[images.describe(place) for place in pair] for pair in examples],
    }
    pictures = images.pictures([place for pair in examples for place in pair])
    return found, pictures.reshape(len(examples), 2, *pictures.shape[1:])


def _odd(images: _Images) -> tuple[dict[str, Any], np.ndarray]:
    """Counts and examples by kind, and pictures uint8 [E, C, H, W] of all examples."""
    found: dict[str, Any] = {}
    shown: list[int] = []
    sides = [part.sides for part in images.parts]
    parts = [measure(part.images, part.sides) for part in images.parts]
    joined = {
        name: np.concatenate([vars(part)[name] for part in parts])
        for name in vars(parts[0])
        if name != "shape" or sides[0] is not None
    }
    for kind, places in sorted(find_odd(type(parts[0])(**joined)).items()):  # as in the JSON file
        examples = places[:MOST_ODD].tolist()
        shown += examples
        found[kind] = {"count": len(places), "examples": [images.describe(p) for p in examples]}
    return found, images.pictures(shown)
