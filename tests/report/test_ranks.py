"""Ranks in the report: where there are models enough, with a bar for each group."""

from thumbnets.evaluation.ranking import Rank
from thumbnets.report import ranks
from thumbnets.report.charts import INK, ranks_chart
from thumbnets.report.filters import probability
from thumbnets.report.page import render_pages
from thumbnets.report.results import read_results


def test_ranks_are_shown_of_five_models_or_more(make_run, monkeypatch):
    results = read_results(make_run(model="mlp4_patches"))
    assert ranks.standing(results) is None
    pages = render_pages(results)
    assert "Ranks" not in pages.html + pages.markdown
    monkeypatch.setattr(ranks, "FEWEST", 3)  # as many as the toy run has
    pages = render_pages(results)
    page, markdown = pages.html, pages.markdown
    assert "<h3>Ranks</h3>" in page and 'aria-label="Mean ranks with 95 % intervals: ' in page
    # cnn_c, with 38 of 40, is the ensemble, too: they share the first two places.
    assert "Not shown to differ: cnn_c, ensemble, mlp4" in markdown
    for name in ("cnn_c", "ensemble"):
        assert f"| {name} | 1.5" in markdown
    assert "| mlp4_patches | 4.00 | 4 – 4 | < 0.001 |" in markdown


def test_groups_that_overlap_have_a_bar_each():
    ranked = [Rank(name, i, max(1, i - 1), i + 1, 0.2) for i, name in enumerate("abcde", 1)]
    axis = ranks_chart(ranked, [["a", "b", "c"], ["b", "c", "d"]]).axes[0]
    bars = [line for line in axis.lines if line.get_color() == INK]
    spans = [sorted(round(float(y)) for y in bar.get_ydata()) for bar in bars]
    assert spans == [[-2, 0], [-3, -1]]  # rows go down
    lanes = {float(bar.get_xdata()[0]) for bar in bars}
    assert len(lanes) == 2 and min(lanes) > 5
    assert [text.get_text() for text in axis.get_yticklabels()] == list("abcde")


def test_no_sample_shows_a_probability_of_0_or_1():
    assert [probability(p) for p in (0, 0.0312, 1)] == ["< 0.001", "0.031", "> 0.999"]
