"""What is wrong with the data: copies, labels that may be wrong, odd images, uneven classes."""

from dataclasses import dataclass
from typing import Any

from thumbnets import paths
from thumbnets.data.names import shown
from thumbnets.report.filters import shortened
from thumbnets.report.panels import PICTURE_BYTES, png
from thumbnets.report.results import Results

_LONGEST = 40  # characters of a name


@dataclass(frozen=True)
class Shown:
    """A picture with its captions.

    Attributes:
        source: The image as a data URI.
        name: Which image it is.
        label: Name of its class.
        note: A further remark; may be empty.
    """

    source: str
    name: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Quality:
    """The section on the data.

    Attributes:
        copies: Counts of pairs, see `quality.images`.
        pairs: Some pairs of copies.
        mended: Number of training images `corrected` and `dropped`.
        suspects: See `quality.suspects.Suspects`, or None.
        gallery: Some suspects, likeliest first; the note is the suggested class.
        suggestions: Path of the file with all suspects.
        odd: Number of odd images by kind, and some of them.
        largest, smallest: Class with the most, and with the fewest, training images; their number.
        ratio: Ratio of these two numbers.
    """

    copies: dict[str, Any]
    pairs: list[tuple[Shown, Shown]]
    mended: dict[str, int]
    suspects: Any
    gallery: list[Shown]
    suggestions: str
    odd: dict[str, tuple[int, list[Shown]]]
    largest: tuple[str, int]
    smallest: tuple[str, int]
    ratio: float


def quality(results: Results) -> Quality:
    """What was found in the data of a run; `PICTURE_BYTES` limit the pictures of each kind."""
    flaws, room = results.flaws, _Room()
    pairs = [
        (_example(a, picture[0]), _example(b, picture[1]))
        for (a, b), picture in zip(flaws.copies["examples"], flaws.copy_pictures, strict=True)
    ]
    found = flaws.suspects.found if flaws.suspects else []
    pictures = flaws.suspects.pictures if flaws.suspects else []
    gallery = [
        Shown(png(picture), cut(one.name), cut(one.label), cut(one.suggested))
        for one, picture in zip(found, pictures, strict=False)
    ]
    counts = sorted(results.class_counts.items(), key=lambda item: -item[1])
    return Quality(
        copies=flaws.copies,
        pairs=[pair for pair in pairs if room.holds("pairs", *pair)],
        mended=flaws.mended,
        suspects=flaws.suspects,
        gallery=[one for one in gallery if room.holds("gallery", one)],
        suggestions=str(paths.SUGGESTIONS),
        odd=_odd(flaws.odd, list(flaws.odd_pictures), room),
        largest=counts[0],
        smallest=counts[-1],
        ratio=counts[0][1] / counts[-1][1],
    )


class _Room:
    """The bytes left for pictures of each kind."""

    def __init__(self) -> None:
        self.left: dict[str, int] = {}

    def holds(self, kind: str, *pictures: Shown) -> bool:
        left = self.left.get(kind, PICTURE_BYTES) - sum(len(one.source) for one in pictures)
        self.left[kind] = left
        return left >= 0


def _odd(found: dict[str, Any], pictures: list, room: _Room) -> dict[str, tuple[int, list[Shown]]]:
    odd = {}
    for kind, of_kind in found.items():
        some = [_example(one, pictures.pop(0)) for one in of_kind["examples"]]
        if some:
            odd[kind] = (of_kind["count"], [one for one in some if room.holds("odd", one)])
    return odd


def _example(image: dict[str, str], picture: Any) -> Shown:
    return Shown(png(picture), f"{image['part']} {cut(image['name'])}", cut(image["label"]))


def cut(name: str) -> str:
    """A name as it is shown: if it is long, without its middle."""
    return shortened(shown(name), _LONGEST)
