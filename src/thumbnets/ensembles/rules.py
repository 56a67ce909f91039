"""All rules that combine members into an ensemble; params.yaml selects one.

A rule is fitted on validation images alone. Most rules give each member a weight for soft or hard
votes; stacking fits a regression.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from thumbnets.ensembles.members import BY_OBJECTIVE, rule_of
from thumbnets.ensembles.selection import OBJECTIVES, nll, rank, select, select_in_bags
from thumbnets.ensembles.stacking import fit_stack, stacked
from thumbnets.ensembles.voting import VOTES
from thumbnets.ensembles.weighting import fit_weights

STACKING = "stacking"
BEST = "best_accuracy"  # the baseline of the others: the best single member

Ensemble = dict[str, Any]


def _best(probabilities: np.ndarray, labels: np.ndarray, *, objective: str, steps: int):
    weights = np.zeros(len(probabilities), int)
    weights[rank(probabilities, labels, objective=objective)[0]] = 1
    return weights


def _all(probabilities: np.ndarray, labels: np.ndarray, *, steps: int) -> np.ndarray:
    return np.ones(len(probabilities), int)


def _weighted(probabilities: np.ndarray, labels: np.ndarray, *, steps: int) -> np.ndarray:
    return fit_weights(probabilities, labels)


_BY_OBJECTIVE_RULES = dict(zip(BY_OBJECTIVE, (_best, select, select_in_bags), strict=True))

# Functions of probabilities [M, N, K] and labels int64 [N] of validation images: weights [M].
_WEIGHTS: dict[str, Callable[..., np.ndarray]] = {"all": _all, "weighted": _weighted} | {
    rule_of(rule, objective): partial(function, objective=objective)
    for rule, function in _BY_OBJECTIVE_RULES.items()
    for objective in OBJECTIVES
}

# Fitted only if the params ask for it; the others are fitted in every run.
_ON_REQUEST = [rule_of(rule, "macro_f1") for rule in BY_OBJECTIVE]

RULES = [*(rule for rule in _WEIGHTS if rule not in _ON_REQUEST), STACKING]


def fit_rules(
    names: list[str],
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    steps: int,
    objective: str = "loss",
    groups: np.ndarray | None = None,
) -> dict[str, Ensemble]:
    """Fit every rule; those for macro F1 only if that is the objective.

    Args:
        names: Names of the members.
        probabilities: float [M, N, K] on validation images.
        labels: int64 [N].
        steps: Number of steps of the greedy selections.
        objective: Objective that the params name, a key of `OBJECTIVES`.
        groups: int64 [N], number of the group of each image; None: each is by itself.

    Returns:
        An ensemble for each rule: `votes` (for each member with a positive weight, its weight or
        how often it was chosen), or the regression from `fit_stack`; `validation_loss` and
        `validation_accuracy` of its soft vote on the same images (cross-validated for stacking).
    """
    ensembles: dict[str, Ensemble] = {}
    left_out = [] if objective == "macro_f1" else _ON_REQUEST
    for rule, fit in _WEIGHTS.items():
        if rule in left_out:
            continue
        weights = fit(probabilities, labels, steps=steps).tolist()
        ensembles[rule] = {"votes": {n: w for n, w in zip(names, weights, strict=True) if w}}
    by_name = dict(zip(names, probabilities, strict=True))
    predicted = {rule: combine(fitted, by_name, "soft") for rule, fitted in ensembles.items()}
    ensembles[STACKING], predicted[STACKING] = fit_stack(names, probabilities, labels, groups)
    for rule, fitted in ensembles.items():
        fitted["validation_loss"] = nll(predicted[rule], labels)
        fitted["validation_accuracy"] = float(np.mean(predicted[rule].argmax(1) == labels))
    return ensembles


def members_of(ensemble: Ensemble) -> list[str]:
    """Names of the members with a positive weight."""
    return list(ensemble["votes"] if "votes" in ensemble else ensemble["members"])


def combine(ensemble: Ensemble, probabilities: dict[str, np.ndarray], voting: str) -> np.ndarray:
    """Predictions of an ensemble.

    Args:
        ensemble: Ensemble from `fit_rules`.
        probabilities: float [N, K] of each member.
        voting: Kind of vote, a key of `VOTES`; ignored by a regression.

    Returns:
        float [N, K].
    """
    of_members = np.stack([probabilities[name] for name in members_of(ensemble)])
    if "votes" not in ensemble:
        return stacked(ensemble, of_members)
    votes = np.array(list(ensemble["votes"].values()), float)
    return VOTES[voting](of_members, votes / votes.sum())
