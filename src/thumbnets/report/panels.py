"""Parts of the page that are tables of cells or grids of pictures."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from thumbnets.report.filters import NONE, whole_percent
from thumbnets.report.findings import shares
from thumbnets.report.results import Mistakes
from thumbnets.training.class_scores import ClassScores

PICTURE_BYTES = 300_000  # of all mistakes together, so that the page stays small


@dataclass(frozen=True)
class Cell:
    """One number of a table, with the strength of its background.

    Attributes:
        text: Text of the cell; empty if the number rounds to zero.
        shade: Percent of the full colour.
        title: Text for a tooltip, in words.
    """

    text: str
    shade: int
    title: str


@dataclass(frozen=True)
class Panel:
    """The confusion matrix of one classifier.

    Attributes:
        name: Name of the classifier.
        rows: Cells of each true class, one per predicted class.
        worst: The most frequent mistake, in words; None if there is none.
    """

    name: str
    rows: list[list[Cell]]
    worst: str | None


def matrix_panels(matrices: dict[str, np.ndarray], classes: list[str]) -> list[Panel]:
    """Tables of the confusion matrices, in percent of each true class.

    Args:
        matrices: int64 [K, K] by classifier; rows are the true classes.
        classes: Names of the classes.
    """
    return [_panel(name, matrix, classes) for name, matrix in matrices.items()]


def _panel(name: str, counts: np.ndarray, classes: list[str]) -> Panel:
    values, totals = shares(counts), counts.sum(1)
    rows = [
        [
            Cell(
                text=whole_percent(value) if totals[y] else NONE,
                # Mistakes are rare: the square root makes a few percent visible.
                shade=round(100 * (value if y == x else value**0.5)),
                title=f"{classes[y]} as {classes[x]}: {counts[y, x]:,} of {totals[y]:,}",
            )
            for x, value in enumerate(row)
        ]
        for y, row in enumerate(values)
    ]
    return Panel(name, rows, worst_mistake(counts, classes))


def worst_mistake(counts: np.ndarray, classes: list[str]) -> str | None:
    """The most frequent mistake in words, as a share of its class; None if there is none.

    Args:
        counts: int64 [K, K]; rows are the true classes.
        classes: Names of the classes.
    """
    wrong = shares(counts) * (1 - np.eye(len(classes)))
    y, x = np.unravel_index(wrong.argmax(), wrong.shape)
    said = f"{100 * wrong[y, x]:.1f} % of {classes[y]} taken for {classes[x]}"
    return said if wrong[y, x] else None


def recall_table(matrices: dict[str, np.ndarray], classes: list[str]) -> list[list[Cell]]:
    """One row per class: its recall by each classifier; lower recalls are darker.

    A class without test images has no recall.
    """
    recalls = np.stack([ClassScores.of(matrix).recall for matrix in matrices.values()], axis=1)
    highest = float(np.nanmax(recalls))
    span = max(highest - float(np.nanmin(recalls)), 1e-9)

    def cell(name: str, of_class: str, value: float) -> Cell:
        if np.isnan(value):
            return Cell(NONE, 0, f"no test example of {of_class}")
        text = f"{100 * value:.1f}"
        return Cell(
            text, round(100 * (highest - value) / span), f"{name} finds {text} % of {of_class}"
        )

    return [
        [cell(name, of_class, float(value)) for name, value in zip(matrices, row, strict=True)]
        for of_class, row in zip(classes, recalls, strict=True)
    ]


@dataclass(frozen=True)
class Picture:
    """One mistake.

    Attributes:
        source: The image as a data URI.
        index: Index among the test images.
        label: Name of its class.
        predicted: The class it was taken for.
        confidence: Probability of that class.
    """

    source: str
    index: int
    label: str
    predicted: str
    confidence: float


def mistake_pictures(mistakes: Mistakes, classes: list[str]) -> list[Picture]:
    """The most confident mistakes, as many as `PICTURE_BYTES` hold."""
    pictures, size = [], 0
    for number, image in enumerate(mistakes.images):
        source = png(image)
        size += len(source)
        if size > PICTURE_BYTES:
            break
        pictures.append(
            Picture(
                source=source,
                index=int(mistakes.index[number]),
                label=classes[mistakes.label[number]],
                predicted=classes[mistakes.predicted[number]],
                confidence=float(mistakes.confidence[number]),
            )
        )
    return pictures


def png(image: np.ndarray) -> str:
    """An image, uint8 [C, H, W] with 1 or 3 channels, as a data URI."""
    content = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(content, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
