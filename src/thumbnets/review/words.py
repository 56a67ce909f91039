"""A review as short texts, which Markdown and the terminal share."""

import math

from thumbnets.evaluation.statistics import Estimate
from thumbnets.messages import listed
from thumbnets.paths import HEADLINE
from thumbnets.review.comparing import NOT_COMPARABLE, Review, Row

NONE = "–"
SIZES = ("parameters", "MACC")
HEADS = ("", "before", "after", "gain, points", "p (Holm)", "verdict", *SIZES)


def table(review: Review) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of verdicts, without empty columns."""
    rows = [_cells(row, review.margin) for row in review.rows]
    kept = [i for i in range(len(HEADS)) if not i or any(row[i] != NONE for row in rows)]
    return [HEADS[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _cells(row: Row, margin: float) -> list[str]:
    before, after = row.before, row.after
    return [
        _name(row),
        percent(before.accuracy),
        percent(after.accuracy),
        with_interval(row.gain),
        NONE if row.p is None else p_value(row.p),
        in_words(row, margin),
        _numbers(before.parameters, after.parameters),
        _numbers(before.multiply_accumulates, after.multiply_accumulates),
    ]


def in_words(row: Row, margin: float) -> str:
    """The verdict, with `equal` or `same images recognised` where these hold."""
    if row.unchanged:
        return "no difference shown (same images recognised)"
    return f"{row.verdict}, equal within ±{margin:g} points" if row.equal else row.verdict


def headline(review: Review) -> str:
    """The review in one line: the classifiers, or their number, by verdict."""
    counts = {
        said: [row.name for row in review.rows if row.verdict == said]
        for said in ("better", "worse", "no difference shown", NOT_COMPARABLE)
    }
    named = {said: names for said, names in counts.items() if names}
    parts = [
        f"{said}: {', '.join(names) if len(names) <= 5 else len(names)}"
        for said, names in named.items()
    ]
    said = "; ".join(parts) or "nothing to compare"
    return said[0].upper() + said[1:]


def basis(review: Review) -> str:
    """What was compared, and what the verdicts rest on."""
    said = f"Head {review.head}, compared with {review.base}."
    seeds = [_seeds(row) for row in review.rows if row.gain]
    if not seeds:
        return said
    grouped = any(
        of.correct and of.correct.group is not None
        for row in review.rows
        for of in (row.before, row.after)
    )
    sample = "groups of test images" if grouped else "test images"
    alone = f"Student's paired test over {sample}" if grouped else "McNemar's exact test"
    alone += " for one training of each (a new training may turn out differently)"
    test = f"paired test over {sample} and seeds"
    if max(seeds) == 1:
        test = alone
    elif min(seeds) == 1:  # an ensemble of all seeds
        single = [row.name for row in review.rows if row.gain and _seeds(row) == 1]
        test += f"; of {listed(single, 3)}, {alone}"
    return (
        f"{said} Gains have paired 95 % intervals; p: {test}, after Holm's correction for the rows "
        "whose predictions differ. Better and worse mean p below 0.01."
    )


def _seeds(row: Row) -> int:
    return len(row.after.correct.correct)


def reasons(review: Review) -> list[str]:
    """Why rows are not comparable, each reason once."""
    found: dict[str, list[str]] = {}
    for row in review.rows:
        if row.reason:
            found.setdefault(row.reason, []).append(row.name)
    return [f"{listed(names, 5)} not comparable: {reason}." for reason, names in found.items()]


def _name(row: Row) -> str:
    if row.name != HEADLINE:
        return row.name
    names = [str(name) for name in (row.before.model, row.after.model)]
    return f"headline ({names[0] if names[0] == names[1] else ' → '.join(names)})"


def with_interval(gain: Estimate | None) -> str:
    """A gain in points with its interval, which is unknown for a single group of images."""
    if gain is None:
        return NONE
    mean, low, high = (points(value) for value in (gain.mean, gain.low, gain.high))
    return mean if math.isnan(gain.low) else f"{mean} ({low} to {high})"


def percent(share: float | None) -> str:
    """0.9091 as 90.91 %."""
    return NONE if share is None else f"{100 * share:.2f} %"


def points(difference: float) -> str:
    """0.0121 as +1.21."""
    rounded = round(100 * difference, 2) + 0.0
    return "0.00" if not rounded else f"{rounded:+.2f}".replace("-", "−")


def p_value(p: float) -> str:
    """0.03141 as 0.031; very small ones as < 0.0001."""
    if math.isnan(p):
        return NONE
    if p < 0.0001:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}" if p < 0.9995 else "1"


def _numbers(before: int | None, after: int | None) -> str:
    texts = [NONE if value is None else f"{value:,}" for value in (before, after)]
    return texts[0] if texts[0] == texts[1] else " → ".join(texts)
