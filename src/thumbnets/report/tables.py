"""Tables of results/, in Markdown."""

from collections.abc import Iterable


def table(columns: dict[str, str], rows: Iterable[list[str]]) -> str:
    """A table.

    Args:
        columns: Titles, and how each is aligned: `:--` or `--:`.
        rows: A text for each column.
    """
    lines = [list(columns), list(columns.values()), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def intervals(seeds: int) -> str:
    """What the intervals of a table are over."""
    return "Student's over seeds" if seeds > 1 else "Wilson's over test images"
