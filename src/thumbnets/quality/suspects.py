"""Training labels that are likely wrong, by predictions for images that networks held out."""

import io
from collections.abc import Iterable, Iterator
from csv import writer
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import parsing, read_array, read_csv, write_text
from thumbnets.data.corrections import COLUMNS, checksums_of
from thumbnets.data.names import csv_cell
from thumbnets.data.readers import Part
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.quality.confident import find_label_errors
from thumbnets.quality.images import FILES, picture

MOST_SHOWN = 24  # pictures
_MOST_CONFUSED = 10  # pairs of classes

HeldOut = tuple[np.ndarray, np.ndarray]  # indices of images int64 [V], and logits float32 [V, K]


@dataclass(frozen=True)
class Suspect:
    """One training image whose label is likely wrong.

    Attributes:
        checksum: Its checksum, see `checksums_of`.
        name: Its file, or its index among the training images.
        label, suggested: Names of classes.
        margin: Probability of the label minus the highest of another class.
    """

    checksum: str
    name: str
    label: str
    suggested: str
    margin: float


@dataclass(frozen=True)
class Suspects:
    """The labels of a run that are likely wrong, the likeliest first.

    Attributes:
        judged: Number of images that some network held out.
        images: Number of training images.
        share: Estimated share of wrong labels.
        accuracy: Share of the judged images whose label the networks predict: it shows how well
            they can judge.
        found: The suspects.
        pictures: uint8 [P, C, H, W], the first suspects.
        confused: Most frequent pairs: label, suggested class, number of suspects.
    """

    judged: int
    images: int
    share: float
    accuracy: float
    found: list[Suspect]
    pictures: np.ndarray
    confused: list[tuple[str, str, int]]

    def as_json(self) -> dict[str, Any]:
        """Numbers for a file that is compared between commits."""
        pairs = [{"label": a, "suggested": b, "images": n} for a, b, n in self.confused]
        return {
            "judged": self.judged,
            "training_images": self.images,
            "suspected": len(self.found),
            "estimated_share": self.share,
            "accuracy": self.accuracy,
            "most_often": pairs,
        }


def find_suspects(held_out: Iterable[HeldOut], classes: list[str]) -> Suspects | None:
    """Find suspects among the training images in data/processed; None if none can be judged.

    Args:
        held_out: Predictions of each training for its validation fold. Probabilities are averaged
            over the trainings that held an image out.
        classes: Names of the classes.

    Raises:
        ValueError: A file of data/processed is missing or damaged.
    """
    labels = read_array(paths.TRAIN / "labels.npy")
    probabilities, judged = average(_learned(held_out, labels), len(labels), len(classes))
    if not len(judged):
        return None
    errors = find_label_errors(probabilities[judged], labels[judged])
    places = judged[errors.places]
    images = read_array(paths.TRAIN / "images.npy", mapped=True)
    shape = picture(images[0]).shape
    part = _part(images, labels)
    return Suspects(
        judged=len(judged),
        images=len(labels),
        share=errors.share,
        accuracy=float(np.mean(probabilities[judged].argmax(1) == labels[judged])),
        found=[
            Suspect(
                checksum=checksum,
                name=part.files[place] if part.files else str(place),
                label=classes[labels[place]],
                suggested=classes[errors.suggested[number]],
                margin=float(errors.margins[number]),
            )
            for number, (place, checksum) in enumerate(
                zip(places.tolist(), checksums_of(part, places), strict=True)
            )
        ],
        pictures=np.stack([picture(images[place]) for place in places[:MOST_SHOWN]])
        if len(places)
        else np.empty((0, *shape), np.uint8),
        confused=_confused(labels[places], errors.suggested, classes),
    )


def _learned(held_out: Iterable[HeldOut], labels: np.ndarray) -> Iterator[HeldOut]:
    """Without images of classes of which a training held out every image: it can't know them."""
    counts = np.bincount(labels)
    for places, logits in held_out:
        whole = np.bincount(labels[places], minlength=len(counts)) == counts
        known = ~whole[labels[places]]
        yield places[known], logits[known]


def average(
    held_out: Iterable[HeldOut], images: int, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean probabilities float32 [N, K], and indices of the images that were held out, int64."""
    sums, counts = np.zeros((images, classes), np.float32), np.zeros(images, np.int64)
    for places, logits in held_out:
        sums[places] += to_probabilities(logits)
        counts[places] += 1
    return sums / np.maximum(counts, 1)[:, None], np.flatnonzero(counts)


def _part(images: np.ndarray, labels: np.ndarray) -> Part:
    """The training images, with files and their checksums if they are the user's own."""
    path = paths.FLAWS / FILES
    if not path.is_file():
        return Part(images, labels)
    rows = read_csv(path)
    with parsing(path):
        if len(rows) != len(labels):
            raise ValueError(f"{len(labels)} rows are needed, got {len(rows)}")
        return Part(
            images, labels, [row["file"] for row in rows], [row["checksum"] for row in rows]
        )


def _confused(
    labels: np.ndarray, suggested: np.ndarray, classes: list[str]
) -> list[tuple[str, str, int]]:
    """Pairs of a label and a suggested class with their number of suspects, the commonest first."""
    counts = np.zeros((len(classes),) * 2, np.int64)
    np.add.at(counts, (labels, suggested), 1)
    order = np.argsort(-counts, axis=None, kind="stable")[:_MOST_CONFUSED]
    pairs = zip(*np.unravel_index(order, counts.shape), strict=True)
    return [(classes[a], classes[b], int(counts[a, b])) for a, b in pairs if counts[a, b]]


def write_suggestions(path: Path, suspects: Suspects | None) -> None:
    """Write the suspects as corrections for a user to review; without any, only the header.

    Args:
        path: CSV file to write.
        suspects: The suspects; None if the models do not classify single images.
    """
    text, seen = io.StringIO(), set[str]()
    table = writer(text, lineterminator="\n")
    table.writerow([*COLUMNS, "margin"])
    for one in suspects.found if suspects else []:
        if one.checksum not in seen:  # the same image may occur twice, with two labels
            names = map(csv_cell, (one.name, one.label, one.suggested))
            table.writerow([one.checksum, *names, f"{one.margin:.4f}"])
        seen.add(one.checksum)
    write_text(path, text.getvalue())
