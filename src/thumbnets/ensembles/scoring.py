"""Test scores of every rule's ensembles, with gains over the best single model and each member."""

from typing import Any

import numpy as np

from thumbnets.ensembles.members import model_of
from thumbnets.ensembles.rules import BEST, STACKING, Ensemble, combine, members_of
from thumbnets.ensembles.voting import VOTES
from thumbnets.evaluation.by_class import class_intervals
from thumbnets.evaluation.diversity import diversity
from thumbnets.evaluation.metrics import score_probabilities
from thumbnets.evaluation.statistics import of_groups
from thumbnets.evaluation.summaries import Scores, over_images, over_seeds
from thumbnets.evaluation.two_way import paired_gain

# Scores that need probabilities; the shares of a hard vote are not probabilities.
_PROBABILISTIC = ("nll", "ece", "top2")

_REPORTED = ("accuracy", "wilson", "nll", "ece")  # scores of rules that are not selected


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
    image_group: np.ndarray | None = None,
) -> dict[str, Any]:
    """Score every rule with every kind of vote, and the selected ensemble against its members.

    Args:
        selection: Ensembles by group and rule, from `fit_rules`.
        probabilities: float [N, K] of each training.
        labels: int64 [N].
        groups: Names of the trainings of each group, in the order of the run.
        rule: Selected rule, one of `selection`.
        voting: Selected kind of vote.
        classes: Names of the classes.
        ece_bins: Number of bins of the calibration error.
        image_group: int64 [N], number of the group of each image; None: each is by itself.

    Returns:
        `selected`: scores of the selected ensemble over groups; `members`: for each of its models
        the mean weight (None for a regression), the number of member `trainings` (the largest of
        any group), and the gain of the ensemble over it, paired over images and groups. `rules`:
        for every rule and kind of vote the accuracy, loss, calibration and gain over the best
        single member; `trainings` by model; `diversity` of the members.
    """
    fitted = list(next(iter(selection.values())))
    predicted = {
        (r, v): np.stack([combine(selection[group][r], probabilities, v) for group in groups])
        for r in fitted
        for v in (VOTES if r != STACKING else ["soft"])
    }
    correct = {key: of_groups(p.argmax(2) == labels, image_group) for key, p in predicted.items()}
    best = correct[BEST, "soft"]
    scores = {
        key: _scores(p, labels, image_group, voting=key[1], classes=classes, ece_bins=ece_bins)
        for key, p in predicted.items()
    }
    rules: dict[str, Any] = {r: _composition(selection, r) for r in fitted}
    for (r, v), found in scores.items():
        reported = {name: found[name] for name in _REPORTED if name in found}
        rules[r][v] = reported | {"gain": paired_gain(correct[r, v], best).as_dict()}
    for r, found in _diversities(selection, probabilities, labels, groups, len(classes)).items():
        rules[r]["diversity"] = found
    return {
        "rule": rule,
        "voting": voting,
        "selected": scores[rule, voting],
        "rules": rules,
        "members": {
            model: member
            | {
                "gain": paired_gain(
                    correct[rule, voting],
                    of_groups(_mean_correct(model, probabilities, labels, groups), image_group),
                ).as_dict()
            }
            for model, member in _members(selection, rule).items()
        },
    }


def _scores(
    predicted: np.ndarray,
    labels: np.ndarray,
    image_group: np.ndarray | None,
    *,
    voting: str,
    classes: list[str],
    ece_bins: int,
) -> Scores:
    scored = [score_probabilities(p, labels, ece_bins=ece_bins) for p in predicted]
    if voting == "hard":
        scored = [{k: v for k, v in s.items() if k not in _PROBABILISTIC} for s in scored]
    intervals = class_intervals(labels, predicted.argmax(2), len(classes), image_group)
    summary = over_seeds(scored, classes=classes, images=len(labels))
    return over_images(summary, intervals, classes=classes)


def _composition(selection: dict[str, dict[str, Ensemble]], rule: str) -> dict[str, Any]:
    """Number of member trainings of each model, the largest of any group."""
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
    """Unweighted diversity of the members of each rule, means over groups."""
    found: dict[str, list[dict]] = {rule: [] for rule in next(iter(selection.values()))}
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


def _members(selection: dict[str, dict[str, Ensemble]], rule: str) -> dict[str, dict[str, Any]]:
    """Each model of the selected ensembles, with its number of trainings and its weight."""
    trainings = _composition(selection, rule)["trainings"]
    return {
        model: {"trainings": count, "weight": _mean_weight(selection, rule, model)}
        for model, count in trainings.items()
    }


def _mean_correct(
    model: str,
    probabilities: dict[str, np.ndarray],
    labels: np.ndarray,
    groups: dict[str, list[str]],
) -> np.ndarray:
    """Share of a model's trainings in each group that classify an image correctly, [groups, N]."""
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
