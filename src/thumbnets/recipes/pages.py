"""Results as pages: one per recipe, one for all of them, and the table of the README."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thumbnets.artifacts import read_json, write_text
from thumbnets.data.datasets import get_dataset
from thumbnets.data.views import VIEWS
from thumbnets.paths import ENSEMBLE
from thumbnets.recipes.recipe import RecipeFile
from thumbnets.recipes.record import outcome
from thumbnets.report.filters import FILTERS
from thumbnets.report.published import find_published
from thumbnets.report.templates import render

ALL_RESULTS = Path("docs/results.md")
README = Path("README.md")
_BEGIN, _END = "<!-- results:begin -->", "<!-- results:end -->"

# The README's table: the networks of one recipe, and the blocks that train each of them longer.
_QUICK, _BEST = "fashion_mnist/pool", "fashion_mnist/best"
_PUBLISHED = "src/thumbnets/report/published.toml"
_NONE = "–"

Result = Mapping[str, Any]


def result_page(file: RecipeFile, result: Result) -> str:
    """The result of a recipe in Markdown: NAME.md."""
    return _render("result.md.j2", file=file, result=result, dataset=_title(file))


def all_results_page(results: Mapping[RecipeFile, Result | None]) -> str:
    """All recipes with their measured results: docs/results.md.

    Args:
        results: Result of each recipe, or None if it was not run.
    """
    datasets: dict[str, dict] = {}
    for file, result in results.items():
        datasets.setdefault(_title(file), {})[file] = result
    goals = [goal for result in results.values() if result for goal in result["goals"]]
    return _render("results.md.j2", datasets=datasets, goals=goals)


def read_results(files: list[RecipeFile]) -> dict[RecipeFile, Result | None]:
    """The results stored beside the recipes, with the recipes' present goals."""
    return {file: _result(file) for file in files}


def _result(file: RecipeFile) -> Result | None:
    """The result of a recipe with the outcome of each goal whose metric was measured."""
    if not (path := file.root / file.result).is_file():
        return None
    result = read_json(path)
    found = {**result["models"], ENSEMBLE: result.get(ENSEMBLE, {})}
    goals = [goal for goal in file.recipe.goals if goal.metric in found.get(goal.of, {})]
    return {**result, "goals": [outcome(goal, found) for goal in goals]}


def readme_table(results: Mapping[RecipeFile, Result | None]) -> str:
    """The README's table: each network quick and at its best, with links to the recipes."""
    by_id = {file.id: (file, result) for file, result in results.items()}
    for name in (_QUICK, _BEST):
        if name not in by_id:
            raise ValueError(f"recipes/{name}.yaml is missing, but README.md has its table.")
    quick, best = by_id[_QUICK], by_id[_BEST]
    trained = best[1]["models"] if best[1] else ()
    longer = {name.rpartition("_")[0]: name for name in trained}  # cnn_b: cnn_b_best
    lines = [
        f"| {_title(quick[0])}, test accuracy | parameters | [quick default]({quick[0].page}) "
        f"| [at its best]({best[0].page}), 95 % interval | [published]({_PUBLISHED}) |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for name in [*quick[0].recipe.pool, ENSEMBLE]:
        of_quick = _measured(quick[1], name)
        of_best = _measured(best[1], longer.get(name, name))
        parameters = (of_quick or of_best or {}).get("parameters")
        published = find_published(quick[0].dataset, name, patches=False, block=name)
        lines.append(
            f"| {name if name != ENSEMBLE else 'ensemble selected on validation data'} "
            f"| {_NONE if parameters is None or name == ENSEMBLE else f'{parameters:,}'} "
            f"| {_linked(spread(of_quick), quick[0])} | {_linked(with_interval(of_best), best[0])} "
            f"| {FILTERS['percent'](published.accuracy) if published else _NONE} |"
        )
    told = "; ".join(_told(file, result) for file, result in (quick, best) if result)
    return "\n".join([*lines, "", f"Means ± standard deviations over seeds: {told}."]) + "\n"


def _told(file: RecipeFile, result: Result) -> str:
    """The basis of a column's numbers; weights, and so numbers, differ between CPUs."""
    seeds = FILTERS["plural"](len(result["recipe"]["seeds"]), "seed")
    evaluation = result["recipe"].get("evaluation", {})
    views = FILTERS["plural"](len(VIEWS[evaluation.get("tta", "none")]), "view")
    return (
        f"{file.id}, {seeds}, {views} of an image, measured at commit "
        f"{result['measured']['commit'][:12]} on {result['machine']['cpu']}"
    )


def _linked(measured: str, file: RecipeFile) -> str:
    """A number with a link to the recipe that measured it."""
    return measured if measured == _NONE else f"[{measured}]({file.path})"


def _measured(result: Result | None, name: str) -> Result | None:
    if result is None:
        return None
    return result.get(ENSEMBLE) if name == ENSEMBLE else result["models"].get(name)


def spread(of: Result | None, metric: str = "accuracy") -> str:
    """90.29 ± 0.09 %: a mean, and the standard deviation over seeds if there are several."""
    if not of or metric not in of:
        return _NONE
    mean, sd = of[metric]["mean"], of[metric]["sd"]
    if metric in ("accuracy", "error"):
        return f"{100 * mean:.2f}{'' if sd is None else f' ± {100 * sd:.2f}'} %"
    return f"{mean:.4f}{'' if sd is None else f' ± {sd:.4f}'}"


def with_interval(of: Result | None, metric: str = "accuracy") -> str:
    """91.49 ± 0.10 % (91.37 – 91.62): as `spread`, with the 95 % interval."""
    text = spread(of, metric)
    return text if text == _NONE else f"{text} ({bounds(of, metric)})"


def bounds(of: Result, metric: str) -> str:
    """91.37 – 91.62: a 95 % interval, fractions in percent."""
    low, high = of[metric]["low"], of[metric]["high"]
    if low is None:
        return _NONE
    if metric in ("accuracy", "error"):
        return f"{100 * low:.2f} – {100 * high:.2f}"
    return f"{low:.4f} – {high:.4f}"


def quantity(value: float, metric: str) -> str:
    """A value of a metric: fractions of images in percent, an AUC or a loss as it is."""
    return f"{_digits(100 * value)} %" if metric in ("accuracy", "error") else f"{value:.4g}"


def _digits(value: float) -> str:
    """Two decimals, and a third if it is not zero, since it may decide about a goal."""
    return f"{value:.3f}".removesuffix("0")


def measured(result: Result) -> list[tuple[str, Result]]:
    """Models of a result in the order of its pool, and its ensemble."""
    models = result["models"]
    names = dict.fromkeys([*result["recipe"]["pool"], *models])
    found = [(name, models[name]) for name in names if name in models]
    return [*found, *([(ENSEMBLE, result[ENSEMBLE])] if ENSEMBLE in result else [])]


def main_metric(result: Result) -> str:
    """The metric that compares models of a result: AUC for bags, accuracy for images."""
    return "auc" if any("auc" in of for of in result["models"].values()) else "accuracy"


def in_readme(text: str, table: str) -> str:
    """The README with this table between its marks.

    Raises:
        ValueError: The README has no marks.
    """
    if text.count(_BEGIN) != 1 or text.count(_END) != 1:
        raise ValueError(f"{README} needs the lines {_BEGIN} and {_END}, once each.")
    pattern = re.compile(f"{_BEGIN}.*?{_END}", re.DOTALL)
    return pattern.sub(lambda _: f"{_BEGIN}\n{table}{_END}", text)


def generated(results: Mapping[RecipeFile, Result | None], root: Path) -> dict[Path, str]:
    """The generated pages by file, with their content."""
    readme = (root / README).read_text(encoding="utf-8")
    pages = {
        ALL_RESULTS: all_results_page(results),
        README: in_readme(readme, readme_table(results)),
    }
    pages |= {file.page: result_page(file, of) for file, of in results.items() if of}
    return {path: f"{text.rstrip()}\n" for path, text in pages.items()}


def write_pages(results: Mapping[RecipeFile, Result | None], root: Path) -> list[Path]:
    """Write the generated pages; returns those that have changed."""
    changed = []
    for path, text in generated(results, root).items():
        there = root / path
        if not there.is_file() or there.read_text(encoding="utf-8") != text:
            write_text(there, text)
            changed.append(path)
    return changed


def _title(file: RecipeFile) -> str:
    return get_dataset(file.dataset).title


def _render(template: str, **values: Any) -> str:
    functions = (spread, with_interval, bounds, quantity, measured, main_metric)
    return render(Path(__file__).with_name(template), *functions, **values)
