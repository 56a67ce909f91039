"""Names that the bundled font can't draw: glyphs of another font, or numbers with a legend."""

import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from thumbnets.report import glyphs
from thumbnets.report.charts import confusion_chart
from thumbnets.report.figures import image_grid, save
from thumbnets.report.page import render_pages
from thumbnets.report.results import read_results

FONTS = Path(matplotlib.get_data_path(), "fonts/ttf")
STIX = str(FONTS / "STIXNonUni.ttf")
OWN = "\ue005"  # in STIXNonUni, not in DejaVu Sans


@pytest.fixture
def fonts(monkeypatch):
    """Sets the fonts of the system."""
    return lambda *paths: monkeypatch.setattr(glyphs, "system_fonts", lambda: list(paths))


def test_a_name_without_glyphs_is_a_number(fonts):
    fonts()
    found = glyphs.labels(["cat", "猫", "dog ü", "犬 dog"])
    assert found == glyphs.Labels(["cat", "#1", "dog ü", "#3"], ["sans-serif"])


def test_the_first_font_that_has_the_glyphs_is_used(fonts, tmp_path):
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    fonts(str(tmp_path / "damaged.ttf"), "/missing.ttf", str(FONTS / "cmr10.ttf"), STIX)
    found = glyphs.labels(["cat", f"a{OWN}", "猫"])
    assert found.texts == ["cat", f"a{OWN}", "#2"]
    assert found.family == ["sans-serif", "STIXNonUnicode"]


def test_names_that_the_bundled_font_has_look_for_no_other(monkeypatch):
    monkeypatch.setattr(glyphs, "system_fonts", lambda: pytest.fail("looked"))
    plain = ["T-shirt/top", "$x$", "naïve\n", "e\u0301", "Ωμέγα"]
    assert glyphs.labels(plain).texts == plain and glyphs.legend(plain) == {}


def test_upright_fonts_come_first_and_boxes_never(monkeypatch):
    paths = ["/Bold.ttf", "/Serif-Regular.ttf", "/Sans-Regular.ttf", "/LastResort.otf"]
    monkeypatch.setattr(glyphs.font_manager, "findSystemFonts", lambda: paths)
    assert glyphs.system_fonts() == ["/Sans-Regular.ttf", "/Serif-Regular.ttf", "/Bold.ttf"]


@pytest.mark.parametrize("with_font", [True, False])
def test_pictures_are_drawn_without_a_missing_glyph(fonts, tmp_path, with_font):
    fonts(*[STIX] * with_font)
    names = ["cat", OWN, "$x$"]
    images = np.zeros((3, 2, 1, 8, 8), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid = image_grid([list(row) for row in images], names, ["original"])
        matrices = confusion_chart({"a": np.eye(3, dtype=int)}, names)
        for number, figure in enumerate((grid, matrices)):
            save(figure, tmp_path / f"{number}.png")
            texts = [label.get_text() for label in figure.axes[0].get_yticklabels()]
            assert texts == ["cat", OWN if with_font else "#1", "$x$"]


def test_long_names_leave_room_for_the_matrix(tmp_path):
    names = ["cat", "a dog that has a long name", "a dog that has a longer one", "x" * 138]
    figure = confusion_chart({"a": np.eye(4, dtype=int)}, names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib's where a panel has no room left
        save(figure, tmp_path / "confusion.png")
    axis = figure.axes[0]
    texts = [label.get_text() for label in axis.get_yticklabels()]
    assert texts == [
        "cat",
        "a dog that… long name",
        "a dog that…longer one",
        "xxxxxxxxxx…xxxxxxxxxx",
    ]
    assert axis.get_window_extent().width > figure.bbox.width / 3


def test_the_report_has_the_legend(make_run):
    results = read_results(make_run())
    assert "Pictures show a number" not in render_pages(results).markdown
    meta = replace(results.meta, classes=["cat", "猫<b>", "犬|"])
    found = replace(results, meta=meta)
    pages = render_pages(found)
    assert "can display: #1 猫&lt;b>, #2 犬\\|." in pages.markdown
    assert "#1 猫&lt;b&gt;, #2 犬|.</p>" in pages.html
