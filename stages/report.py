"""Write the report of the run: pages to read, tables and pictures for `dvc plots`."""

from thumbnets import paths
from thumbnets.artifacts import write_json, write_text
from thumbnets.inputs import stage_params
from thumbnets.quality.suspects import write_suggestions
from thumbnets.report.card import render_card
from thumbnets.report.page import render_pages
from thumbnets.report.plots import write_plots
from thumbnets.report.results import read_results
from thumbnets.stage import run_stage
from thumbnets.stale import remove_stale_runs


def main() -> None:
    params = stage_params("report")
    remove_stale_runs(params)
    results = read_results(params)
    flaws = results.flaws.as_json(results.class_counts)
    write_json(paths.QUALITY, flaws)
    write_suggestions(paths.SUGGESTIONS, results.flaws.suspects)
    pages = render_pages(results)
    write_text(paths.REPORT / "index.html", pages.html)
    write_text(paths.REPORT / "report.md", pages.markdown)
    write_text(paths.REPORT / "model_card.md", render_card(results, flaws))
    write_plots(results, paths.PLOTS)


if __name__ == "__main__":
    run_stage(main)
