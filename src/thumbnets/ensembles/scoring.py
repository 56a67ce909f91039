"""Test scores of the selected ensembles, beside those of their members."""

from dataclasses import asdict
from typing import Any

import numpy as np

from thumbnets.ensembles.selection import OBJECTIVES
from thumbnets.ensembles.voting import VOTES
from thumbnets.evaluation.metrics import score_probabilities
from thumbnets.evaluation.statistics import paired_gain
from thumbnets.evaluation.summaries import Scores, over_seeds

# Shares of votes are no probabilities: these scores mean nothing for them.
_PROBABILISTIC = ("nll", "ece", "top2")


def score_ensembles(
    selection: dict[str, Any],
    probabilities: dict[str, np.ndarray],
    labels: np.ndarray,
    *,
    seeds: list[int],
    objective: str,
    voting: str,
    classes: list[str],
    ece_bins: int,
) -> dict[str, Any]:
    """Score every objective and voting rule, and the counted one against each of its members.

    Args:
        selection: By seed and objective, as `select_members` gives it.
        probabilities: float [S, N, K] of each model of the pool.
        labels: int64 [N].
        seeds: The seeds of the run, in the order of S.
        objective: The objective that counts.
        voting: The voting rule that counts.
        classes: Names of the classes.
        ece_bins: Bins of the calibration error.

    Returns:
        `counted`: scores over seeds of the ensemble that counts; `rules`: accuracy of every
        objective and voting; `members`: for each model of the counted ensembles its mean weight,
        and the gain of the ensemble over it, paired over images and seeds.
    """

    def votes_of(objective: str, seed: int) -> dict[str, int]:
        return selection[str(seed)][objective]["votes"]

    def predictions(objective: str, voting: str) -> np.ndarray:
        return np.stack(
            [
                combine(votes_of(objective, seed), probabilities, number, voting)
                for number, seed in enumerate(seeds)
            ]
        )

    def scores(objective: str, voting: str) -> Scores:
        scored = [
            score_probabilities(p, labels, ece_bins=ece_bins)
            for p in predictions(objective, voting)
        ]
        if voting == "hard":
            scored = [{k: v for k, v in s.items() if k not in _PROBABILISTIC} for s in scored]
        return over_seeds(scored, classes=classes, images=len(labels))

    rules = {o: {v: scores(o, v) for v in VOTES} for o in OBJECTIVES}
    right = predictions(objective, voting).argmax(2) == labels
    weights = _mean_weights([votes_of(objective, seed) for seed in seeds])
    return {
        "objective": objective,
        "voting": voting,
        "counted": rules[objective][voting],
        "rules": {
            o: {
                v: {k: of_rule[k] for k in ("accuracy", "wilson")} for v, of_rule in by_vote.items()
            }
            for o, by_vote in rules.items()
        },
        "members": {
            name: {
                "weight": weight,
                "gain": asdict(paired_gain(right, probabilities[name].argmax(2) == labels)),
            }
            for name, weight in weights.items()
        },
    }


def combine(
    votes: dict[str, int], probabilities: dict[str, np.ndarray], number: int, voting: str
) -> np.ndarray:
    """Predictions of one seed's ensemble.

    Args:
        votes: How often each member was chosen.
        probabilities: float [S, N, K] of each member.
        number: Place of the seed in S.
        voting: A key of `VOTES`.

    Returns:
        float [N, K].
    """
    weights = np.array(list(votes.values()), float) / sum(votes.values())
    return VOTES[voting](np.stack([probabilities[name][number] for name in votes]), weights)


def _mean_weights(votes: list[dict[str, int]]) -> dict[str, float]:
    """Mean over seeds of each member's share of the votes."""
    names = sorted({name for of_seed in votes for name in of_seed})
    return {
        name: float(np.mean([of_seed.get(name, 0) / sum(of_seed.values()) for of_seed in votes]))
        for name in names
    }
