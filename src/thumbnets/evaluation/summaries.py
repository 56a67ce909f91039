"""Metrics files: scores of a model or ensemble over its seeds, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from thumbnets.evaluation.statistics import Interval, summarise, wilson_interval

Scores = dict[str, Any]

_SIZES = ("parameters", "multiply_accumulates")  # of an ensemble the sums over its members


def over_seeds(scores: Sequence[Scores], *, classes: Sequence[str], images: int) -> Scores:
    """Summarise the scores of all seeds.

    Args:
        scores: Scores of each seed, from `metrics.score_logits`.
        classes: Names of the classes.
        images: Number of test images.

    Returns:
        For each score mean, sd and 95 % t-interval over seeds (None where n is 1; clipped to 0..1
        for fractions); recall by class; `wilson`, the interval of the mean accuracy as a sample of
        test images; seeds and images.
    """
    names = [name for name in scores[0] if name != "recall"]
    summary: Scores = {name: _summary_of([s[name] for s in scores], name) for name in names}
    recalls = np.array([s["recall"] for s in scores])
    summary["recall"] = {name: _summary_of(recalls[:, i], name) for i, name in enumerate(classes)}
    wilson = wilson_interval(summary["accuracy"]["mean"], images)
    summary["wilson"] = {"low": wilson.low, "high": wilson.high}
    return summary | {"seeds": len(scores), "images": images}


def _summary_of(values: Sequence[float], name: str) -> dict[str, float | None]:
    result = summarise(np.array(values))
    if name != "nll" and result["ci_low"] is not None:  # all others are fractions
        result |= {"ci_low": max(result["ci_low"], 0.0), "ci_high": min(result["ci_high"], 1.0)}
    return result


def accuracy_interval(scores: Scores) -> Interval:
    """Student's interval over seeds; with a single seed Wilson's over the test images."""
    accuracy, wilson = scores["accuracy"], scores["wilson"]
    if accuracy["ci_low"] is None:
        return Interval(wilson["low"], wilson["high"])
    return Interval(accuracy["ci_low"], accuracy["ci_high"])


def headline(scores: Scores) -> Scores:
    """The scores as single numbers under fixed keys, for `dvc metrics diff`.

    The interval of the accuracy is Student's over seeds; with a single seed it is Wilson's over the
    test images. The value of the key `accuracy_interval` says which.
    """
    means = {
        name: value["mean"]
        for name, value in scores.items()
        if isinstance(value, dict) and "mean" in value
    }
    interval = accuracy_interval(scores)
    return means | {
        "accuracy_ci_low": interval.low,
        "accuracy_ci_high": interval.high,
        "accuracy_interval": "t over seeds" if scores["seeds"] > 1 else "Wilson over test images",
        "seeds": scores["seeds"],
    }


def summary(model: str, metrics: dict[str, Scores], ensemble: dict[str, Any]) -> Scores:
    """The main numbers of a run, metrics/summary.json.

    Args:
        model: The headline model.
        metrics: Scores of every model of the run, as `evaluate` gives them.
        ensemble: Scores of the ensembles, from `score_ensembles`.

    Returns:
        `model` and `ensemble`, each with its scores as single numbers. The ensemble's gain is the
        gain over its member with the highest test accuracy.
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
