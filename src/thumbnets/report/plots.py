"""Tables and pictures under fixed names, for `dvc plots show` and `dvc plots diff`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from thumbnets.artifacts import write_csv
from thumbnets.report.charts import accuracy_chart, confusion_chart, curves_chart
from thumbnets.report.figures import save
from thumbnets.report.findings import ensemble_row, model_rows
from thumbnets.report.results import Results


def write_plots(results: Results, folder: Path) -> None:
    """Write accuracy, learning curves and confusion of a run, each as a table and as a picture.

    Args:
        results: Results of the run.
        folder: Folder of `accuracy`, `learning_curves` and `confusion`, as .csv and .png.
    """
    rows = [*model_rows(results), ensemble_row(results)]
    accuracies = ({"model": row.name, "accuracy": row.accuracy} for row in rows)
    write_csv(folder / "accuracy.csv", accuracies)
    epochs = ({"model": m, **epoch} for m, curve in results.curves.items() for epoch in curve)
    write_csv(folder / "learning_curves.csv", epochs)
    headline = results.confusion[results.params.model]
    write_csv(folder / "confusion.csv", _one_by_one(headline, results.classes))

    save(accuracy_chart(rows), folder / "accuracy.png")
    save(curves_chart(results.curves), folder / "learning_curves.png")
    save(confusion_chart(results.matrices, results.classes), folder / "confusion.png")


def _one_by_one(matrix: np.ndarray, classes: list[str]) -> Iterator[dict[str, str]]:
    """One row per image, since DVC's template does the counting."""
    for (actual, predicted), count in np.ndenumerate(matrix):
        row = {"actual": classes[actual], "predicted": classes[predicted]}
        yield from [row] * int(count)
