"""Classifying image files with a trained network."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from thumbnets.data.arrays import Meta
from thumbnets.data.formats import SUFFIXES
from thumbnets.data.images import read_image
from thumbnets.data.listing import images_below
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.training.classifier import Classifier, check_finite


def image_files(places: Iterable[Path]) -> list[Path]:
    """The files named, and the images in the folders named, in order.

    What does not exist, and a link to a folder inside, stays in the list: it is told with the rest.

    Raises:
        ValueError: There is no image at all.
    """
    files: list[Path] = []
    for place in places:
        if not place.is_dir():
            files.append(place)
        elif place.is_symlink():
            files += images_below(place.resolve(), Counter(), link=files.append)
        else:
            files += images_below(place, Counter(), link=files.append)
    if not files:
        named = ", ".join(map(str, places))
        raise ValueError(f"No image found in {named}; looked for {', '.join(sorted(SUFFIXES))}.")
    return files


def read_as_trained(path: Path, meta: Meta) -> np.ndarray:
    """Read an image as those that the network was trained on were: its channels, size and fit.

    Returns:
        uint8 [C, H, W].

    Raises:
        ValueError: The file is no image, or is damaged.
    """
    form = {"channels": meta.channels, "size": meta.image_size, "fit": meta.fit}
    form["depth"] = meta.depth
    try:
        return read_image(path, **form)
    except ValueError as error:
        raise ValueError(f"{path} can't be read as an image: {error}") from None


def predict(
    classifier: Classifier, files: list[Path]
) -> Iterator[tuple[Path, tuple[str, float] | str]]:
    """Class and its probability for each image file, or why it can't be read; some at a time."""
    meta = classifier.meta
    for start in range(0, len(files), classifier.at_once):
        some = files[start : start + classifier.at_once]
        found = [_read_or_reason(path, meta) for path in some]
        images = [image for image in found if not isinstance(image, str)]
        rows = iter(())
        if images:
            logits = check_finite(classifier.logits(torch.from_numpy(np.stack(images))))
            rows = iter(to_probabilities(logits))
        for path, image in zip(some, found, strict=True):
            if isinstance(image, str):
                yield path, image
            else:
                row = next(rows)
                yield path, (meta.classes[int(row.argmax())], float(row.max()))


def _read_or_reason(path: Path, meta: Meta) -> np.ndarray | str:
    try:
        if path.is_dir():
            raise ValueError(f"{path} is a link to a folder, which is not followed: name it")
        if not os.path.lexists(path):
            raise ValueError(f"{path} does not exist")
        if not path.is_file():  # to read a FIFO would wait for ever
            raise ValueError(f"{path} can't be read as an image: no regular file")
        return read_as_trained(path, meta)
    except (ValueError, OSError) as error:
        return str(error)
