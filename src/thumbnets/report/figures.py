"""Figures of the pipeline and the report: the same data give the same bytes."""

import io
from pathlib import Path

import matplotlib
import numpy as np

from thumbnets.artifacts import write_bytes
from thumbnets.report.glyphs import labels

matplotlib.use("Agg")

from matplotlib.figure import Figure  # noqa: E402  (the backend is chosen first)

DPI = 100


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG without date or version."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    write_bytes(path, content.getvalue())


def image_grid(
    rows: list[list[np.ndarray]], row_titles: list[str], column_titles: list[str]
) -> Figure:
    """Images in a grid, with titles of all rows and of the first columns.

    Args:
        rows: Images uint8 [C, H, W] with 1 or 3 channels, row by row.
        row_titles: Title of each row, replaced by its number if no font has its glyphs.
        column_titles: Titles of the first columns.
    """
    gap = 2
    padded = [
        [np.pad(i, ((0, 0), (0, gap), (0, gap)), constant_values=255) for i in r] for r in rows
    ]
    mosaic = np.concatenate([np.concatenate(row, axis=2) for row in padded], axis=1)  # one picture:
    height, width = (side + gap for side in rows[0][0].shape[1:])  # many axes take seconds to draw
    figure = Figure(figsize=(1.6 + 0.7 * len(rows[0]), 0.5 + 0.7 * len(rows)))
    axis = figure.subplots()
    axis.imshow(
        mosaic.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest"
    )
    centres, shown = [(n + 0.5) * height for n in range(len(rows))], labels(row_titles)
    axis.set_yticks(centres, shown.texts, family=shown.family, fontsize=8, parse_math=False)
    centres = [(n + 0.5) * width for n in range(len(column_titles))]
    axis.set_xticks(centres, column_titles, fontsize=8, parse_math=False)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.tight_layout(pad=0.3)
    return figure
