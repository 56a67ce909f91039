"""Accuracies over the commits of a branch and over experiments, read from git's objects alone."""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from thumbnets.evaluation.comparisons import holm, pair_p, verdict
from thumbnets.evaluation.correctness import Correctness, parse_correctness, tables_to_compare
from thumbnets.evaluation.statistics import Estimate
from thumbnets.evaluation.two_way import paired_gain
from thumbnets.git import git, read_blobs
from thumbnets.paths import ENSEMBLE, ENSEMBLE_METRICS, HEADLINE, LOCK, metrics
from thumbnets.review.sample import Sample, why_not_same_images
from thumbnets.review.scores import SUMMARY, is_locked

_EXPERIMENTS = "refs/exps"

Tested = tuple[Correctness, Sample]  # which test images a classifier recognises, and of which


@dataclass(frozen=True)
class Commit:
    """A commit or an experiment.

    Attributes:
        name: Full name.
        day: Day on which it was committed, as 2026-11-28.
        subject: First line of its message; for an experiment, its name.
        baseline: Commit that an experiment started from.
    """

    name: str
    day: str
    subject: str
    baseline: str | None = None


@dataclass(frozen=True)
class Value:
    """The score of a classifier in a commit.

    Attributes:
        accuracy: Mean over seeds.
        low: Lower end of its 95 % interval.
        high: Upper end.
        model: The block; for the headline it may change.
    """

    accuracy: float
    low: float | None
    high: float | None
    model: str


@dataclass(frozen=True)
class Point:
    """A value, with the first commit whose run gave it; if there is none, the first that has it.

    Attributes:
        commit: The commit.
        value: Its score.
        gain: Gain over the value before (for an experiment, over its baseline); None if the two
            can't be paired.
        verdict: Verdict on that gain, after Holm's correction for the whole series; or why the two
            can't be paired, or that the value is not from its commit's run.
    """

    commit: Commit
    value: Value
    gain: Estimate | None = None
    verdict: str | None = None


@dataclass(frozen=True)
class Series:
    """All values of a classifier, the oldest first; experiments come after their branch."""

    name: str
    points: list[Point]

    def as_dict(self) -> dict[str, Any]:
        """As a dict for JSON."""
        points = [
            asdict(point) | {"gain": point.gain and point.gain.as_dict()} for point in self.points
        ]
        return {"name": self.name, "points": points}


def history(root: Path, models: list[str]) -> list[Series]:
    """Headline, ensemble and some models over all commits of the branch and over experiments.

    Args:
        root: Folder of the project.
        models: Names of blocks, beside the headline and the ensemble.
    """
    commits = _commits(root) + experiments(root)
    names = [HEADLINE, ENSEMBLE, *models]
    at = {c.name for c in commits} | {c.baseline for c in commits if c.baseline}
    files = [(*_metrics(name), _of_sample(name), _correct(name)) for name in names]
    paths = [str(LOCK), *(path for of_name in files for path in of_name)]
    blobs = read_blobs(root, [f"{name}:./{path}" for name in sorted(at) for path in paths])
    return [_series(name, commits, blobs) for name in names]


def _commits(root: Path) -> list[Commit]:
    """Commits of the branch that changed metrics or were run, the oldest first.

    Of a merged branch only the merge counts: its own commits followed another predecessor.
    """
    order = ["--reverse", "--first-parent", "--format=%H%x00%cs%x00%s"]
    lines = git(root, "log", *order, "HEAD", "--", "metrics", str(LOCK)).decode(errors="replace")
    return [Commit(*line.split("\0", 2)) for line in lines.split("\n") if line]


def experiments(root: Path) -> list[Commit]:
    """Experiments of DVC, the oldest first: refs/exps/<two digits>/<rest of baseline>/<name>."""
    format_ = "--format=%(objectname)%00%(committerdate:short)%00%(refname)"
    lines = git(root, "for-each-ref", "--sort=committerdate", format_, _EXPERIMENTS).decode()
    found = []
    for line in lines.splitlines():
        name, day, reference = line.split("\0")
        parts = reference.removeprefix(f"{_EXPERIMENTS}/").split("/")
        if len(parts) == 3 and len(parts[0] + parts[1]) == len(name):  # not exec/ or stash
            found.append(Commit(name, day, parts[2], "".join(parts[:2])))
    return found


def _metrics(name: str) -> list[str]:
    """Paths that may hold a value; older commits have the metrics of models in metrics/ itself."""
    if name in (HEADLINE, ENSEMBLE):
        return [SUMMARY]
    return [f"metrics/models/{name}.json", f"metrics/{name}.json"]


def _of_sample(name: str) -> str:
    """Path of the metrics that have the checksum of the test images."""
    return str(ENSEMBLE_METRICS if name == ENSEMBLE else metrics(name))


def _correct(name: str) -> str:
    return f"metrics/correct/{name}.json"


def _series(name: str, commits: list[Commit], blobs: dict[str, bytes]) -> Series:
    points: list[Point] = []
    befores: list[Tested | None] = []
    afters: list[Tested | None] = []
    last: tuple | None = None
    for commit in commits:
        value, tested = _value(commit.name, name, blobs), _tested(commit.name, name, blobs)
        before = last
        if commit.baseline:
            before = (
                _value(commit.baseline, name, blobs),
                _tested(commit.baseline, name, blobs),
            )
        if value is None:
            continue
        if before is not None and before[0] == value:
            # A merge may have taken the value from a branch; then came the run of the merged code.
            doubtful = not commit.baseline and points[-1].verdict
            if doubtful and not _doubt(commit.name, name, blobs):
                points[-1], afters[-1] = Point(commit, value), tested
                last = (value, tested)
            continue
        points.append(Point(commit, value, verdict=_doubt(commit.name, name, blobs)))
        befores.append(before[1] if before else None)
        afters.append(tested)
        if not commit.baseline:
            last = (value, tested)
    return Series(name, _judged(points, befores, afters))


def _judged(
    points: list[Point], befores: list[Tested | None], afters: list[Tested | None]
) -> list[Point]:
    pairs, result = {}, list(points)
    for i, (before, after) in enumerate(zip(befores, afters, strict=True)):
        if before and after and not points[i].verdict:
            reason = why_not_same_images(before, after)
            if reason is None:
                pairs[i] = tables_to_compare(after[0], before[0])
            else:  # `other test images (300, then 10,000)`
                result[i] = replace(points[i], verdict=reason.partition(" (")[0])
    corrected = holm([pair_p(*pair) for pair in pairs.values()])
    for (i, pair), p in zip(pairs.items(), corrected, strict=True):
        gain = paired_gain(*pair)
        result[i] = replace(points[i], gain=gain, verdict=verdict(gain.mean, p))
    return result


def _value(commit: str, name: str, blobs: dict[str, bytes]) -> Value | None:
    """The scores of a classifier in a commit; None if the commit has no number for it."""
    found = _json(_of_metrics(commit, name, blobs)[1])
    if name in (HEADLINE, ENSEMBLE):
        found = found.get("model" if name == HEADLINE else ENSEMBLE)
        keys = ("accuracy", "accuracy_ci_low", "accuracy_ci_high")
        numbers = [_number(found, key) for key in keys]
    else:
        of_seeds, of_images = found.get("accuracy"), found.get("wilson")
        numbers = [_number(of_seeds, key) for key in ("mean", "ci_low", "ci_high")]
        if numbers[1] is None:
            numbers[1:] = [_number(of_images, key) for key in ("low", "high")]
    if numbers[0] is None:
        return None
    model = found.get("name") if name == HEADLINE else name
    return Value(*numbers, model=str(model))


def _of_metrics(commit: str, name: str, blobs: dict[str, bytes]) -> tuple[str, bytes]:
    """The file that has a value in a commit, and its content; both empty if there is none."""
    found = ((path, blobs.get(f"{commit}:./{path}")) for path in _metrics(name))
    return next(((path, content) for path, content in found if content is not None), ("", b""))


def _doubt(commit: str, name: str, blobs: dict[str, bytes]) -> str | None:
    """Why a value is not from the run of its commit; None if it is, or if that is unknown."""
    lock = blobs.get(f"{commit}:./{LOCK}", b"").decode(errors="replace")
    files = [_of_metrics(commit, name, blobs), _of_bits(commit, name, blobs)]
    return None if all(is_locked(*file, lock) for file in files) else f"differs from {LOCK}"


def _of_bits(commit: str, name: str, blobs: dict[str, bytes]) -> tuple[str, bytes | None]:
    """The file of the recognised images of a commit, and its content."""
    path = _correct(name)
    return path, blobs.get(f"{commit}:./{path}")


def _json(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(found: Any, key: str) -> float | None:
    value = found.get(key) if isinstance(found, dict) else None
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _tested(commit: str, name: str, blobs: dict[str, bytes]) -> Tested | None:
    _, content = _of_bits(commit, name, blobs)
    try:
        correct = parse_correctness(content.decode(), name) if content else None
    except ValueError:
        return None
    if correct is None:
        return None
    lock = blobs.get(f"{commit}:./{LOCK}", b"").decode(errors="replace")
    found = blobs.get(f"{commit}:./{_of_sample(name)}", b"")
    return correct, Sample.of(_json(found), lock)
