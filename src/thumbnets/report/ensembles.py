"""The rules of an ensemble beside each other: what they reach, and what an image costs."""

from dataclasses import dataclass
from typing import Any

from thumbnets.evaluation.cost import Description
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
    "stacking": "stacking, logistic regression",
}


@dataclass(frozen=True)
class Rule:
    """One rule on the test images.

    Attributes:
        name: Its full name.
        title: In words.
        soft: Scores of the soft vote (or of the regression), with interval and gain over the best
            single member.
        hard: Likewise of the hard vote; None of a regression.
        counts: Which of the two is the ensemble that counts, if one of them is.
        members: Trainings that have a say.
        parameters: Of all of them.
        multiply_accumulates: Of all of them, for one image.
        diversity: Means over the pairs of members.
    """

    name: str
    title: str
    soft: Scores
    hard: Scores | None
    counts: str | None
    members: int
    parameters: int
    multiply_accumulates: int
    diversity: dict[str, float | None]


def rules(results: Results, costs: dict[str, Description]) -> list[Rule]:
    """A row for each rule.

    Args:
        results: Of the run.
        costs: Of its models, for one image.
    """
    ensemble = results.ensemble
    return [
        _rule(name, ensemble["rules"][name], costs, _counted(name, ensemble)) for name in TITLES
    ]


def members_by_weight(results: Results) -> list[tuple[str, dict[str, Any]]]:
    """The models of the ensemble that counts, those of most weight first."""
    members = results.ensemble["members"]
    return sorted(members.items(), key=lambda item: (-(item[1]["weight"] or 0), item[0]))


def _counted(name: str, ensemble: dict[str, Any]) -> str | None:
    return ensemble["voting"] if name == ensemble["rule"] else None


def _rule(
    name: str, found: dict[str, Any], costs: dict[str, Description], counts: str | None
) -> Rule:
    trainings = found["trainings"]
    soft, hard = (
        found[voting] | {"interval": accuracy_interval(found[voting])} if voting in found else None
        for voting in ("soft", "hard")
    )
    return Rule(
        name=name,
        title=TITLES[name],
        soft=soft,
        hard=hard,
        counts=counts,
        members=sum(trainings.values()),
        parameters=sum(n * costs[model].parameters for model, n in trainings.items()),
        multiply_accumulates=sum(
            n * costs[model].total.multiply_accumulates for model, n in trainings.items()
        ),
        diversity=found["diversity"],
    )
