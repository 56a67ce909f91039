"""Two commits side by side: a verdict on each classifier of both, and what else changed."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from thumbnets.evaluation.comparisons import holm, pair_p, verdict
from thumbnets.evaluation.correctness import tables_to_compare
from thumbnets.evaluation.statistics import Estimate
from thumbnets.evaluation.two_way import paired_gain
from thumbnets.paths import ENSEMBLE, HEADLINE
from thumbnets.review.code import code_changes, other_trainings
from thumbnets.review.sample import why_not_same_images
from thumbnets.review.scores import Scores, read_scores
from thumbnets.review.settings import Change, changes, read_run
from thumbnets.review.snapshot import Snapshot
from thumbnets.review.stale import not_run, why_stale

NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Row:
    """A classifier that both commits have.

    Attributes:
        name: `headline`, `ensemble`, or a block of the pool.
        before: Its scores in the base.
        after: Its scores in the head.
        gain: Gain in accuracy, a fraction, with its paired 95 % interval; None if not comparable.
        p: p-value of no gain, after Holm's correction for the rows whose predictions differ.
        verdict: `better`, `worse`, `no difference shown` or `not comparable`.
        reason: Why it is not comparable.
        unchanged: Whether both recognise the same images with every seed.
        equal: Whether the interval of the gain lies within the margin.
    """

    name: str
    before: Scores
    after: Scores
    gain: Estimate | None = None
    p: float | None = None
    verdict: str = NOT_COMPARABLE
    reason: str | None = None
    unchanged: bool = False
    equal: bool = False


@dataclass(frozen=True)
class Review:
    """The changes of a head commit.

    Attributes:
        base: Short name of the commit that the head is compared with.
        head: Short name of the head.
        margin: Margin of equality, in points.
        rows: Headline, ensemble, and the blocks that both pools have.
        new: Blocks that only the head has, with their accuracy.
        removed: Blocks that only the base has, with their accuracy.
        changes: Changed settings of the run.
        code: Changed parts of the code, in words.
        retrained: Blocks whose settings or code changed according to dvc.lock.
    """

    base: str
    head: str
    margin: float
    rows: list[Row]
    new: dict[str, float | None]
    removed: dict[str, float | None]
    changes: list[Change]
    code: list[str]
    retrained: list[str]

    def fails(self, on: str) -> bool:
        """Whether a verdict is `worse`, or, with `unshown`, neither better nor equal.

        Args:
            on: `worse`, `unshown` or `never`.
        """
        if on == "worse":
            return any(row.verdict == "worse" for row in self.rows)
        return on == "unshown" and any(
            row.verdict != "better" and not row.unchanged and not row.equal for row in self.rows
        )

    def as_dict(self) -> dict[str, Any]:
        """As a dict for JSON, without the bits of the images and dvc.lock."""
        rows = [asdict(row) | {"gain": row.gain and row.gain.as_dict()} for row in self.rows]
        for row in rows:
            for side in (row["before"], row["after"]):
                del side["correct"], side["sample"]
            row["p"] = None if row["p"] is None or math.isnan(row["p"]) else row["p"]
        return asdict(replace(self, rows=[])) | {"rows": rows}


def review(base: Snapshot, head: Snapshot, margin: float) -> Review:
    """Compare two commits.

    Args:
        base: Commit before the change.
        head: Commit with the change.
        margin: Difference of accuracies that counts as equal, in percentage points.

    Raises:
        ValueError: params.yaml of one of the commits can't be read.
    """
    old, new = read_run(base), read_run(head)
    both = [name for name in new.pool if name in old.pool]
    different, code = changes(old, new), code_changes(base, head)
    stale = why_stale(base, head, settings=bool(different), code=bool(code))
    unrun = not_run(base)
    rows = [
        Row(
            name,
            read_scores(base, name, old.model, unrun),
            read_scores(head, name, new.model, stale),
        )
        for name in [HEADLINE, ENSEMBLE, *both]
    ]

    def only(snapshot: Snapshot, names: list[str], others: list[str]) -> dict[str, float | None]:
        return {n: read_scores(snapshot, n, "").accuracy for n in names if n not in others}

    return Review(
        base=base.short,
        head=head.short,
        margin=margin,
        rows=judge(rows, margin),
        new=only(head, new.pool, old.pool),
        removed=only(base, old.pool, new.pool),
        changes=different,
        code=code,
        retrained=other_trainings(base, head, both),
    )


def judge(rows: list[Row], margin: float) -> list[Row]:
    """Add gains, p-values and verdicts.

    Rows with unchanged predictions test nothing, and a headline that is in the pool tests the same
    pair twice: neither counts in Holm's correction.
    """
    judged = [_with_gain(row, margin) for row in rows]
    pairs = {
        _bits(row): pair_p(*tables_to_compare(row.after.correct, row.before.correct))
        for row in judged
        if row.gain and not row.unchanged
    }
    corrected = dict(zip(pairs, holm(list(pairs.values())), strict=True))
    result = []
    for row in judged:
        if row.gain:
            p = 1.0 if row.unchanged else corrected[_bits(row)]
            row = replace(row, p=p, verdict=verdict(row.gain.mean, p))
        result.append(row)
    return result


def _with_gain(row: Row, margin: float) -> Row:
    if reason := why_not(row.before, row.after):
        return replace(row, reason=reason)
    before, after = row.before.correct.table, row.after.correct.table
    gain = paired_gain(*tables_to_compare(row.after.correct, row.before.correct))
    return replace(
        row,
        gain=gain,
        unchanged=bool((before == after).all()),
        equal=-margin / 100 <= gain.low and gain.high <= margin / 100,
    )


def why_not(before: Scores, after: Scores) -> str | None:
    """Why the two can't be paired; None if they can."""
    if problem := before.problem or after.problem:
        return problem
    return why_not_same_images((before.correct, before.sample), (after.correct, after.sample))


def _bits(row: Row) -> tuple[bytes, bytes]:
    return row.before.correct.table.tobytes(), row.after.correct.table.tobytes()
