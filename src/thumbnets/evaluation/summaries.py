"""Metrics files: scores of a model or ensemble over its seeds, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from thumbnets.evaluation.by_class import ClassIntervals
from thumbnets.evaluation.metrics import BY_CLASS
from thumbnets.evaluation.statistics import Interval, summarise, wilson_interval

Scores = dict[str, Any]

_SIZES = ("parameters", "multiply_accumulates")  # for an ensemble, the sums over its members


def over_seeds(scores: Sequence[Scores], *, classes: Sequence[str], images: int) -> Scores:
    """Summarise the scores of all seeds.

    Args:
        scores: Scores of each seed, from `metrics.score_logits`.
        classes: Names of the classes.
        images: Number of test images.

    Returns:
        For each score the mean, sd and 95 % t-interval over seeds (None if n is 1 or all values are
        equal; clipped to 0..1 for fractions); scores of each class by its name, with None where
        undefined; `wilson`, the interval of the mean accuracy over a sample of test images; seeds
        and images.
    """
    names = [name for name in scores[0] if name not in BY_CLASS]
    summary: Scores = {name: _summary_of([s[name] for s in scores], name) for name in names}
    for name in BY_CLASS:
        if name in scores[0]:
            summary[name] = {
                of_class: _summary_of([s[name][i] for s in scores], name)
                for i, of_class in enumerate(classes)
            }
    wilson = wilson_interval(summary["accuracy"]["mean"], images)
    summary["wilson"] = {"low": wilson.low, "high": wilson.high}
    return summary | {"seeds": len(scores), "images": images}


def over_images(scores: Scores, found: ClassIntervals, *, classes: Sequence[str]) -> Scores:
    """Add to a summary over seeds the 95 % intervals of its means over a sample of test images.

    Args:
        scores: Summary, from `over_seeds`.
        found: Intervals of the same predictions.
        classes: Names of the classes.

    Returns:
        The summary with `low` and `high` of the scores of each class, and of `balanced_accuracy` if
        there is one. If images come in groups, `wilson` is over a sample of groups, and `groups` is
        their number.
    """
    scores = dict(scores)
    for name in BY_CLASS:
        bounds = zip(classes, getattr(found, name), strict=True)
        scores[name] = {of: scores[name][of] | _ends(interval) for of, interval in bounds}
    if "balanced_accuracy" in scores:
        scores["balanced_accuracy"] = scores["balanced_accuracy"] | _ends(found.balanced_accuracy)
    if found.groups is not None:
        scores |= {"wilson": _ends(found.accuracy), "groups": found.groups}
    return scores


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return vars(interval) if interval else {"low": None, "high": None}


def _summary_of(values: Sequence[float | None], name: str) -> dict[str, float | None]:
    defined = [value for value in values if value is not None]
    if not defined:
        return {"mean": None, "sd": None, "ci_low": None, "ci_high": None}
    result = summarise(np.array(defined))
    if name != "nll" and result["ci_low"] is not None:  # all others are fractions
        result |= {"ci_low": max(result["ci_low"], 0.0), "ci_high": min(result["ci_high"], 1.0)}
    return result


def accuracy_interval(scores: Scores) -> Interval:
    """Student's interval over seeds; if there is none, Wilson's over the test images."""
    return interval_of({**scores["accuracy"], **scores["wilson"]})


def interval_of(score: Scores) -> Interval:
    """As `accuracy_interval`, for a score with both: balanced accuracy, or a score of a class."""
    over_images = score["ci_low"] is None
    low, high = ("low", "high") if over_images else ("ci_low", "ci_high")
    return Interval(score[low], score[high])


def headline(scores: Scores) -> Scores:
    """The scores as single numbers under fixed keys, for `dvc metrics diff`.

    The interval of the accuracy is Student's over seeds; with a single seed, or if all seeds have
    the same accuracy, it is Wilson's over the test images or groups of them. The key
    `accuracy_interval` says which. If classes are uneven, `balanced_accuracy` has the same ends.
    """
    means = {
        name: value["mean"]
        for name, value in scores.items()
        if name not in BY_CLASS and isinstance(value, dict) and "mean" in value
    }
    interval = accuracy_interval(scores)
    if "balanced_accuracy" in scores:
        of_balanced = interval_of(scores["balanced_accuracy"])
        means["balanced_accuracy_ci_low"] = of_balanced.low
        means["balanced_accuracy_ci_high"] = of_balanced.high
    varies = scores["accuracy"]["ci_low"] is not None
    sample = "groups of test images" if "groups" in scores else "test images"
    return means | {
        "accuracy_ci_low": interval.low,
        "accuracy_ci_high": interval.high,
        "accuracy_interval": "t over seeds" if varies else f"Wilson over {sample}",
        "seeds": scores["seeds"],
    }


def common_checksum(metrics: dict[str, Scores]) -> str | None:
    """Checksum of the test images of all these metrics; None for those of an older version.

    Raises:
        ValueError: They have different test images.
    """
    (first, of_first), *others = metrics.items()
    for name, scores in others:
        if scores.get("test_sha256") != of_first.get("test_sha256"):
            raise ValueError(
                f"{first} and {name} were scored on other test images: run `dvc repro`."
            )
    return of_first.get("test_sha256")


def summary(model: str, metrics: dict[str, Scores], ensemble: dict[str, Any]) -> Scores:
    """The main numbers of a run, for metrics/summary.json.

    Args:
        model: The headline model.
        metrics: Scores of every model of the run, as `evaluate` gives them.
        ensemble: Scores of the ensembles, from `score_ensembles`.

    Returns:
        `model` and `ensemble`, each with its scores as single numbers. The ensemble's gain is over
        its member with the highest test accuracy.
    """
    members = ensemble["members"]
    best = max(members, key=lambda name: metrics[name]["accuracy"]["mean"])
    gain = members[best]["gain"]
    of_members = {
        key: sum(member["trainings"] * metrics[name][key] for name, member in members.items())
        for key in _SIZES
    }
    return {
        "model": headline(metrics[model])
        | {"name": model}
        | {key: metrics[model][key] for key in _SIZES},
        "ensemble": headline(ensemble["selected"])
        | of_members
        | {
            "members": sum(member["trainings"] for member in members.values()),
            "best_member": best,
            "gain": gain["mean"],
            "gain_ci_low": gain["low"],
            "gain_ci_high": gain["high"],
        },
    }
