"""Descriptions of a folder of images: the options for reading it, and the images in its list."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from thumbnets.data.images import FITS, MAX_PIXELS, MOST_PIXELS
from thumbnets.options import Pixels, Share

Bits = Annotated[int, Field(ge=8, le=16)]
Seed = Annotated[int, Field(ge=0)]
ImagePixels = Annotated[int, Field(ge=1, le=MOST_PIXELS)]

BROKEN = ("refuse", "skip")  # what may be done about files that can't be read
LEAKS = ("tell", "refuse")  # what may be done about groups in both parts that are given


def _compiles(pattern: str) -> str:
    """Refuse what is not a regular expression.

    Raises:
        ValueError: It is none; the message says why.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"must be a regular expression, got {pattern!r}: {error}") from None
    return pattern


Regex = Annotated[str, AfterValidator(_compiles)]


@checked_dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class FolderRule:
    """How a folder of images becomes arrays.

    Attributes:
        path: The folder.
        size: Height and width that images are brought to, pixels.
        fit: How they are brought to that size, a key of `images.FITS`.
        test: Share of the images of each class that test, if the folder does not say which.
        seed: Seed of their draw.
        broken: What is done about files that can't be read, one of `BROKEN`.
        depth: Bits that values in 16-bit files use, 8 to 16; None: as many as the highest needs.
        max_pixels: Largest number of pixels of an image.
        list: CSV file in the folder with the label of each image; None: its folder is the label.
        group: Pattern on the path of an image, below its part; what its first group matches is
            the group of the image. None: that of the list's column, if any.
        leaks: What is done about groups in both parts that are given, one of `LEAKS`.
    """

    path: str
    size: Pixels = 32
    fit: Literal[tuple(FITS)] = "crop"
    test: Share = 0.2
    seed: Seed = 0
    broken: Literal[BROKEN] = "refuse"
    depth: Bits | None = None
    max_pixels: ImagePixels = MAX_PIXELS
    list: str | None = None
    group: Regex | None = None
    leaks: Literal[LEAKS] = "tell"


@dataclass(frozen=True, slots=True)
class Listed:
    """One image file.

    Attributes:
        part: `train` or `test`; empty where the folder does not say.
        label: Its class, the folder that it lies in.
        file: Its place in the folder.
        sha256: Checksum of its bytes; empty where there are none, as behind a dangling link.
        highest: Highest value in a file of 16 bits, else empty.
        group: What it belongs to (a patient, a video); empty: it has no group.
    """

    part: str
    label: str
    file: str
    sha256: str
    highest: str = ""
    group: str = ""
