"""Coverage against accuracy in the report: what `thumbnets predict --unsure P` would leave out."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from thumbnets.evaluation.coverage import Coverage, coverage
from thumbnets.report.charts import MODEL_COLOURS, in_percent, style, svg
from thumbnets.report.filters import percent
from thumbnets.report.results import Results

LIMITS = (0.5, 0.7, 0.9, 0.95, 0.99)  # of the table
_POINTS = 200  # points of a line: more can't be seen


@dataclass(frozen=True)
class Covered:
    """The report's section on coverage.

    Attributes:
        picture: The chart.
        rows: For each of `LIMITS`, the limit, and coverage and accuracy of the headline model.
    """

    picture: Markup
    rows: list[tuple[float, float, float | None]]


def covered(results: Results) -> Covered:
    """The curves of all models of the run, on their validation images."""
    curves = {name: coverage(results.validation[name]) for name in results.params.run}
    headline = curves[results.params.model]
    shares = ", ".join(f"{name} {percent(c.accuracy[-1])}" for name, c in curves.items())
    label = f"Validation accuracy by the share of images that get an answer; of all: {shares}"
    rows = [(limit, *headline.at(limit)) for limit in LIMITS]
    return Covered(svg(coverage_chart(curves), label), rows)


def coverage_chart(curves: dict[str, Coverage]) -> Figure:
    """Accuracy against coverage, one line per model."""
    with style():
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        axis = figure.subplots()
        for number, (name, curve) in enumerate(curves.items()):
            shown = curve.coverage >= 0.1  # with fewer images the accuracy is mostly chance
            places = np.flatnonzero(shown)
            places = places[np.linspace(0, len(places) - 1, _POINTS).round().astype(int)]
            colour = MODEL_COLOURS[number % len(MODEL_COLOURS)]
            dashes = (4, 2) if number >= len(MODEL_COLOURS) else (None, None)
            x, y = curve.coverage[places], curve.accuracy[places]
            axis.plot(x, y, color=colour, lw=1.6, dashes=dashes, label=name)
        axis.set_xlabel("images with an answer")
        axis.set_ylabel("accuracy of the answers")
        axis.set_xlim(0.1, 1)
        for of_axis in (axis.xaxis, axis.yaxis):
            of_axis.set_major_formatter(FuncFormatter(in_percent))
        figure.legend(loc="outside right upper", frameon=False)
    return figure
