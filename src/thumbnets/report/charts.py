"""Charts of the report: drawn once, written as PNG for `dvc plots` and as SVG into the page.

In the SVG, text stays text and the neutral colours become CSS variables, so that a chart takes the
page's font and its light or dark colours.
"""

import io
import re
import warnings
from contextlib import AbstractContextManager

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from thumbnets.evaluation.calibration import Calibration, Reliability
from thumbnets.evaluation.ranking import Rank
from thumbnets.report.costs import Plotted
from thumbnets.report.figures import DPI
from thumbnets.report.filters import amount, percent, shortened, whole_percent
from thumbnets.report.findings import Row, shares
from thumbnets.report.glyphs import labels
from thumbnets.report.results import Curve

INK, MUTED, LINE, PAPER = "#1d2430", "#66707f", "#d9dee6", "#ffffff"
ACCENT, HIGHLIGHT, REFERENCE = "#3b6fd6", "#d9480f", "#8a94a3"
_WIDTHS = {"train": 1.1, "validation": 2}  # of the lines of a curve, in points
# Distinguishable on white, on black, and with most kinds of colour blindness.
MODEL_COLOURS = ("#3b6fd6", "#e8890c", "#0f9d8a", "#d6336c", "#8f5bd0", "#7a8b1e", "#8b5e3c")

_TICKS = (0.25, 0.5, 0.75)  # not at the ends, where panels meet

_THEMED = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)", PAPER: "var(--paper)"}
_STYLE = {
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titlepad": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.h_pad": 0.1,
    "figure.labelsize": 10,
    "font.size": 10,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "savefig.dpi": DPI,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$"
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


def accuracy_chart(rows: list[Row]) -> Figure:
    """Accuracy of each classifier with its interval and the published number, best on top."""
    with style():
        figure = Figure(figsize=(10, 1.1 + 0.42 * len(rows)), layout="constrained")
        axis = figure.subplots()
        for height, row in enumerate(sorted(rows, key=lambda row: row.accuracy)):
            colour = HIGHLIGHT if row.name == "ensemble" else ACCENT
            bounds = np.clip([row.interval.low, row.interval.high], 0, 1)
            axis.plot(bounds, [height] * 2, color=colour, lw=5, alpha=0.3, solid_capstyle="butt")
            axis.plot(row.accuracy, height, "o", color=colour, ms=8)
            axis.annotate(
                percent(row.accuracy),
                (max(bounds), height),
                (8, 0),
                textcoords="offset points",
                va="center",
            )
            if row.published:
                axis.plot(row.published.accuracy, height, "D", mfc=PAPER, mec=REFERENCE, ms=7)
        names = [row.name for row in sorted(rows, key=lambda row: row.accuracy)]
        axis.set_yticks(range(len(rows)), names, color=INK, parse_math=False)
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.margins(x=0.09)
        axis.xaxis.set_major_formatter(FuncFormatter(in_percent))
        axis.set_xlabel("test accuracy")
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
    return figure


def ranks_chart(ranked: list[Rank], groups: list[list[str]]) -> Figure:
    """A critical-difference diagram: ranks with intervals, a bar for each group without a winner.

    Args:
        ranked: Classifiers, the best first.
        groups: Names of neighbours by rank in which no pair differs significantly.

    Source: Demšar 2006, Journal of Machine Learning Research 7, figure 1; here one row per
    classifier, so that its interval and long names have room.
    """
    rows = {rank.name: -row for row, rank in enumerate(ranked)}
    with style():
        figure = Figure(figsize=(10, 1.1 + 0.36 * len(ranked)), layout="constrained")
        axis = figure.subplots()
        for rank in ranked:
            colour, row = HIGHLIGHT if rank.name == "ensemble" else ACCENT, rows[rank.name]
            axis.plot([rank.low, rank.high], [row] * 2, color=colour, lw=5, alpha=0.3)
            axis.plot(rank.mean, row, "o", color=colour, ms=8)
        for number, group in enumerate(groups):  # one lane each, since they may overlap
            lane = len(ranked) + 0.6 + 0.25 * number
            ends = [rows[group[0]] + 0.2, rows[group[-1]] - 0.2]
            axis.plot([lane] * 2, ends, color=INK, lw=4, solid_capstyle="round")
        axis.set_yticks(list(rows.values()), list(rows), color=INK, parse_math=False)
        axis.set_xticks(range(1, len(ranked) + 1))
        axis.set_xlabel("rank by test accuracy, 1 is the best")
        axis.set_xlim(left=0.5)
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
    return figure


def parameters_chart(points: list[Plotted]) -> Figure:
    """Accuracy against parameters: ours with intervals, published ones, both with Pareto fronts."""
    with style():
        figure = Figure(figsize=(10, 5.4), layout="constrained")
        axis = figure.subplots()
        ours = [point for point in points if point.interval]
        published = [point for point in points if not point.interval]
        for group, colour, dashes in ((published, REFERENCE, (3, 2)), (ours, ACCENT, ())):
            front = sorted((p.parameters, p.accuracy) for p in group if p.front)
            along, up = [place[0] for place in front], [place[1] for place in front]
            axis.step(along, up, color=colour, lw=1.4, dashes=dashes, where="post")
        for point in published:
            axis.plot(point.parameters, point.accuracy, "D", mfc=PAPER, mec=REFERENCE, ms=6)
        for point in ours:
            colour = HIGHLIGHT if point.name == "ensemble" else ACCENT
            bounds = np.clip([point.interval.low, point.interval.high], 0, 1)
            axis.plot([point.parameters] * 2, bounds, color=colour, lw=3, alpha=0.3)
            axis.plot(point.parameters, point.accuracy, "o", color=colour, ms=7)
        axis.set_xscale("log")
        axis.tick_params(which="minor", length=0)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda n, _: amount(n).replace(".00", "")))
        axis.xaxis.set_minor_formatter(NullFormatter())  # the default writes LaTeX in a decade
        axis.yaxis.set_major_formatter(FuncFormatter(in_percent))
        axis.set_xlabel("parameters")
        axis.set_ylabel("test accuracy")
        _name_points(axis, ours, published)
        lines = {
            "ours, with 95 % interval": Line2D([], [], color=ACCENT, marker="o"),
            "published": Line2D(
                [], [], color=REFERENCE, marker="D", mfc=PAPER, mec=REFERENCE, dashes=(3, 2)
            ),
        }
        place = "outside upper left"
        figure.legend(lines.values(), lines.keys(), loc=place, ncols=2, frameon=False)
    return figure


def _name_points(axis: Axes, ours: list[Plotted], published: list[Plotted]) -> None:
    """Name the points, ours first, then the most accurate; skip names that would cover another."""
    low, high = axis.get_ylim()
    left, right = np.log10(axis.get_xlim())
    taken: list[tuple[float, float, float]] = []
    for point in [*ours, *sorted(published, key=lambda point: -point.accuracy)]:
        x = (np.log10(point.parameters) - left) / (right - left)
        y = (point.accuracy - low) / (high - low)
        width = 0.012 * len(point.name) + 0.02  # estimated, as a fraction of the panel
        side = "right" if x + width > 1 else "left"
        begin = x - width if side == "right" else x
        if any(abs(y - v) < 0.035 and begin < u + w and u < begin + width for u, v, w in taken):
            continue
        taken.append((begin, y, width))
        axis.annotate(
            point.name,
            (point.parameters, point.accuracy),
            (-6 if side == "right" else 6, 3),  # above the front
            textcoords="offset points",
            ha=side,
            size=9,
            color=INK if point.interval else MUTED,
            parse_math=False,
        )


def curves_chart(curves: dict[str, Curve]) -> Figure:
    """Accuracy and loss of every model over its epochs, in training and on its validation fold."""
    with style():
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        for axis, score in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
            for number, curve in enumerate(curves.values()):
                colour = MODEL_COLOURS[number % len(MODEL_COLOURS)]
                epochs = [row["epoch"] for row in curve]
                marker = "o" if len(curve) == 1 else None
                for part, dashes in _dashes(number).items():
                    values = [row[f"{part}_{score}"] for row in curve]
                    lines = {"lw": _WIDTHS[part], "dashes": dashes}
                    axis.plot(epochs, values, color=colour, marker=marker, **lines)
            axis.set_title(score.capitalize())
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        accuracy, loss = figure.axes
        accuracy.yaxis.set_major_formatter(FuncFormatter(in_percent))
        accuracy.set_ylim(bottom=_without_first_steps(accuracy))
        loss.set_yscale("log")
        plain = FuncFormatter(lambda value, _: f"{value:g}")
        loss.yaxis.set_major_formatter(plain)
        loss.yaxis.set_minor_formatter(plain)
        _legend(figure, list(curves))
    return figure


def encoder_chart(
    curves: dict[int, dict[str, np.ndarray]],
    places: np.ndarray,
    labels: np.ndarray,
    classes: list[str],
) -> Figure:
    """The loss of an encoder over its epochs, one line per seed, and a map of its features.

    Args:
        curves: `train_loss` and `validation_loss` by epoch, of each seed.
        places: float [N, 2].
        labels: int64 [N].
        classes: Names of the classes; more than ten share colours and have no legend.
    """
    colours = matplotlib.colormaps["tab10"].colors
    with style():
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        loss, scatter = figure.subplots(1, 2)
        for curve in curves.values():
            for part, dashes, width in (("train", (3, 2), 1.1), ("validation", (), 2)):
                values = curve[f"{part}_loss"]
                epochs = np.arange(1, len(values) + 1)
                marker = "o" if len(values) == 1 else None
                loss.plot(epochs, values, color=ACCENT, marker=marker, lw=width, dashes=dashes)
        loss.set_title("Loss: training (dashed), validation")
        loss.set_xlabel("epoch")
        loss.xaxis.set_major_locator(MaxNLocator(integer=True))
        for label, name in enumerate(classes):
            chosen = places[labels == label]
            colour = [colours[label % len(colours)]]
            scatter.scatter(*chosen.T, s=4, c=colour, label=name, lw=0, rasterized=True)
        scatter.set_title("Features")
        scatter.set_axis_off()
        if len(classes) <= len(colours):
            figure.legend(*scatter.get_legend_handles_labels(), loc="outside right", markerscale=3)
    return figure


def _without_first_steps(axis: Axes) -> float:
    """A lower limit that cuts off the steep first steps, so that the rest is readable."""
    return float(np.quantile(np.concatenate([line.get_ydata() for line in axis.lines]), 0.05))


def in_percent(share: float, _: int) -> str:
    return f"{100 * share:g} %"


def _dashes(number: int) -> dict[str, tuple[int, ...]]:
    """Dashes of a model's two lines: the eighth model has the colour of the first."""
    if number < len(MODEL_COLOURS):
        return {"train": (3, 2), "validation": ()}
    return {"train": (1, 2), "validation": (6, 1, 1, 1)}


def _legend(figure: Figure, models: list[str]) -> None:
    """One legend for both panels: a colour for each model, dashes for training."""
    entries = {}
    for number, name in enumerate(models):
        line = {"lw": _WIDTHS["validation"], "dashes": _dashes(number)["validation"]}
        entries[name] = Line2D([], [], color=MODEL_COLOURS[number % len(MODEL_COLOURS)], **line)
    for label, part in (("validation", "validation"), ("training", "train")):
        line = {"lw": _WIDTHS[part], "dashes": _dashes(0)[part]}
        entries[label] = Line2D([], [], color=MUTED, **line)
    figure.legend(
        entries.values(), entries.keys(), loc="outside upper left", ncols=8, frameon=False
    )


def reliability_chart(calibrations: dict[str, Calibration]) -> Figure:
    """Accuracy by confidence, before and after temperature scaling, one panel per model."""
    columns = 4  # also for fewer models, which would otherwise fill the width of the page
    rows = -(-len(calibrations) // columns)
    with style():
        figure = Figure(figsize=(2.5 * columns, 0.8 + 2.6 * rows), layout="compressed")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in grid.flat[len(calibrations) :]:
            axis.set_visible(False)
        for axis, (name, found) in zip(grid.flat, calibrations.items(), strict=False):
            _draw_reliability(axis, found.reliability)
            axis.set_title(name, parse_math=False)
        middle = min(len(calibrations), columns) / (2 * columns)
        figure.supxlabel("probability of the predicted class", x=middle, color=MUTED)
        figure.supylabel("test accuracy", color=MUTED)
        lines = {
            "as trained": Line2D([], [], color=ACCENT, lw=2),
            "with temperature": Line2D([], [], color=HIGHLIGHT, lw=2),
            "calibrated": Line2D([], [], color=REFERENCE, lw=1, dashes=(3, 2)),
        }
        place = "outside upper left"
        figure.legend(lines.values(), lines.keys(), loc=place, ncols=3, frameon=False)
    return figure


def _draw_reliability(axis: Axes, reliability: tuple[Reliability, Reliability]) -> None:
    """Draw before and after; a dot's area is the share of images, faint lines join the dots."""
    axis.plot([0, 1], [0, 1], color=REFERENCE, lw=1, dashes=(3, 2))
    for curve, colour in zip(reliability, (ACCENT, HIGHLIGHT), strict=True):
        axis.plot(curve.confidence, curve.accuracy, color=colour, lw=1.2, alpha=0.5)
        sizes = 5 + 60 * curve.share
        axis.scatter(curve.confidence, curve.accuracy, sizes, colour, linewidths=0)
    axis.set_aspect("equal")
    axis.set(xlim=(0, 1.04), ylim=(0, 1.04), xticks=_TICKS, yticks=_TICKS)
    axis.xaxis.set_major_formatter(FuncFormatter(in_percent))
    axis.yaxis.set_major_formatter(FuncFormatter(in_percent))
    axis.tick_params(labelbottom=True)


def confusion_chart(matrices: dict[str, np.ndarray], classes: list[str]) -> Figure:
    """Confusion matrices as shares of each true class, one panel per classifier.

    Args:
        matrices: int64 [K, K] by classifier; rows are the true classes.
        classes: Names of the classes.
    """
    columns = min(4, len(matrices))
    rows = -(-len(matrices) // columns)
    with style():
        figure = Figure(figsize=(3.6 * columns, 3.9 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in grid.flat:
            axis.set_visible(False)
        for axis, (name, matrix) in zip(grid.flat, matrices.items(), strict=False):
            axis.set_visible(True)
            axis.imshow(np.sqrt(shares(matrix)), cmap="Blues", vmin=0, vmax=1)
            axis.set_title(name, parse_math=False)
            axis.grid(visible=False)
            if len(classes) <= 20:
                _label_cells(axis, shares(matrix), classes)
        figure.supxlabel("predicted class (percent of each true class)", color=MUTED)
        figure.supylabel("true class", color=MUTED)
    return figure


def _label_cells(axis: Axes, values: np.ndarray, classes: list[str]) -> None:
    # Longer names leave no room for the matrix.
    ticks, shown = range(len(classes)), labels([shortened(name, 20) for name in classes])
    style = {"family": shown.family, "fontsize": 7, "parse_math": False}
    axis.set_xticks(ticks, shown.texts, rotation=90, **style)
    axis.set_yticks(ticks, shown.texts, **style)
    for (y, x), value in np.ndenumerate(values):
        if text := whole_percent(value):
            colour = "white" if value > 0.4 else INK
            axis.text(x, y, text, ha="center", va="center", size=6, color=colour)


def to_svg(figure: Figure, label: str) -> str:
    """The figure as an <svg> element for a page that defines the CSS variables.

    Args:
        figure: A chart of this module.
        label: Description for screen readers; already escaped.
    """
    content = io.StringIO()
    # The salt makes the ids inside reproducible, and different from those of other charts.
    with (
        style(),
        matplotlib.rc_context({"svg.hashsalt": label}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has its own fonts
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # numbered from 1 in every chart
    svg = svg.replace("xlink:href", "href")
    box = re.search(r'viewBox="[^"]*"', svg)[0]
    svg = re.sub(r"<svg[^>]*>", f'<svg {box} role="img" aria-label="{label}">', svg, count=1)
    for colour, variable in _THEMED.items():
        svg = svg.replace(colour, variable)
    return svg


def svg(figure: Figure, label: str) -> Markup:
    """As `to_svg`, with a plain-text label, for a template that escapes."""
    return Markup(to_svg(figure, str(escape(label))))


def style() -> AbstractContextManager:
    return matplotlib.rc_context(_STYLE)
