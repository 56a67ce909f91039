"""The cost table of SimpleNet's source beside our counts; as a script, it prints docs/costs.md.

python tests/evaluation/source_costs.py > docs/costs.md
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from source_networks import NETWORKS

from thumbnets.evaluation.cost import describe
from thumbnets.report.costs import COLUMNS

_TABLE = Path(__file__).with_name("published_costs.toml")
_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}

_PAGE = """# Costs beside published ones

What a network costs (`thumbnets describe`, the report's table of costs) is counted by the rules of
the Netscope analyser, with which the table "Flops and Parameter Comparison of Models trained on
ImageNet" of SimpleNet's source (Hasanpour et al. 2016, arXiv:1608.06037) was made. Here the
networks of that table are counted again, from their Caffe definitions. Ours are counts of one
image; rows with 10 images were published for ten, and are compared as such. "no": the published
number is neither our count rounded nor cut off.

| Network | Images | Quantity | Published | Ours | Equal |
| :-- | --: | :-- | --: | --: | :-- |
{rows}

{notes}

Not counted again: {uncounted}.

To reproduce it: `python tests/evaluation/source_costs.py > docs/costs.md`. The test
`tests/evaluation/test_source_costs.py` checks the counts and this page.
"""


@dataclass(frozen=True)
class Cell:
    """A number of the source's table beside ours.

    Attributes:
        column: Key of `COLUMNS`.
        published: As it stands in the source.
        ours: Our count, of one image.
        agrees: Whether ours, times the images of the row, equals it when rounded or truncated.
    """

    column: str
    published: str
    ours: float
    agrees: bool


@dataclass(frozen=True)
class Recount:
    """A row of the source's table, counted again.

    Attributes:
        network: As the source calls it.
        images: Number of images that its operations and activations are for.
        cells: Numbers in the order of `COLUMNS`.
        note: A further remark.
    """

    network: str
    images: int
    cells: list[Cell]
    note: str = ""


@cache
def recounts() -> list[Recount]:
    """Every row of the source's table whose network is known."""
    return [_recount(row) for row in _read()["row"]]


def not_recounted() -> dict[str, str]:
    """Rows of the table that were not counted again, and why."""
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
        cells.append(Cell(column, row[column], ours, agrees(expected, row[column])))
    return Recount(row["network"], row["images"], cells, row.get("note", ""))


def agrees(value: float, published: str) -> bool:
    """Whether a number, rounded or truncated to the same decimals, is the published one."""
    number, decimals, unit = re.fullmatch(r"(\d+(?:\.(\d+))?)([KMG]?)", published).groups()
    last_place = 10.0 ** -len(decimals or "")
    return -0.5 * last_place <= value / _UNITS[unit] - float(number) < last_place


def page() -> str:
    """docs/costs.md: every published number beside ours."""
    rows = [
        f"| {row.network} | {row.images} | {COLUMNS[cell.column]} | {cell.published} | "
        f"{_readable(cell)} | {'yes' if cell.agrees else 'no'} |"
        for row in recounts()
        for cell in row.cells
    ]
    return _PAGE.format(
        rows="\n".join(rows),
        notes=" ".join(f"{row.network}: {row.note}." for row in recounts() if row.note),
        uncounted="; ".join(f"{name} ({why})" for name, why in not_recounted().items()),
    )


def _readable(cell: Cell) -> str:
    return f"{cell.ours:,.2f}" if cell.column == "megabytes" else f"{cell.ours:,}"


if __name__ == "__main__":
    print(page(), end="")
