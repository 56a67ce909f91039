"""What the project's sources report for networks of ours: published.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

_TABLE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Published:
    """One published result.

    Attributes:
        dataset: Name of the data set, as in params.yaml.
        arch: The network.
        accuracy: On the test images, a fraction.
        source: Where it stands.
        note: How it was measured.
        patches: Whether the images were cut into patches.
        block: The one block of params.yaml with the source's settings; None: all with the network.
    """

    dataset: str
    arch: str
    accuracy: float
    source: str
    note: str
    patches: bool = False
    block: str | None = None

    @property
    def reference(self) -> str:
        """Source and note in one line."""
        return f"{self.source}: {self.note}"


def find_published(
    dataset: str, arch: str, *, patches: bool, block: str | None = None
) -> Published | None:
    """The published result of a block on a data set, else that of its network, if there is one."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))["result"]
    results = [
        result
        for result in (Published(**row) for row in table)
        if (result.dataset, result.arch, result.patches) == (dataset, arch, patches)
        and result.block in (None, block)
    ]
    return max(results, key=lambda result: result.block is not None, default=None)
