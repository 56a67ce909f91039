"""A history as text, Markdown and a page, each with a small chart."""

import html
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from thumbnets.markdown import escaped
from thumbnets.review.history import Point, Series
from thumbnets.review.words import NONE, percent, with_interval

_BARS = "▁▂▃▄▅▆▇█"
_LEAST = 30  # characters of a subject below which it is not worth a place on the line
_WIDEST = 72  # values in a chart in the terminal
_HEADS = ("commit", "day", "accuracy", "95 %", "gain, points", "verdict", "what")
_SCALE = 60  # width left of a drawing for the percentages
_COLOURS = {"better": "green", "worse": "red"}


def show(found: list[Series], console: Console) -> None:
    """Print all series."""
    for series in found:
        console.print(Text(f"{series.name}  {chart(series)}", "bold"))
        if not series.points:
            console.print(Text("no metrics in any commit", "dim"))
        else:
            _show_points(series, console)
        console.print()


def _show_points(series: Series, console: Console) -> None:
    """One line per point; two where the console is narrow, so that no number is cut."""
    *numbers, last = _HEADS
    rows = [_cells(series, point) for point in series.points]
    columns = zip(numbers, *(row[:-1] for row in rows), strict=True)
    widths = [max(map(len, column)) for column in columns]
    if sum(widths) + 2 * len(widths) + _LEAST <= console.width:
        lines = [[*numbers, last], *rows]
        told = [["  ".join(map(str.ljust, line, [*widths, 0]))] for line in lines]
    else:  # the verdict goes to the second line
        told = [["  ".join(map(str.ljust, numbers[:-1], widths))]]
        for *cells, verdict, what in rows:
            second = what if verdict == NONE else f"{verdict}: {what}"
            told.append(["  ".join(map(str.ljust, cells, widths)), f"    {second}"])
    for style, lines in zip(["dim", *map(_style, series.points)], told, strict=True):
        for line in lines:
            console.print(Text(line, style), no_wrap=True, overflow="ellipsis")


def _style(point: Point) -> str:
    return _COLOURS.get(point.verdict or "", "")


def chart(series: Series) -> str:
    """The last values as bars between the lowest and the highest; a gap where images change."""
    last = series.points[-_WIDEST:]
    if not last:
        return ""
    values = [point.value.accuracy for point in last]
    low, high = min(values), max(values)
    heights = [(len(_BARS) - 1) * (v - low) / (high - low) if high > low else 0 for v in values]
    bars = ""
    for point, height in zip(last, heights, strict=True):
        bars += (" " if _on_other_images(point) else "") + _BARS[round(height)]
    return f"{bars} {percent(values[-1])} (lowest {percent(low)}, highest {percent(high)})"


def _on_other_images(point: Point) -> bool:
    """Whether a value has different test images from the one before, so that no line joins them."""
    return point.verdict == "other test images"


def markdown(found: list[Series]) -> str:
    """A table for each series."""
    parts = []
    for series in found:
        rows = (" | ".join(escaped(cell) for cell in _cells(series, p)) for p in series.points)
        lines = [f"| {row} |" for row in rows]
        head = f"| {' | '.join(_HEADS)} |\n{'|---' * len(_HEADS)}|"
        parts.append("\n".join([f"### {escaped(series.name)}\n\n{chart(series)}\n", head, *lines]))
    return "\n\n".join(parts) + "\n"


def _cells(series: Series, point: Point) -> list[str]:
    commit, value, gain = point.commit, point.value, point.gain
    what = f"experiment {commit.subject}" if commit.baseline else commit.subject
    if value.model != series.name:
        what = f"[{value.model}] {what}"
    known = value.low is not None
    interval = f"{percent(value.low)[:-2]} to {percent(value.high)}" if known else NONE
    return [
        commit.name[:10],
        commit.day,
        percent(value.accuracy),
        interval,
        with_interval(gain),
        point.verdict or NONE,
        what,
    ]


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;
border-bottom:1px solid #8884}svg{width:100%;height:auto}.better{color:#18794e}.worse{color:#c62a2f}
@media (prefers-color-scheme:dark){body{background:#111;color:#eee}.better{color:#4cc38a}
.worse{color:#ff6369}}"""


def page(found: list[Series]) -> str:
    """One HTML page that opens from disk."""
    parts = [
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>History</title>',
        '<meta name="viewport" content="width=device-width">',
        f"<style>{_STYLE}</style>\n<h1>Accuracy over commits</h1>",
    ]
    for series in found:
        heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
        rows = "\n".join(_html_row(series, point) for point in series.points)
        parts.append(
            f"<h2>{html.escape(series.name)}</h2>\n{drawing(series)}\n"
            f"<table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"
        )
    return "\n".join(parts) + "\n"


def _html_row(series: Series, point: Point) -> str:
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(series, point))
    return f'<tr class="{point.verdict or ""}">{cells}</tr>'


def drawing(series: Series, width: int = 800, height: int = 160) -> str:
    """The values of a series as SVG: one point each, with its interval; experiments are hollow.

    A line joins the values of the branch, and starts anew where the test images change.
    """
    if not series.points:
        return "<p>No metrics in any commit.</p>"
    values = [point.value for point in series.points]
    low = min(v.accuracy if v.low is None else v.low for v in values)
    high = max(v.accuracy if v.high is None else v.high for v in values)
    span = high - low or 1.0

    def x(place: int) -> float:
        return _SCALE + (width - _SCALE - 10) * (place + 0.5) / len(values)

    def y(value: float) -> float:
        return 10 + (height - 20) * (high - value) / span

    marks = [_mark(point, x(i), y) for i, point in enumerate(series.points)]
    lines = (
        " ".join(f"{x(i):.1f},{y(values[i].accuracy):.1f}" for i in places)
        for places in _joined(series.points)
    )
    joined = "".join(
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-opacity=".4"/>'
        for line in lines
    )
    scale = "".join(
        f'<text x="0" y="{y(end) + 4:.1f}" font-size="12" fill="currentColor">{percent(end)}</text>'
        for end in (low, high)
    )
    label = html.escape(f"{series.name}: {percent(low)} to {percent(high)}", quote=True)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        f"{scale}{joined}{''.join(marks)}</svg>"
    )


def _joined(points: list[Point]) -> list[list[int]]:
    """Indices of the branch's values, grouped by runs with the same test images."""
    found: list[list[int]] = [[]]
    for i, point in enumerate(points):
        if point.commit.baseline:
            continue
        if _on_other_images(point):
            found.append([])
        found[-1].append(i)
    return found


def _mark(point: Point, x: float, y: Callable[[float], float]) -> str:
    value = point.value
    told = f"{point.commit.name[:10]} {percent(value.accuracy)} {point.commit.subject}"
    fill = "none" if point.commit.baseline else "currentColor"
    bar = ""
    if value.low is not None and value.high is not None:
        bar = (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(value.low):.1f}" y2="{y(value.high):.1f}" '
            'stroke="currentColor" stroke-opacity=".5"/>'
        )
    return (
        f'<g class="{point.verdict or ""}">{bar}<circle cx="{x:.1f}" cy="{y(value.accuracy):.1f}" '
        f'r="3" fill="{fill}" stroke="currentColor"><title>{html.escape(told)}</title></circle></g>'
    )
