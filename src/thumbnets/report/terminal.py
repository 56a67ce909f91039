"""Comparisons as plain text, for the command line."""

from thumbnets.evaluation.comparisons import Comparison
from thumbnets.report.filters import p_value

# Of the gain by each score: its unit, what it is multiplied by, and decimals.
_UNITS = {"accuracy": ("points", 100, 2), "nll": ("nats", 1, 4)}


def comparison_table(comparisons: list[Comparison], metric: str) -> str:
    """A line a pair, with as many columns as there is something to say.

    Args:
        comparisons: All of the same score and seeds.
        metric: The score, a key of `predictions.SCORES`.
    """
    unit, scale, digits = _UNITS[metric]
    rows = []
    for found in comparisons:
        mean, low, high = (
            f"{scale * value:+.{digits}f}"
            for value in (found.gain.mean, found.gain.low, found.gain.high)
        )
        row = {"A": found.a, "B": found.b, f"gain, {unit}": mean, "95 %": f"{low} to {high}"}
        row["p (Holm)"] = p_value(found.p)
        if found.mcnemar is not None:
            row["McNemar"] = p_value(found.mcnemar)
        if found.superiority:
            s = found.superiority
            row["P(A > B)"] = f"{s.mean:.2f} ({s.low:.2f} to {s.high:.2f})"
        rows.append(row | {"verdict": _in_words(found)})
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _in_words(found: Comparison) -> str:
    winner = {"better": found.a, "worse": found.b}.get(found.verdict)
    return f"{winner} is better" if winner else found.verdict


def explanation(metric: str, seeds: int) -> str:
    """What the p-values of the table rest on."""
    if seeds == 1:
        test = "McNemar's exact test" if metric == "accuracy" else "Student's paired test"
        return f"p: {test}, of one training each: a new training may turn out otherwise."
    both = "p: paired test over test images and seeds."
    return f"{both} McNemar: median of seeds." if metric == "accuracy" else both
