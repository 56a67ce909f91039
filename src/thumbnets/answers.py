"""Answers of `thumbnets predict` as lines: text for people, JSON and CSV for programs."""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from thumbnets.api import best
from thumbnets.data.names import csv_cell, shown
from thumbnets.predict import Answer

UNSURE = "unsure"


@dataclass(frozen=True)
class Lines(ABC):
    """How answers are written.

    Attributes:
        classes: Names of the classes.
        data: Name of the data set that the model was trained on.
        foreign: Whether that is not the project's data set; each line then says so.
        top: Number of classes that are named.
        unsure: Probability below which the answer is `unsure`.
        named: Name of a file as the user gave it.
    """

    classes: list[str]
    data: str
    foreign: bool = False
    top: int = 1
    unsure: float = 0.0
    named: Callable[[Path], object] = str

    @property
    def header(self) -> str:
        """The first line; empty if there is none."""
        return ""

    @abstractmethod
    def line(self, answer: Answer) -> str:
        """The line of one file, with its line break."""

    def best(self, answer: Answer) -> list[tuple[str, float]]:
        """The classes that are named, the most probable first."""
        return best(answer.probabilities, self.classes, self.top)

    def is_unsure(self, answer: Answer) -> bool:
        """Whether no class is probable enough."""
        return bool(answer.probabilities.max() < self.unsure)


class TextLines(Lines):
    """File, then classes with their probabilities, between tabs; the second cell is the answer."""

    def line(self, answer: Answer) -> str:
        cells = [shown(self.named(answer.file))]
        if answer.reason is not None:
            cells += ["error", shown(answer.reason)]
        else:
            cells += [UNSURE] if self.is_unsure(answer) else []
            for name, probability in self.best(answer):
                cells += [shown(name), f"{probability:.4f}"]
            cells += [f"(trained on {shown(self.data)})"] if self.foreign else []
        return "\t".join(cells) + "\n"


class JsonLines(Lines):
    """One object per line, with the probabilities of all classes."""

    def line(self, answer: Answer) -> str:
        content = {"file": str(self.named(answer.file)), "data": self.data}
        if answer.reason is not None:
            content["error"] = answer.reason
        else:
            named, unsure = self.best(answer), self.is_unsure(answer)
            content |= {
                "class": None if unsure else named[0][0],
                "probability": named[0][1],
                "unsure": unsure,
                "top": [{"class": name, "probability": p} for name, p in named],
                "probabilities": dict(
                    zip(self.classes, answer.probabilities.tolist(), strict=True)
                ),
            }
        return json.dumps(content) + "\n"  # ASCII: bytes of a name that are not text are escaped


class CsvLines(Lines):
    """A table: the answer, then classes with their probabilities, or the reason for an error."""

    @property
    def header(self) -> str:
        pairs = [f"{name}_{n}" for n in range(1, self.top + 1) for name in ("class", "probability")]
        return _row(["file", "answer", *pairs, "data", "error"])

    def line(self, answer: Answer) -> str:
        file = csv_cell(shown(self.named(answer.file)))
        data, missing = csv_cell(shown(self.data)), 2 * self.top
        if answer.reason is not None:
            return _row([file, *[""] * (missing + 1), data, csv_cell(shown(answer.reason))])
        cells = []
        for name, probability in self.best(answer):
            cells += [csv_cell(shown(name)), f"{probability:.6f}"]
        said = UNSURE if self.is_unsure(answer) else cells[0]
        return _row([file, said, *cells, *[""] * (missing - len(cells)), data, ""])


def _row(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


FORMATS = {"text": TextLines, "json": JsonLines, "csv": CsvLines}
