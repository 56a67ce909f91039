"""Metrics of one commit: read strictly, with problems of a file described in words."""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from thumbnets import paths
from thumbnets.evaluation.correctness import Correctness, parse_correctness
from thumbnets.paths import ENSEMBLE, HEADLINE
from thumbnets.review.code import checksums
from thumbnets.review.sample import Sample
from thumbnets.review.snapshot import Snapshot

SUMMARY = str(paths.SUMMARY)
_CLOSE = 1e-6  # metrics are rounded to six places


@dataclass(frozen=True)
class Scores:
    """Scores of one classifier in one commit.

    Attributes:
        model: The block, or `ensemble`; None if unknown.
        accuracy: Mean over seeds; None if there is none.
        parameters: Parameters of the network, or of all members.
        multiply_accumulates: Multiply-accumulates per image; None if the metrics lack it.
        correct: Recognised test images; None if there is no such file.
        sample: Which test images they are.
        problem: Why it can't be compared, and what to do; None if it can.
    """

    model: str | None
    accuracy: float | None
    parameters: int | None
    multiply_accumulates: int | None
    correct: Correctness | None
    sample: Sample
    problem: str | None


def read_scores(snapshot: Snapshot, name: str, headline: str, problem: str | None = None) -> Scores:
    """The scores of a classifier in a commit.

    Args:
        snapshot: The commit.
        name: A block, `headline` or `ensemble`.
        headline: The block of the headline model.
        problem: Why nothing of the commit can be compared; None: no such reason.
    """
    problems = [problem] if problem else []
    path = metrics_path(snapshot, name, headline)
    metrics = _read(snapshot, path, problems)
    if name in (HEADLINE, ENSEMBLE):
        _check_locked(snapshot, SUMMARY, problems)
    selected = metrics
    if name == ENSEMBLE:  # `counted` in older commits
        selected = metrics.get("selected") or metrics.get("counted")
    accuracy = _number(selected, ("accuracy", "mean"), path, problems) if metrics else None
    sizes = _sizes_of_ensemble(snapshot) if name == ENSEMBLE else metrics
    correct = _correct(snapshot, f"metrics/correct/{name}.json", problems)
    if correct and accuracy is not None and abs(correct.table.mean() - accuracy) > _CLOSE:
        problems.append(
            f"{path} and metrics/correct/{name}.json in {snapshot.short} are from different runs: "
            "run `dvc repro` and commit both"
        )
    known = correct.model if correct else headline if name == HEADLINE else name
    return Scores(
        known,
        accuracy,
        _whole(sizes, "parameters"),
        _whole(sizes, "multiply_accumulates"),
        correct,
        Sample.of(metrics, snapshot.lock),
        problems[0] if problems else None,
    )


def metrics_path(snapshot: Snapshot, name: str, headline: str) -> str:
    """Path of the metrics in a commit: older commits have them in metrics/ itself."""
    if name == ENSEMBLE:
        return "metrics/ensemble.json"
    block = headline if name == HEADLINE else name
    paths = [f"metrics/models/{name}.json", f"metrics/models/{block}.json"]
    old = f"metrics/{block}.json"
    return next((path for path in [*paths, old] if path in snapshot.files), paths[0])


def _missing(path: str, snapshot: Snapshot) -> str:
    """What is missing: the file, or the outermost of its folders that does not exist."""
    folders = ["metrics/", "metrics/correct/", "metrics/models/"]
    for folder in folders:
        if path.startswith(folder) and not any(name.startswith(folder) for name in snapshot.files):
            path = folder
            break
    return f"{path} is missing in {snapshot.short}: {snapshot.remedy}"


def _read(snapshot: Snapshot, path: str, problems: list[str]) -> dict[str, Any]:
    """The content of a metrics file; empty if it is missing or is not a JSON object."""
    if path not in snapshot.files:
        problems.append(_missing(path, snapshot))
        return {}
    _check_locked(snapshot, path, problems)
    try:
        found = json.loads(snapshot.files[path])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        problems.append(f"{path} in {snapshot.short} is not JSON: run `dvc repro`")
        return {}
    return found


def _check_locked(snapshot: Snapshot, path: str, problems: list[str]) -> None:
    """Note a file that is not from the run."""
    content = snapshot.files.get(path)
    encoded = None if content is None else content.encode()
    if not is_locked(path, encoded, snapshot.lock):
        problems.append(
            f"{path} does not match dvc.lock in {snapshot.short}: run `dvc repro` and commit both"
        )


def is_locked(path: str, content: bytes | None, lock: str) -> bool:
    """Whether a file has the checksum in the text of dvc.lock, or one of the two is missing."""
    locked = checksums(lock).get(path)
    return None in (locked, content) or hashlib.md5(content).hexdigest() == locked


def _number(found: Any, keys: tuple[str, ...], path: str, problems: list[str]) -> float | None:
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found):
        return float(found)
    problems.append(f"{path}: {'.'.join(keys)} is {_told(found)}, not a number")
    return None


def _told(value: Any) -> str:
    return "null" if value is None else str(value)[:40]


def _whole(found: Any, key: str) -> int | None:
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _sizes_of_ensemble(snapshot: Snapshot) -> Any:
    summary = _read(snapshot, SUMMARY, [])
    return summary.get("ensemble")


def _correct(snapshot: Snapshot, path: str, problems: list[str]) -> Correctness | None:
    if path not in snapshot.files:
        problems.append(_missing(path, snapshot))
        return None
    _check_locked(snapshot, path, problems)
    try:
        return parse_correctness(snapshot.files[path], f"{path} in {snapshot.short}")
    except ValueError as error:
        problems.append(str(error))
        return None
