"""Ensemble rules compared: scores, and cost for one image."""

from dataclasses import dataclass
from typing import Any

from thumbnets.ensembles.voting import VOTES
from thumbnets.evaluation.summaries import Scores, accuracy_interval
from thumbnets.report.results import Results

TITLES = {
    "best_accuracy": "best single, by accuracy",
    "best_loss": "best single, by loss",
    "all": "all, equal votes",
    "weighted": "all, weights of least loss",
    "greedy_loss": "greedy, for least loss",
    "greedy_accuracy": "greedy, for best accuracy",
    "bagged_loss": "bagged greedy, for least loss",
    "bagged_accuracy": "bagged greedy, for best accuracy",
    "best_macro_f1": "best single, by macro F1",
    "greedy_macro_f1": "greedy, for best macro F1",
    "bagged_macro_f1": "bagged greedy, for best macro F1",
    "stacking": "stacking, logistic regression",
}


@dataclass(frozen=True)
class Rule:
    """One rule on the test images.

    Attributes:
        title: Name of the rule in words.
        votes: Scores by kind of vote, with interval and gain over the best single member. A
            regression and a single member have one kind (soft).
        counts: Kind of vote of the selected ensemble, if it uses this rule.
        validation: Accuracy of the soft vote on validation images, mean over groups of seeds.
        members: Number of member trainings.
        parameters: Number of parameters of all members.
        multiply_accumulates: Multiply-accumulates of all members, for one image.
        diversity: Measures of diversity, means over the pairs of members.
    """

    title: str
    votes: dict[str, Scores]
    counts: str | None
    validation: float
    members: int
    parameters: int
    multiply_accumulates: int
    diversity: dict[str, float | None]


def rules(results: Results, costs: dict[str, dict[str, Any]]) -> list[Rule]:
    """One row for each rule.

    Args:
        results: Results of the run.
        costs: Costs of its models, for one image.
    """
    return [_rule(name, results, costs) for name in TITLES if name in results.ensemble["rules"]]


def members_by_weight(results: Results) -> list[tuple[str, dict[str, Any]]]:
    """The models of the selected ensemble, those with the largest weight first."""
    members = results.ensemble["members"]
    return sorted(members.items(), key=lambda item: (-(item[1]["weight"] or 0), item[0]))


def _rule(name: str, results: Results, costs: dict[str, dict[str, Any]]) -> Rule:
    ensemble = results.ensemble
    found = ensemble["rules"][name]
    trainings = found["trainings"]
    counts = ensemble["voting"] if name == ensemble["rule"] else None
    votings = (
        [v for v in VOTES if v in found] if sum(trainings.values()) > 1 else [counts or "soft"]
    )
    chosen = [of_group[name] for of_group in results.selection.values()]
    return Rule(
        title=TITLES[name],
        votes={v: found[v] | {"interval": accuracy_interval(found[v])} for v in votings},
        counts=counts,
        validation=sum(of["validation_accuracy"] for of in chosen) / len(chosen),
        members=sum(trainings.values()),
        parameters=sum(n * costs[model]["parameters"] for model, n in trainings.items()),
        multiply_accumulates=sum(
            n * costs[model]["total"]["multiply_accumulates"] for model, n in trainings.items()
        ),
        diversity=found["diversity"],
    )
