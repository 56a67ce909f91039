"""The pages of the report: templates filled with the findings of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from thumbnets.data.datasets import get_dataset
from thumbnets.evaluation.calibration import Calibration
from thumbnets.evaluation.statistics import ALPHA
from thumbnets.report.attention import attention
from thumbnets.report.charts import (
    accuracy_chart,
    confusion_chart,
    curves_chart,
    parameters_chart,
    reliability_chart,
    svg,
)
from thumbnets.report.costs import COLUMNS, costs, plotted, plotted_sources
from thumbnets.report.coverage import covered
from thumbnets.report.encoders import encoders
from thumbnets.report.ensembles import members_by_weight, rules
from thumbnets.report.filters import percent, to_yaml
from thumbnets.report.findings import (
    Row,
    calibrations,
    class_counts,
    class_tables,
    differing_settings,
    ensemble_row,
    member_verdicts,
    model_rows,
    of_one_ensemble,
    patchings,
    published_weights,
    ranking,
    unlearned_classes,
    weighted_models,
)
from thumbnets.report.folds import cross_validation, view_scores
from thumbnets.report.glyphs import legend
from thumbnets.report.panels import matrix_panels, mistake_pictures, recall_table
from thumbnets.report.quality import quality
from thumbnets.report.ranks import standing
from thumbnets.report.results import Results
from thumbnets.report.templates import render

_FOLDER = Path(__file__).parent

READABLE_CLASSES = 20  # a matrix of more classes is shown as a picture, without its numbers


@dataclass(frozen=True)
class Pages:
    """The report in two formats.

    Attributes:
        html: The whole report, as one document that loads nothing.
        markdown: Its tables in short, for a pull request.
    """

    html: str
    markdown: str


def render_pages(results: Results) -> Pages:
    """Both pages, from the same findings."""
    context = _context(results)
    return Pages(_html(results, context), render(_FOLDER / "report.md.j2", **context))


def _html(results: Results, context: dict[str, Any]) -> str:
    return render(
        _FOLDER / "page.html.j2",
        **context,
        css=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),
        accuracy_svg=_accuracy_svg([*context["models"], context["ensemble"]]),
        parameters_svg=_parameters_svg(results, [*context["models"], context["ensemble"]]),
        plotted_sources=plotted_sources(results),
        attention=attention(results),
        encoders=encoders(results),
        quality=quality(results),
        pairs={(found.a, found.b): found for found in results.comparisons},
        reliability_svg=_reliability_svg(context["calibrations"]),
        covered=covered(results),
        curves_svg=_curves_svg(results),
        recalls=recall_table(results.matrices, results.classes),
        pictures=mistake_pictures(results.mistakes, results.classes),
        params_yaml=to_yaml(results.params),
        **_confusion(results),
    )


def _context(results: Results) -> dict[str, Any]:
    """Variables of both templates."""
    params = results.params
    models = model_rows(results)
    by_name = {row.name: row for row in models}
    of_image = costs(results)
    published = [row.published.reference for row in models if row.published]
    dataset = get_dataset(params.data.name)
    return {
        "params": params,
        "meta": results.meta,
        "classes": results.classes,
        "found": results.found,
        "numbered": legend(results.meta.classes),
        "flaws": results.flaws,
        "class_counts": class_counts(results),
        "class_tables": class_tables(results) if len(results.classes) <= READABLE_CLASSES else {},
        "weighted": weighted_models(results),
        "published_weights": published_weights(results.params),
        "dataset": dataset.title,
        "archives": dataset.archives,
        "summary": results.summary,
        "models": models,
        "by_name": by_name,
        "headline": by_name[params.model],
        "best": max(models, key=lambda row: row.validation["mean"]),  # not by its test score
        "ensemble": ensemble_row(results),
        "one_ensemble": of_one_ensemble(params),
        "unlearned": unlearned_classes(results),
        "details": results.ensemble,
        "verdicts": member_verdicts(results),
        "alpha": ALPHA,
        "ranking": ranking(results),
        "standing": standing(results),
        "comparisons": results.comparisons,
        "costs": of_image,
        "rules": rules(results, of_image),
        "members": members_by_weight(results),
        "cost_columns": COLUMNS,
        "calibrations": calibrations(results),
        "halved": {row.name: n for row in models if (n := row.scores["lr_halvings"])},
        "refitted": [name for name in params.run if params.settings[name].train.refit],
        "views": view_scores(results),
        "patchings": patchings(results),
        "cross_validation": cross_validation(results),
        "sources": list(dict.fromkeys(published)),
        "differing": {name: differing_settings(params, name) for name in params.run},
    }


def _accuracy_svg(rows: list[Row]) -> Markup:
    ranked = sorted(rows, key=lambda row: -row.accuracy)
    listed = ", ".join(f"{row.name} {percent(row.accuracy)}" for row in ranked)
    return svg(accuracy_chart(rows), f"Test accuracy with 95 % intervals, best first: {listed}")


def _parameters_svg(results: Results, rows: list[Row]) -> Markup:
    points = plotted(results, rows)
    front = ", ".join(point.name for point in points if point.interval and point.front)
    return svg(parameters_chart(points), f"Accuracy against parameters; our Pareto front: {front}")


def _reliability_svg(calibrations: dict[str, Calibration]) -> Markup:
    errors = ", ".join(
        f"{name} {before:.4f} and {after:.4f}"
        for name, (before, after) in ((name, c.ece) for name, c in calibrations.items())
    )
    return svg(
        reliability_chart(calibrations),
        f"Accuracy by confidence; calibration errors before and after its temperature: {errors}",
    )


def _curves_svg(results: Results) -> Markup:
    names = ", ".join(results.curves)
    return svg(
        curves_chart(results.curves),
        f"Accuracy and loss by epoch, in training and on the validation fold, of {names}",
    )


def _confusion(results: Results) -> dict[str, Any]:
    """The matrices as tables, or as one picture if there are too many classes for numbers."""
    classes = results.classes
    if len(classes) <= READABLE_CLASSES:
        return {"matrices": matrix_panels(results.matrices, classes), "confusion_svg": None}
    chart = confusion_chart(results.matrices, classes)
    names = ", ".join(results.matrices)
    return {"matrices": [], "confusion_svg": svg(chart, f"Confusion matrices of {names}")}
