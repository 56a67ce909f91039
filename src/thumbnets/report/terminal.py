"""Comparisons and networks as plain text, for the command line."""

import math

from thumbnets.evaluation.comparisons import Comparison
from thumbnets.evaluation.cost import Description, LayerCost
from thumbnets.evaluation.statistics import Estimate
from thumbnets.report.filters import megabytes, p_value, sides

# The gain in each score: its unit, a factor, the number of decimals, and the largest there can be.
_UNITS = {"accuracy": ("points", 100, 2, 1.0), "nll": ("nats", 1, 4, math.inf)}


def comparison_table(comparisons: list[Comparison], metric: str) -> str:
    """One line per pair; columns without values are left out.

    Args:
        comparisons: All of the same score and seeds.
        metric: Name of the score, a key of `predictions.SCORES`.
    """
    unit, scale, digits, most = _UNITS[metric]
    rows = []
    for found in comparisons:
        mean, low, high = (
            f"{scale * value:+.{digits}f}"
            for value in (found.gain.mean, max(found.gain.low, -most), min(found.gain.high, most))
        )
        row = {"A": found.a, "B": found.b, f"gain, {unit}": mean}
        row["95 %"] = f"{low} to {high}" if math.isfinite(found.gain.low) else "–"
        row["p (Holm)"] = p_value(found.p)
        if any(pair.mcnemar is not None for pair in comparisons):
            row["McNemar"] = p_value(found.mcnemar)
        if any(pair.superiority for pair in comparisons):
            row["P(A > B)"] = _probability(found.superiority)
        rows.append(row | {"verdict": _in_words(found)})
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _probability(found: Estimate | None) -> str:
    if found is None:
        return "–"
    bounds = "" if math.isnan(found.low) else f" ({found.low:.2f} to {found.high:.2f})"
    return f"{found.mean:.2f}{bounds}"


# Explanation of p-values where seeds were validated on different folds (`over_folds`).
# Source: Dietterich 1998, Neural Computation 10, section 3.4.
FOLDS = (
    "p: Student's paired test over folds. They share training images, so that p is somewhat too "
    "small."
)

# Explanation of the column that only pairs of trainings have.
SUPERIORITY = (
    "P(A > B): probability that a training of A scores better than one of B; its interval is too "
    "narrow with few seeds, and left out where they give it no width at all."
)


def _in_words(found: Comparison) -> str:
    winner = {"better": found.a, "worse": found.b}.get(found.verdict)
    return f"{winner} is better" if winner else found.verdict


def explanation(metric: str, seeds: int, images: str, *, grouped: bool) -> str:
    """Explanation of the table's p-values.

    Args:
        metric: Name of the score.
        seeds: Number of seeds.
        images: What the scores are of.
        grouped: Whether images come in groups, which are then the sample.
    """
    exact = metric == "accuracy" and not grouped
    sample = f"groups of {images}" if grouped else images
    if seeds == 1:
        test = "McNemar's exact test" if exact else "Student's paired test"
        test += f" over {sample}" * grouped
        return f"p: {test}, for one training of each: it does not cover new trainings."
    return f"p: paired test over {sample} and seeds.{' McNemar: median over seeds.' * exact}"


# Columns of the layer table after those of torchsummary: attributes of a cost.
_COSTS = {
    "MACC": "multiply_accumulates",
    "COMP": "comparisons",
    "ADD": "additions",
    "DIV": "divisions",
    "Activations": "activations",
}


def layer_table(description: Description) -> str:
    """The layers of a network as torchsummary prints them, with their costs, and the totals."""
    heads = ["Layer (type)", "Output Shape", "Param #", *_COSTS]
    rows = [_layer_row(layer) for layer in description.layers]
    total = [f"{getattr(description.total, name):,}" for name in _COSTS.values()]
    rows.append(["Total, with the image", "", f"{description.parameters:,}", *total])
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in [heads, *rows]]
    thin, thick = "-" * len(lines[0]), "=" * len(lines[0])
    body = [thin, lines[0], thick, *lines[1:-1], thick, lines[-1], *_totals(description), thin]
    return "\n".join(body)


def _layer_row(layer: LayerCost) -> list[str]:
    costs = (getattr(layer.cost, name) for name in _COSTS.values())
    return [
        layer.name,
        str([-1, *layer.shape]),
        f"{layer.parameters:,}",
        *(f"{n:,}" for n in costs),
    ]


def _totals(description: Description) -> list[str]:
    fixed = description.parameters - description.trainable
    lines = [
        f"Trainable params: {description.trainable:,}",
        f"Non-trainable params: {fixed:,}",
        f"Params size (MB): {megabytes(description.megabytes)}",
        f"Receptive field: {sides(description.receptive_field)} pixels",
    ]
    if description.unused:
        lines.append(f"Params that no layer used: {description.unused:,}")
    if description.uncounted:
        named = ", ".join(f"{name} ({times})" for name, times in description.uncounted.items())
        lines.append(f"Calls that no counting rule covers: {named}")
    return lines


def field_table(description: Description) -> str:
    """Growth of the receptive field: the layers with a window, and others that widen it."""
    heads = "Operation Nin Nout CHin CHout Padding Kernel Stride jin jout rin rout".split()
    rows = [_field_row(layer) for layer in description.layers if _moves(layer)]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return "\n".join("  ".join(map(str.rjust, row, widths)) for row in [heads, *rows])


def _moves(layer: LayerCost) -> bool:
    field = layer.field
    return bool(field.window) or field.before.size != field.after.size


def _field_row(layer: LayerCost) -> list[str]:
    step = layer.field
    window = step.window
    maps = [f"{shape[1]}" if len(shape) > 1 else "-" for shape in (step.shape_in, step.shape_out)]
    side = [sides(s[-2:]) if len(s) == 4 else "-" for s in (step.shape_in, step.shape_out)]
    own = [sides(v) for v in (window.padding, window.kernel, window.stride)] if window else "---"
    jumps = [sides(step.before.jump), sides(step.after.jump)]
    return [layer.name, *side, *maps, *own, *jumps, sides(step.before.size), sides(step.after.size)]
