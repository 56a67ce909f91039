"""Test scores of the ensembles of every rule, beside the best single model and each member."""

from dataclasses import asdict
from typing import Any

import numpy as np

from thumbnets.ensembles.members import model_of
from thumbnets.ensembles.rules import BEST, RULES, STACKING, Ensemble, combine, members_of
from thumbnets.ensembles.voting import VOTES
from thumbnets.evaluation.diversity import diversity
from thumbnets.evaluation.metrics import score_probabilities
from thumbnets.evaluation.statistics import paired_gain
from thumbnets.evaluation.summaries import Scores, over_seeds

# Shares of votes are no probabilities: these scores mean nothing for them.
_PROBABILISTIC = ("nll", "ece", "top2")

_TOLD = ("accuracy", "wilson", "nll", "ece")  # of the rules that do not count


def score_ensembles(
    selection: dict[str, dict[str, Ensemble]],
    probabilities: dict[str, np.ndarray],
    labels: np.ndarray,
    *,
    groups: dict[str, list[str]],
    rule: str,
    voting: str,
    classes: list[str],
    ece_bins: int,
) -> dict[str, Any]:
    """Score every rule and voting, and the counted one against each of its members.

    Args:
        selection: By group and rule, as `fit_rules` gives it.
        probabilities: float [N, K] of each training.
        labels: int64 [N].
        groups: The trainings of each group, in the order of the run.
        rule: The rule that counts, one of `RULES`.
        voting: The voting that counts.
        classes: Names of the classes.
        ece_bins: Bins of the calibration error.

    Returns:
        `counted`: scores over groups of the ensemble that counts; `members`: for each model of it
        its mean weight (None of a regression's), the `trainings` of it that vote (the most in any
        group), and the gain of the ensemble over it, paired over images and groups. `rules`: for
        every rule and voting accuracy, loss, calibration and the gain over the best single member;
        `trainings` by model; `diversity` of the members.
    """
    predicted = {
        (r, v): np.stack([combine(selection[group][r], probabilities, v) for group in groups])
        for r in RULES
        for v in (VOTES if r != STACKING else ["soft"])
    }
    right = {key: p.argmax(2) == labels for key, p in predicted.items()}
    best = right[BEST, "soft"]
    scores = {
        key: _scores(p, labels, voting=key[1], classes=classes, ece_bins=ece_bins)
        for key, p in predicted.items()
    }
    rules: dict[str, Any] = {r: _composition(selection, r) for r in RULES}
    for (r, v), found in scores.items():
        told = {name: found[name] for name in _TOLD if name in found}
        rules[r][v] = told | {"gain": asdict(paired_gain(right[r, v], best))}
    for r, found in _diversities(selection, probabilities, labels, groups, len(classes)).items():
        rules[r]["diversity"] = found
    return {
        "rule": rule,
        "voting": voting,
        "selected": scores[rule, voting],
        "rules": rules,
        "members": _members(selection, rule, right[rule, voting], probabilities, labels, groups),
    }


def _scores(
    predicted: np.ndarray, labels: np.ndarray, *, voting: str, classes: list[str], ece_bins: int
) -> Scores:
    scored = [score_probabilities(p, labels, ece_bins=ece_bins) for p in predicted]
    if voting == "hard":
        scored = [{k: v for k, v in s.items() if k not in _PROBABILISTIC} for s in scored]
    return over_seeds(scored, classes=classes, images=len(labels))


def _composition(selection: dict[str, dict[str, Ensemble]], rule: str) -> dict[str, Any]:
    """How many trainings of each model have a say, the most in any group."""
    counts = [
        [model_of(name) for name in members_of(of_group[rule])] for of_group in selection.values()
    ]
    models = sorted({model for of_group in counts for model in of_group})
    return {"trainings": {m: max(of_group.count(m) for of_group in counts) for m in models}}


def _diversities(
    selection: dict[str, dict[str, Ensemble]],
    probabilities: dict[str, np.ndarray],
    labels: np.ndarray,
    groups: dict[str, list[str]],
    classes: int,
) -> dict[str, dict[str, float | None]]:
    """By rule the diversity of the members, whatever their weights: means over groups."""
    found: dict[str, list[dict]] = {rule: [] for rule in RULES}
    for group, trainings in groups.items():
        predicted = np.stack([probabilities[name].argmax(1) for name in trainings])
        of_pairs = diversity(predicted, labels, classes)
        for rule, of_rule in found.items():
            members = [trainings.index(name) for name in members_of(selection[group][rule])]
            of_rule.append(of_pairs.means(members))
    return {
        rule: {name: _mean(of_rule, name) for name in of_rule[0]} for rule, of_rule in found.items()
    }


def _mean(found: list[dict[str, float | None]], name: str) -> float | None:
    values = [of_group[name] for of_group in found if of_group[name] is not None]
    return float(np.mean(values)) if values else None


def _members(
    selection: dict[str, dict[str, Ensemble]],
    rule: str,
    right: np.ndarray,
    probabilities: dict[str, np.ndarray],
    labels: np.ndarray,
    groups: dict[str, list[str]],
) -> dict[str, Any]:
    """Each model of the ensembles that count, beside them."""
    trainings = _composition(selection, rule)["trainings"]
    return {
        model: {
            "trainings": count,
            "weight": _mean_weight(selection, rule, model),
            "gain": asdict(paired_gain(right, _mean_right(model, probabilities, labels, groups))),
        }
        for model, count in trainings.items()
    }


def _mean_right(
    model: str,
    probabilities: dict[str, np.ndarray],
    labels: np.ndarray,
    groups: dict[str, list[str]],
) -> np.ndarray:
    """Share of a model's trainings of a group that recognise an image, float [groups, N]."""
    return np.stack(
        [
            np.mean(
                [probabilities[t].argmax(1) == labels for t in of_group if model_of(t) == model],
                axis=0,
            )
            for of_group in groups.values()
        ]
    )


def _mean_weight(selection: dict[str, dict[str, Ensemble]], rule: str, model: str) -> float | None:
    """Mean over groups of a model's share of the votes."""
    if rule == STACKING:
        return None
    shares = []
    for of_group in selection.values():
        votes = of_group[rule]["votes"]
        own = sum(share for name, share in votes.items() if model_of(name) == model)
        shares.append(own / sum(votes.values()))
    return float(np.mean(shares))
