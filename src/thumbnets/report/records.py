"""Findings and learning curves of a run, checked when they are read."""

import math
from pathlib import Path
from typing import Any

from thumbnets.artifacts import parsing, read_csv, read_json
from thumbnets.messages import quote

# Further findings about the user's own images, see `preprocess.Findings`.
_OWN = {"passed_over", "deep_files", "depth", "groups", "groups_in_both_count", "folds", "few"}


def read_findings(path: Path) -> dict[str, Any]:
    """Read what stage `preprocess` found in the images, as `Findings` describes it.

    Args:
        path: Path of findings.json.

    Raises:
        ValueError: The file is missing or damaged, or a value is of the wrong type.
    """
    found = read_json(path)
    with parsing(path):
        for key in ("train", "test"):
            counts = found[key]
            if not isinstance(counts, list) or not counts or not all(map(_is_count, counts)):
                raise ValueError(f"{key} must be counts of images, got {quote(counts)}")
        own = found.get("own")
        if own is not None and not (isinstance(own, dict) and _OWN <= own.keys()):
            raise ValueError(f"own must have {', '.join(sorted(_OWN))}")
        for key, value in found.items():
            if key != "own" and not (_is_count(value) or isinstance(value, list)):
                raise ValueError(f"{key} must be a count or a list, got {quote(value)}")
    return {"own": None, **found}


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def read_curve(path: Path, columns: tuple[str, ...]) -> list[dict[str, float]]:
    """Read the learning curve that a training wrote.

    Args:
        path: Path of the CSV file, one row per epoch.
        columns: Columns to read.

    Returns:
        Finite numbers by column, one row per epoch.

    Raises:
        ValueError: The file is missing or damaged, or has no epoch.
    """
    rows = read_csv(path)
    with parsing(path):
        curve = [{name: float(row[name]) for name in columns} for row in rows]
        if not curve:
            raise ValueError("it has no epoch")
        for number, row in enumerate(curve, 1):
            if not all(map(math.isfinite, row.values())):
                raise ValueError(f"row {number} has a number that is not finite")
    return curve
