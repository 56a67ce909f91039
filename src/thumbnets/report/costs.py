"""Costs of the networks of a run, and points for the figure of accuracy against parameters."""

from dataclasses import dataclass
from typing import Any

from thumbnets.costs import cost_of_image
from thumbnets.evaluation.statistics import Interval
from thumbnets.report.findings import Row
from thumbnets.report.published import Point, published_points
from thumbnets.report.results import Results

# Columns of the table of costs, with the headings of SimpleNet's source.
COLUMNS = {
    "multiply_accumulates": "MACC",
    "comparisons": "COMP",
    "additions": "ADD",
    "divisions": "DIV",
    "activations": "Activations",
    "parameters": "Parameters",
    "megabytes": "Size (MB)",
}


def costs(results: Results) -> dict[str, dict[str, Any]]:
    """Cost of each model of the run for one image, as from `Description.as_dict`."""
    return {
        model: cost_of_image("report", slot, results.params.settings[model], results.meta)
        for model, slot in results.params.slots.items()
    }


@dataclass(frozen=True)
class Plotted:
    """A classifier in the figure of accuracy against parameters.

    Attributes:
        name: Name of the classifier.
        parameters: Number of learnable values.
        accuracy: Test accuracy, a fraction.
        interval: Interval of the accuracy; None for a published one.
        front: Whether it is on the Pareto front of its kind (ours or published): no other has at
            most as many parameters and at least the accuracy.
    """

    name: str
    parameters: int
    accuracy: float
    interval: Interval | None
    front: bool


def plotted(results: Results, rows: list[Row]) -> list[Plotted]:
    """Points of the figure: the classifiers of the run, then published ones on its data set.

    Args:
        results: Results of the run.
        rows: Rows of its models and its ensemble.
    """
    parameters = [
        row.scores.get("parameters", results.summary["ensemble"]["parameters"]) for row in rows
    ]
    ours = list(zip(parameters, (row.accuracy for row in rows), strict=True))
    points = published_points(results.params.data.name)
    published = [(point.parameters, point.accuracy) for point in points]
    return [
        Plotted(row.name, *place, row.interval, _is_on_front(place, ours))
        for row, place in zip(rows, ours, strict=True)
    ] + [
        Plotted(point.name, *place, None, _is_on_front(place, published))
        for point, place in zip(points, published, strict=True)
    ]


def _is_on_front(place: tuple[int, float], places: list[tuple[int, float]]) -> bool:
    """Whether no other pair of parameters and accuracy dominates `place`."""
    parameters, accuracy = place
    return not any(p <= parameters and a >= accuracy and (p, a) != place for p, a in places)


def plotted_sources(results: Results) -> list[str]:
    """Sources of the published points."""
    points: list[Point] = published_points(results.params.data.name)
    return list(dict.fromkeys(point.source for point in points))
