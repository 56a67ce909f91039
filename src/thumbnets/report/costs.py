"""What the networks of a run cost, and the cost table of SimpleNet's source counted again."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from thumbnets.evaluation.cost import Description, describe
from thumbnets.evaluation.statistics import Interval
from thumbnets.methods.base import build_method
from thumbnets.report.findings import Row
from thumbnets.report.published import Point, published_points
from thumbnets.report.results import Results
from thumbnets.report.source_networks import NETWORKS

_TABLE = Path(__file__).with_name("published_costs.toml")
_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}

# The columns of the source's table: how it heads them.
COLUMNS = {
    "multiply_accumulates": "MACC",
    "comparisons": "COMP",
    "additions": "ADD",
    "divisions": "DIV",
    "activations": "Activations",
    "parameters": "Parameters",
    "megabytes": "Size (MB)",
}


def costs(results: Results) -> dict[str, Description]:
    """Of each model of the run, for one image."""
    shape = results.meta.shape
    image = (shape["in_channels"], shape["image_size"], shape["image_size"])
    with torch.device("meta"):  # only shapes matter
        networks = {
            model: build_method(results.params.settings[model], results.meta).network()
            for model in results.params.run
        }
    return {model: describe(network, image) for model, network in networks.items()}


@dataclass(frozen=True)
class Cell:
    """A number of the source's table beside ours.

    Attributes:
        column: Key of `COLUMNS`.
        printed: As it stands in the source.
        ours: Of one image.
        explained: Whether ours, times the images of the row, rounds or is cut off to it.
    """

    column: str
    printed: str
    ours: float
    explained: bool


@dataclass(frozen=True)
class Recount:
    """A row of the source's table, counted again.

    Attributes:
        network: As the source calls it.
        images: How many its operations and activations are of.
        cells: In the order of `COLUMNS`.
        note: What else there is to say of it.
    """

    network: str
    images: int
    cells: list[Cell]
    note: str = ""


@cache
def recounts() -> list[Recount]:
    """Every row of the source's table whose network is known."""
    return [_recount(row) for row in _read()["row"]]


def uncounted() -> dict[str, str]:
    """The rows that were not counted again, and why."""
    return {row["network"]: row["why"] for row in _read()["uncounted"]}


def _read() -> dict[str, Any]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))


def _recount(row: dict[str, Any]) -> Recount:
    build_network, side = NETWORKS[row["network"]]
    with torch.device("meta"):
        network = build_network()
    found = describe(network, (3, side, side))
    cells = []
    for column in COLUMNS:
        of_network = column in ("parameters", "megabytes")  # however many images there are
        ours = getattr(found if of_network else found.total, column)
        expected = ours * (1 if of_network else row["images"])
        cells.append(Cell(column, row[column], ours, _is_printed_as(expected, row[column])))
    return Recount(row["network"], row["images"], cells, row.get("note", ""))


def _is_printed_as(value: float, printed: str) -> bool:
    """Whether a number is what was printed of it, rounded or cut off to the same decimals."""
    number, decimals, unit = re.fullmatch(r"(\d+(?:\.(\d+))?)([KMG]?)", printed).groups()
    last_place = 10.0 ** -len(decimals or "")
    return -0.5 * last_place <= value / _UNITS[unit] - float(number) < last_place


@dataclass(frozen=True)
class Plotted:
    """A classifier in the figure of accuracy against parameters.

    Attributes:
        name: Of the classifier.
        parameters: Learnable values.
        accuracy: Test accuracy, a fraction.
        interval: Of the accuracy; None of a published one.
        front: Whether no other of its kind (ours, or published) has as few parameters and as much
            accuracy, and more of either.
    """

    name: str
    parameters: int
    accuracy: float
    interval: Interval | None
    front: bool


def plotted(results: Results, rows: list[Row]) -> list[Plotted]:
    """The classifiers of the run, then the published ones on its data set.

    Args:
        results: Of the run.
        rows: Of its models and its ensemble.
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
    """Whether nothing beats a place: parameters, and accuracy."""
    parameters, accuracy = place
    return not any(p <= parameters and a >= accuracy and (p, a) != place for p, a in places)


def plotted_sources(results: Results) -> list[str]:
    """Where the published ones stand."""
    points: list[Point] = published_points(results.params.data.name)
    return list(dict.fromkeys(point.source for point in points))
