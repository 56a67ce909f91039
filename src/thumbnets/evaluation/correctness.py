"""Which test images each training recognises: one bit per image, kept in git beside the metrics.

A paired test of two commits needs only these bits, not their predictions: 1.25 KB per training for
10,000 images. Where images come in groups, the groups are stored as well.
"""

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thumbnets.artifacts import write_json
from thumbnets.data.arrays import check_group
from thumbnets.evaluation.statistics import of_groups


@dataclass(frozen=True)
class Correctness:
    """Correctness of one classifier on all test images.

    Attributes:
        model: Name of the block, or `ensemble`.
        labels_sha256: Checksum of the labels, which identifies the test images.
        correct: bool [N] by seed, or by the seeds of an ensemble as `groups_of` names them.
        group: int64 [N], number of the group of each image; None: each is by itself.
    """

    model: str
    labels_sha256: str
    correct: dict[str, np.ndarray]
    group: np.ndarray | None = None

    @property
    def images(self) -> int:
        """Number of test images."""
        return len(next(iter(self.correct.values())))

    @property
    def table(self) -> np.ndarray:
        """One row per seed, in the order of `correct`: bool [S, N]."""
        return np.stack(list(self.correct.values()))


def tables_to_compare(a: Correctness, b: Correctness) -> tuple[np.ndarray, np.ndarray]:
    """Scores of both for `pair_p` and `paired_gain`: one row per seed, of images or their groups.

    Args:
        a: One classifier.
        b: The other, on the same images; if only one of them has groups, both use these.
    """
    group = b.group if a.group is None else a.group
    return of_groups(a.table, group), of_groups(b.table, group)


def why_not_paired(a: Correctness, b: Correctness) -> str | None:
    """Why the two can't be paired; None if they can."""
    if (a.labels_sha256, a.images) != (b.labels_sha256, b.images):
        return f"other test images ({a.images:,}, then {b.images:,})"
    if a.group is not None and b.group is not None and not np.array_equal(a.group, b.group):
        return "test images in other groups"
    if list(a.correct) != list(b.correct):
        return f"other seeds ({', '.join(a.correct)}, then {', '.join(b.correct)})"
    return None


def correctness(
    model: str,
    predicted: np.ndarray,
    labels: np.ndarray,
    trainings: Sequence[int | str],
    group: np.ndarray | None = None,
) -> Correctness:
    """Compare predictions with labels.

    Args:
        model: Name of the block, or `ensemble`.
        predicted: int64 [S, N], classes.
        labels: int64 [N].
        trainings: S seeds, or names of groups of seeds.
        group: int64 [N], number of the group of each image, from 0 in the order of their first
            images; None: each is by itself.
    """
    checksum = hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()
    return Correctness(
        model,
        checksum,
        {str(name): of_one == labels for name, of_one in zip(trainings, predicted, strict=True)},
        group,
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
            **({} if found.group is None else {"group": _compressed(found.group)}),
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
    group = _decompressed(found["group"], found["images"]) if "group" in found else None
    if "group" in found and group is None:
        raise ValueError(f"{source}: group has not one number an image: run `dvc repro`.")
    return Correctness(found["model"], found["labels_sha256"], correct, group)


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


def _compressed(group: np.ndarray) -> str:
    """Differences of successive numbers: mostly 0 or 1 if the files are in order."""
    steps = np.diff(group, prepend=0).astype("<i4")
    return base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()


def _decompressed(text: Any, images: int) -> np.ndarray | None:
    """Group numbers int64 [N], or None if the text does not hold that many."""
    try:
        content = base64.b64decode(text, validate=True)
        steps = np.frombuffer(zlib.decompressobj().decompress(content, 4 * images + 1), "<i4")
        group = steps.astype(np.int64).cumsum()
        check_group(group, images)
    except (binascii.Error, TypeError, ValueError, zlib.error):
        return None
    return group


def _unpacked(text: Any, images: int) -> np.ndarray | None:
    """bool [N], or None if the text does not hold that many bits."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return None
    if len(content) != -(-images // 8):
        return None
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    return None if bits[images:].any() else bits[:images].astype(bool)
