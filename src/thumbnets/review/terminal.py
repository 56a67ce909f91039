"""A review in the terminal, in colour if it has colours."""

from itertools import compress

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thumbnets.review.comparing import NOT_COMPARABLE, Review
from thumbnets.review.words import SIZES, basis, percent, reasons, table

_WIDE = 110  # characters of a console with room for all columns
_COLOURS = {"better": "green", "worse": "red", NOT_COMPARABLE: "yellow"}


def show(review: Review, console: Console) -> None:
    """Print a review."""
    heads, rows = table(review)
    if console.width < _WIDE:  # no number and no verdict is cut
        shown = [head not in SIZES for head in heads]
        heads, *rows = (list(compress(line, shown)) for line in [heads, *rows])
    grid = Table(box=None, header_style="bold", pad_edge=False)
    for head in heads:
        grid.add_column(head, no_wrap=head not in ("", "verdict"))
    for row, texts in zip(review.rows, rows, strict=True):
        colour = _COLOURS.get(row.verdict, "")
        grid.add_row(*(Text(text, colour) for text in texts))
    console.print(grid)
    for reason in reasons(review):
        console.print(Text(reason, "yellow"))
    console.print(Text(basis(review), "dim"))
    for title, models in {"New": review.new, "Removed": review.removed}.items():
        for name, accuracy in models.items():
            console.print(Text(f"{title}: {name}, {percent(accuracy)}"))
    for change in review.changes:
        blocks = f" ({', '.join(change.blocks)})" if change.blocks else ""
        console.print(Text(f"{change.key}: {change.before} → {change.after}{blocks}"))
    for title, parts in {"Code": review.code, "Retrained": review.retrained}.items():
        if parts:
            console.print(Text(f"{title}: {', '.join(parts)}"))
