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
    """

    dataset: str
    arch: str
    accuracy: float
    source: str
    note: str
    patches: bool = False

    @property
    def reference(self) -> str:
        """Source and note in one line."""
        return f"{self.source}: {self.note}"


def find_published(dataset: str, arch: str, *, patches: bool) -> Published | None:
    """The published result of a network on a data set, if there is one."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))["result"]
    for result in (Published(**row) for row in table):
        if (result.dataset, result.arch, result.patches) == (dataset, arch, patches):
            return result
    return None
