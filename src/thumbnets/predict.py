"""Classifying image files with a trained network."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from thumbnets.data.arrays import Meta
from thumbnets.data.images import SUFFIXES, read_image
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.training.classifier import Classifier, check_finite


def image_files(places: Iterable[Path]) -> list[Path]:
    """The files named, and the images in the folders named, in order.

    Raises:
        ValueError: A place does not exist, or there is no image at all.
    """
    files: list[Path] = []
    for place in places:
        if not place.exists():
            raise ValueError(f"{place} does not exist.")
        inside = sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES)
        files += inside if place.is_dir() else [place]
    if not files:
        raise ValueError(f"No image found; looked for {', '.join(sorted(SUFFIXES))}.")
    return files


def read_as_trained(path: Path, meta: Meta) -> np.ndarray:
    """Read an image as those that the network was trained on were: its channels, size and fit.

    Returns:
        uint8 [C, H, W].

    Raises:
        ValueError: The file is no image, or is damaged.
    """
    form = {"channels": meta.channels, "size": meta.image_size, "fit": meta.fit}
    try:
        return read_image(path, **form)
    except ValueError as error:
        raise ValueError(f"{path} can't be read as an image: {error}") from None


def predict(classifier: Classifier, files: list[Path]) -> list[tuple[str, float]]:
    """Class and its probability for each image file.

    Raises:
        ValueError: A file is no image, or a logit is not finite.
    """
    meta = classifier.meta
    images = np.stack([read_as_trained(path, meta) for path in files])
    probabilities = to_probabilities(check_finite(classifier.logits(torch.from_numpy(images))))
    return [(meta.classes[int(row.argmax())], float(row.max())) for row in probabilities]
