"""All flaws of the data of a run, for the report and for report/quality.json."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import parsing, read_arrays, read_json
from thumbnets.quality.images import LIST, PICTURES
from thumbnets.quality.suspects import HeldOut, Suspects, find_suspects


@dataclass(frozen=True)
class Flaws:
    """The flaws that were found.

    Attributes:
        copies: Counts of pairs of near-duplicates, and examples.
        odd: Number of odd images by kind, and examples.
        mended: Number of training images whose label was `corrected`, or that were `dropped`.
        copy_pictures: uint8 [E, 2, C, H, W], the examples of copies.
        odd_pictures: uint8 [E, C, H, W], the examples of odd images, kind by kind.
        suspects: Labels that are likely wrong; None if models do not classify single images.
    """

    copies: dict[str, Any]
    odd: dict[str, Any]
    mended: dict[str, int]
    copy_pictures: np.ndarray
    odd_pictures: np.ndarray
    suspects: Suspects | None

    def as_json(self, counts: dict[str, int]) -> dict[str, Any]:
        """As values of JSON, for a file that is compared between commits.

        Args:
            counts: Number of training images of each class.
        """
        least, most = min(counts.values()), max(counts.values())
        return {
            "copies": self.copies,
            "odd": self.odd,
            "mended": self.mended,
            "labels": self.suspects and self.suspects.as_json(),
            "classes": {
                "least": least,
                "most": most,
                "ratio": most / least,
                "counts": counts,
            },
        }


def read_flaws(held_out: Iterable[HeldOut] | None, classes: list[str]) -> Flaws:
    """Read what stage `preprocess` found, and judge the labels.

    Args:
        held_out: Predictions of each training for its validation fold; None: no single images.
        classes: Names of the classes.

    Raises:
        ValueError: A file is missing or damaged.
    """
    suspects = None if held_out is None else find_suspects(held_out, classes)
    path = paths.FLAWS / LIST
    found, pictures = read_json(path), read_arrays(paths.FLAWS / PICTURES)
    with parsing(path):
        flaws = Flaws(
            found["copies"],
            found["odd"],
            found["mended"],
            pictures["copies"],
            pictures["odd"],
            suspects,
        )
        shown = sum(len(kind["examples"]) for kind in flaws.odd.values())
        if len(flaws.copies["examples"]) != len(flaws.copy_pictures):
            raise ValueError("copies and their pictures do not fit each other")
        if shown != len(flaws.odd_pictures):
            raise ValueError("odd images and their pictures do not fit each other")
    return flaws
