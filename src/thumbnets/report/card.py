"""The model card: the headline and the ensemble, their intended use, and their known weaknesses.

Source: Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993; without factors and
ethics, about which a run knows nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumbnets.data.datasets import get_dataset
from thumbnets.evaluation.statistics import Interval
from thumbnets.evaluation.summaries import Scores, interval_of
from thumbnets.markdown import escaped
from thumbnets.report.ensembles import TITLES, members_by_weight
from thumbnets.report.filters import as_yaml
from thumbnets.report.findings import (
    Row,
    class_counts,
    ensemble_row,
    model_rows,
    of_one_ensemble,
    published_weights,
)
from thumbnets.report.panels import worst_mistake
from thumbnets.report.results import Results
from thumbnets.report.templates import render

FEWEST = 3  # number of classes of lowest recall that the card names


@dataclass(frozen=True)
class Classifier:
    """The headline or the ensemble, with its known weaknesses.

    Attributes:
        row: Its scores.
        parameters: Parameters of its network, or of all members.
        multiply_accumulates: Multiply-accumulates of its network, or of all members, for one image.
        trainings: Number of networks that answer together.
        weakest: Name and recall of the classes of lowest recall, with a 95 % interval.
        untested: Names of the classes without test images.
        worst: The most frequent mistake, in words; None if there is none.
    """

    row: Row
    parameters: int
    multiply_accumulates: int
    trainings: int
    weakest: list[tuple[str, float, Interval]]
    untested: list[str]
    worst: str | None


def render_card(results: Results, quality: Mapping[str, Any] | None = None) -> str:
    """The model card as Markdown.

    Args:
        results: Results of the run.
        quality: Counts of near-duplicates (`copies`) and of likely wrong `labels`, if known.
    """
    params = results.params
    headline = next(row for row in model_rows(results) if row.name == params.model)
    sizes = results.summary
    settings = params.settings[params.model]
    training = {key: of for key, of in settings.train.model_dump().items() if of is not None}
    dataset = get_dataset(params.data.name)
    return render(
        Path(__file__).with_name("model_card.md.j2"),
        escaped,
        params=params,
        meta=results.meta,
        found=results.found,
        dataset=dataset,
        licence=params.report.licence if params.data.own else dataset.licence,
        one_ensemble=of_one_ensemble(params),
        classifiers=[
            _classifier(results, headline, sizes["model"], 1),
            _classifier(
                results, ensemble_row(results), sizes["ensemble"], sizes["ensemble"]["members"]
            ),
        ],
        settings=as_yaml({"arch": settings.arch, **settings.options, **training}),
        rule=TITLES[results.ensemble["rule"]],
        voting=results.ensemble["voting"],
        members=members_by_weight(results),
        class_counts=class_counts(results),
        quality=quality,
        published_weights=published_weights(params),
    )


def _classifier(results: Results, row: Row, sizes: Scores, trainings: int) -> Classifier:
    recalls = {name: row.scores["recall"][name] for name in results.classes}
    tested = {name: recall for name, recall in recalls.items() if recall["mean"] is not None}
    known = [(name, recall["mean"], interval_of(recall)) for name, recall in tested.items()]
    return Classifier(
        row=row,
        parameters=sizes["parameters"],
        multiply_accumulates=sizes["multiply_accumulates"],
        trainings=trainings,
        weakest=sorted(known, key=lambda of: of[1])[:FEWEST],
        untested=[name for name in recalls if name not in tested],
        worst=worst_mistake(results.matrices[row.name], results.classes),
    )
