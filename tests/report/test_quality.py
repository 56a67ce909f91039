"""The section on the data: what it says, that names can't forge it, and that it stays short."""

import numpy as np

from tests.report.test_page import text_of
from thumbnets import paths
from thumbnets.artifacts import read_json, write_arrays, write_json
from thumbnets.quality.images import LIST, PICTURES
from thumbnets.report.page import render_pages
from thumbnets.report.quality import cut, quality
from thumbnets.report.results import read_results


def image(name: str, part: str = "train", label: str = "<b>bold</b>") -> dict[str, str]:
    return {"label": label, "name": name, "part": part}


def write_found(side: int = 8, pairs: int = 1, **mended: int) -> None:
    """Some copies and a dark image in what `preprocess` found."""
    found = read_json(paths.FLAWS / LIST)
    examples = [[image("<i>a\x1b</i>"), image("b", "test", "A & B")]] * pairs
    found["copies"] |= {"across": 7, "other_label": 2, "training_images": 6, "examples": examples}
    found["odd"] = {"dark": {"count": 9, "examples": [image("night")]}}
    found["mended"] |= mended
    write_json(paths.FLAWS / LIST, found)
    noise = np.random.default_rng(0).integers(0, 255, (pairs, 2, 1, side, side), np.uint8)
    write_arrays(paths.FLAWS / PICTURES, copies=noise, odd=noise[:1, 0])


def section(html: str) -> str:
    return text_of(html[html.index('<section id="quality">') : html.index('<section id="basis">')])


def test_what_was_found_is_said_and_names_are_escaped(make_run):
    params = make_run()
    write_found(corrected=3, dropped=1)
    html = render_pages(read_results(params)).html
    text = section(html)
    assert "3 labels were corrected ( data.corrections ) and 1 training image left out" in text
    assert "7 of a training and a test image, 0 within the training images" in text
    assert (
        "2 of all pairs have two labels. data.duplicates: drop would leave out 6 training images"
        in text
    )
    assert r"train <i>a\x1b</i>" in text and "<i>a" not in html
    assert "Dark: 9 images, the first of them:" in text and "train night" in text
    markdown = render_pages(read_results(params)).markdown
    assert "- Pairs of copies: 7 of a training and a test image, 0 within" in markdown
    assert "- Odd images: 9 dark\n" in markdown
    assert "- Before training: 3 labels corrected, 1 training image dropped as copies." in markdown
    assert "All classes have about the same number of training images, 20" in text


def test_suspects_are_those_of_the_validation_folds(make_run):
    # Both models are right on 32 of 40 images or more, and take the last for the next class.
    results = read_results(make_run())
    text = section(render_pages(results).html)
    found = results.flaws.suspects
    wrong = {int(one.name) for one in found.found}
    assert wrong and wrong <= set(range(32, 40)) and found.judged == 40
    assert f"40 training images that networks of this run held out, {len(wrong)} are" in text
    first = found.found[0]
    assert f"{first.suggested}? label: {first.label}" in text.replace("  ", " ")
    assert "The other 20 were not judged" in text


def test_without_flaws_it_says_so(make_run):
    text = section(render_pages(read_results(make_run())).html)
    assert "No two images are the same." in text and "No image is plain" in text
    assert "corrected" not in text


def test_bags_have_no_suspects(make_run):
    results = read_results(make_run())
    results.flaws.__dict__["suspects"] = None
    assert quality(results).gallery == [] and "held out" not in section(render_pages(results).html)


def test_pictures_are_cut_where_they_are_too_many(make_run):
    params = make_run()
    write_found(side=64, pairs=200)
    shown = quality(read_results(params)).pairs
    assert 0 < len(shown) < 60
    assert cut("x" * 100) == "x" * 20 + "…" + "x" * 20 and cut("\n") == r"\n"
