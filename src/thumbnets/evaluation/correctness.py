"""Which test images each training recognises: one bit an image, kept in git beside the metrics.

It is what a paired test of two commits needs, without their predictions: 1.25 KB a training of
10,000 images.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thumbnets.artifacts import write_json


@dataclass(frozen=True)
class Correctness:
    """Of one classifier, on all test images.

    Attributes:
        model: Name of the block, or `ensemble`.
        labels_sha256: Checksum of the labels, which tells other test images.
        correct: bool [N] by seed, or by the seeds of an ensemble as `groups_of` names them.
    """

    model: str
    labels_sha256: str
    correct: dict[str, np.ndarray]

    @property
    def images(self) -> int:
        """Number of test images."""
        return len(next(iter(self.correct.values())))

    @property
    def table(self) -> np.ndarray:
        """A row a seed, in the order of `correct`: bool [S, N]."""
        return np.stack(list(self.correct.values()))


def correctness(
    model: str, predicted: np.ndarray, labels: np.ndarray, trainings: Sequence[int | str]
) -> Correctness:
    """Compare predictions with labels.

    Args:
        model: Name of the block, or `ensemble`.
        predicted: int64 [S, N], classes.
        labels: int64 [N].
        trainings: S seeds, or names of groups of seeds.
    """
    checksum = hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()
    return Correctness(
        model,
        checksum,
        {str(name): of_one == labels for name, of_one in zip(trainings, predicted, strict=True)},
    )


def write_correctness(path: Path, found: Correctness) -> None:
    """Write one classifier's bits as JSON."""
    write_json(
        path,
        {
            "model": found.model,
            "labels_sha256": found.labels_sha256,
            "images": found.images,
            "correct": {name: _packed(bits) for name, bits in found.correct.items()},
        },
    )


def parse_correctness(content: str, source: str) -> Correctness:
    """Read what `write_correctness` wrote, with seeds in the order of their numbers.

    Args:
        content: Text of the file.
        source: Name of the file, for errors.

    Raises:
        ValueError: It is not such a file.
    """
    try:
        found = json.loads(content)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{source}: not JSON ({error}): run `dvc repro`.") from None
    problem = _problem(found)
    if problem:
        raise ValueError(f"{source}: {problem}: run `dvc repro`.")
    names = sorted(found["correct"], key=lambda name: [int(seed) for seed in name.split()])
    correct = {name: _unpacked(found["correct"][name], found["images"]) for name in names}
    if damaged := [name for name, bits in correct.items() if bits is None]:
        raise ValueError(f"{source}: seed {damaged[0]} has not one bit an image: run `dvc repro`.")
    return Correctness(found["model"], found["labels_sha256"], correct)


def _problem(found: Any) -> str | None:
    """What is wrong with the keys and types of a file, if anything."""
    if not isinstance(found, dict):
        return "must be an object"
    kinds = {"model": str, "labels_sha256": str, "images": int, "correct": dict}
    for key, kind in kinds.items():
        if not isinstance(found.get(key), kind) or isinstance(found[key], bool):
            return f"{key} must be of type {kind.__name__}"
    if found["images"] < 1 or not found["correct"]:
        return "must be of one image and one seed at least"
    for name in found["correct"]:
        if not re.fullmatch(r"[0-9]{1,10}( [0-9]{1,10})*", name):
            return f"{name[:40]!r} is no seed"
    return None


def _packed(bits: np.ndarray) -> str:
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


def _unpacked(text: Any, images: int) -> np.ndarray | None:
    """bool [N], or None where the text does not hold as many bits."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return None
    if len(content) != -(-images // 8):
        return None
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    return None if bits[images:].any() else bits[:images].astype(bool)
