"""Figures of the pipeline and the report, the same bytes for the same data."""

import io
from pathlib import Path

import matplotlib
import numpy as np

from thumbnets.artifacts import write_bytes

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
    """Images in a grid, a title beside each row and above the first columns.

    Args:
        rows: uint8 [C, H, W] with 1 or 3 channels.
        row_titles: One a row.
        column_titles: For the first columns.
    """
    height, width = len(rows), len(rows[0])
    figure = Figure(figsize=(1.6 + 0.7 * width, 0.5 + 0.7 * height))
    axes = figure.subplots(height, width, squeeze=False)
    for row, title, line in zip(rows, row_titles, axes, strict=True):
        for image, axis in zip(row, line, strict=True):
            axis.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255)
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
    for axis, title in zip(axes[0], column_titles, strict=False):
        axis.set_title(title, fontsize=8)
    figure.tight_layout(pad=0.3)
    return figure
