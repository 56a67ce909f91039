"""Published results of networks: published.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Published:
    """One published result.

    Attributes:
        dataset: Name of the data set, as in params.yaml.
        arch: The network.
        accuracy: Test accuracy, a fraction.
        source: Publication and table.
        note: Way of measuring it.
        patches: Whether the images were cut into patches.
        block: Block of params.yaml with the source's settings; None: all blocks of the network.
        parameters: Number of parameters, if the source states it.
    """

    dataset: str
    arch: str
    accuracy: float
    source: str
    note: str
    patches: bool = False
    block: str | None = None
    parameters: int | None = None

    @property
    def reference(self) -> str:
        """Source and note in one line."""
        return f"{self.source}: {self.note}"


def find_published(
    dataset: str, arch: str, *, patches: bool, block: str | None = None
) -> Published | None:
    """The published result of a block on a data set, else that of its network, if there is one."""
    results = [
        result
        for result in _results()
        if (result.dataset, result.arch, result.patches) == (dataset, arch, patches)
        and result.block in (None, block)
    ]
    return max(results, key=lambda result: result.block is not None, default=None)


def _results() -> list[Published]:
    found = _read()
    results = [Published(**row) for row in found["result"]]
    for table in found["table"]:
        about = {key: table[key] for key in ("dataset", "source", "note")}
        results += [
            Published(block=block, arch=arch, parameters=parameters, accuracy=accuracy, **about)
            for block, arch, parameters, accuracy in table["blocks"]
        ]
    return results


def _read() -> dict[str, Any]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Point:
    """A published accuracy of a network with a known number of parameters.

    Attributes:
        name: Name of the network in its source.
        parameters: Number of parameters, as counted by the source.
        accuracy: Test accuracy, a fraction.
        source: Publication and table.
    """

    name: str
    parameters: int
    accuracy: float
    source: str


def published_points(dataset: str) -> list[Point]:
    """All published results on a data set of networks whose parameters are known."""
    own = [
        Point(result.block or result.arch, result.parameters, result.accuracy, result.source)
        for result in _results()
        if result.dataset == dataset and result.parameters
    ]
    others = [
        Point(*network, table["source"])
        for table in _read()["others"]
        if table["dataset"] == dataset
        for network in table["networks"]
    ]
    return own + others
