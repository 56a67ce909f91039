"""The pages: their numbers, which sections they have, and that they stand alone."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from thumbnets import paths
from thumbnets.artifacts import read_json, write_json
from thumbnets.evaluation.coverage import coverage
from thumbnets.evaluation.statistics import wilson_interval
from thumbnets.report.card import render_card
from thumbnets.report.filters import percent
from thumbnets.report.findings import calibrations
from thumbnets.report.page import render_pages
from thumbnets.report.results import read_results

_VOID = {"meta", "br", "img", "link", "input", "hr"}
_GAP = "\u202f"


class Checker(HTMLParser):
    """Checks that elements nest; collects text, attributes and ids."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in _VOID:
            self.open.append(tag)
        self._collect(dict(attrs))

    def handle_startendtag(self, tag, attrs):
        self._collect(dict(attrs))

    def _collect(self, attributes):
        self.links += [v for k, v in attributes.items() if k in ("src", "href", "xlink:href")]
        self.ids += [v for k, v in attributes.items() if k == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


def parse(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert not checker.open
    return checker


def text_of(html: str) -> str:
    return " ".join(" ".join(parse(html).text).replace(_GAP, " ").split())


def pages(params) -> tuple[str, str]:
    """Text of the HTML page, and the Markdown."""
    results = read_results(params)
    both = render_pages(results)
    return text_of(both.html), both.markdown.replace(_GAP, " ")


_TOLD: dict[str, tuple[str, str]] = {}


def told(make_run, **changes) -> tuple[str, str]:
    """As `pages` of a run with such changes, which is made once for all tests."""
    key = json.dumps(changes)
    if key not in _TOLD:
        _TOLD[key] = pages(make_run(**changes))
    return _TOLD[key]


def test_page_stands_alone_and_is_well_formed(make_run):
    html = render_pages(read_results(make_run(model="mlp4_patches"))).html
    page = parse(html)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert {link for link in page.links if link.startswith("#")} <= {f"#{i}" for i in page.ids}
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"@import|url\((?!#)|<script|<link", html)
    assert len(html) < 1_000_000


def test_same_run_gives_the_same_bytes(make_run):
    params = make_run(model="mlp4_patches")
    assert render_pages(read_results(params)) == render_pages(read_results(params))


def test_names_are_escaped(make_run):
    html = render_pages(read_results(make_run())).html
    assert "<b>bold" not in html and "&lt;b&gt;bold" in html
    assert "<i>title" not in html
    assert "$x$ | _y_" in text_of(html)


def test_markdown_is_escaped(make_run):
    _, markdown = told(make_run)
    assert markdown.startswith("# A &lt;i>title&lt;/i>: Fashion-MNIST\n")


def test_scores_of_several_seeds(make_run):
    text, markdown = told(make_run)
    # mlp4 is right on 36 and 32 of 40: mean 0.85, sd 0.0707; Student: 0.85 ± 12.706 * 0.05, cut
    # at 1; Wilson with n = 40: 0.7093 to 0.9294; published 0.8862.
    row = "mlp4 headline 85.00 % ± 7.07 21.47 – 100.00 70.93 – 92.94 88.62 % 1 −3.62 85.00 %"
    assert row in text
    assert "Scores are means over 2 seeds (0, 1)" in text
    assert "| mlp4 | 85.00 % | 7.07 | 21.47 – 100.00 | 88.62 % | −3.62 |" in markdown
    # cnn_c is right on 38 of 40 with both seeds, so its interval is Wilson's, and alone it is the
    # ensemble of least loss.
    assert "| ensemble | 95.00 % | 0.00 | 83.50 – 98.62 | – | – |" in markdown
    assert "| cnn_c | 1 | 100.0 % | +0.00 | +0.00 to +0.00 |" in markdown


def test_a_single_seed_has_wilson_intervals_and_says_so(make_run):
    text, markdown = told(make_run, seeds=[0])
    # 36 of 40: Wilson 0.7695 to 0.9604.
    assert "Model: mlp4 90.00 % 95 % interval 76.95 – 96.04" in text
    assert (
        "intervals of accuracies are Wilson's and those of differences are paired" in text
        and "seeds=[0,1,2,3,4]" in text
    )
    assert "Student" not in text and "±" not in text
    assert "| mlp4 | 90.00 % | 76.95 – 96.04 |" in markdown


def test_hard_voting_has_no_calibration(make_run):
    ensemble = {"objective": "accuracy", "voting": "hard"}
    text, markdown = told(make_run, ensemble=ensemble)
    assert "hard voting has no top-2, NLL or ECE" in text
    assert "| ensemble | 95.00 % | 0.00 | 83.50 – 98.62 | – | – | – | – | 1,234,567 |" in markdown


def test_every_rule_stands_beside_the_best_single_model(make_run):
    text, markdown = told(make_run, seeds=[0])
    # cnn_c is right on 38 of 40, mlp4 on 36 of them; together they are as good as the better one.
    head = "| best single, by accuracy | – | 95.00 % | 95.00 % | 83.50 – 98.62 | +0.00 |"
    assert head in markdown and "| – | – | – |" in markdown.split(head)[1].splitlines()[0]
    assert "greedy, for least loss (selected) | – | 95.00 % | 95.00 % |" in markdown
    both = next(
        line for line in markdown.splitlines() if line.startswith("| all, equal votes | so")
    )
    # They differ on 2 of 40 images, and the first errs only where the second does; 784 x 500 and
    # more weights of mlp4, and those of cnn_c.
    assert both.split(" | ")[-6] == "2" and both.split(" | ")[-3:-1] == ["5.00 %", "1.000"]
    hard = next(
        line for line in markdown.splitlines() if line.startswith("| all, equal votes | ha")
    )
    assert hard.count(" – |") == 3  # validation, loss, calibration
    assert "stacking, logistic regression – " in text and "greedy, for least loss selected" in text


def test_a_regression_has_no_weights(make_run):
    text, markdown = told(make_run, ensemble={"rule": "stacking"})
    assert "is stacking, logistic regression" in text and "votes:" not in text
    assert "| cnn_c | 1 | – |" in markdown and "Stacking, logistic regression; fitted" in markdown


def test_several_seeds_may_make_one_ensemble(make_run):
    text, markdown = told(make_run, ensemble={"rule": "all", "seeds": 2})
    assert "to the trainings of 2 seeds at a time (one ensemble, so" in text
    # Two of each model; right on 36 of 40, with Wilson's interval alone.
    assert "| cnn_c | 2 | 50.0 % | −5.00 |" in markdown
    assert "| ensemble | 90.00 % | – | 76.95 – 96.04 |" in markdown
    single = "The trainings of all seeds make one ensemble: its interval is Wilson's"
    assert text.count(single) == markdown.count(single) == 2  # of scores, and of comparisons
    text, markdown = told(make_run, seeds=[0, 1, 2, 3], ensemble={"seeds": 2})
    assert "to the trainings of 2 seeds at a time (2 ensembles)" in text
    assert single not in text + markdown


def test_headline_outside_the_pool_is_marked(make_run):
    text, _ = told(make_run, model="mlp4_patches")
    assert "mlp4_patches headline not in the pool 50.00 %" in text


def test_patching_is_told_where_the_run_compares_it(make_run):
    text, markdown = told(make_run)
    assert "Patching" not in text and "Patching" not in markdown

    text, markdown = told(make_run, model="mlp4_patches")
    # Right on 20 of 40 beside 36 and 32: -14 / 40; the source has 0.8618 beside 0.8862.
    assert "difference in test accuracy is −35.00 points" in text
    assert "The source of the network reports −2.44 points." in text
    assert "- mlp4_patches (7 × 7 pixels, shared) compared with mlp4: −35.00 points" in markdown

    # With one seed McNemar's 2 / 2^16, times 2 of 3 pairs that differ: cnn_c is the ensemble.
    text, markdown = told(make_run, model="mlp4_patches", seeds=[0])
    assert "corrected p < 0.0001): patching costs accuracy here." in text
    assert "p < 0.0001 after Holm's correction: worse." in markdown
    models = dict.fromkeys(["mlp4", "cnn_c"], {"arch": "mlp4"}) | {
        "cnn_c": {"arch": "mlp4", "patches": {"size": 7, "mode": "permute"}}
    }
    text, markdown = told(make_run, model="mlp4", seeds=[0], models=models)
    assert "corrected p = 0.500): this run shows no effect of patching." in text
    assert "p 0.500 after Holm's correction: no difference shown." in markdown

    text, _ = told(make_run, model="mlp4_patches", pool=["cnn_c"])
    assert "Patching" not in text


def test_comparisons_say_better_only_of_small_p(make_run):
    text, markdown = told(make_run, model="mlp4_patches", seeds=[0])
    assert "Holm's correction for all pairs that differ" in text
    # 38 and 36 of 40, 36 and 20.
    assert "cnn_c – mlp4 +5.00 −2.06 to +12.06 0.500 0.500 no difference shown" in text
    assert "mlp4 – mlp4_patches +40.00 +24.13 to +55.87 < 0.0001 < 0.0001 mlp4 is better" in text
    assert "superiority" not in text
    assert "| mlp4 | mlp4_patches | – |" in markdown
    assert "mlp4 (+5.00, −2.06 to +12.06, p 0.500) |" in markdown
    text, markdown = told(make_run)
    # cnn_c is right on 38 and 38, mlp4 on 36 and 32.
    assert re.search(r"cnn_c – mlp4 \+10.00 .* 1.00 \d.\d\d – 1.00 no difference shown", text)
    assert "a paired test over test images and seeds" in markdown


def test_costs_are_told_layer_by_layer(make_run):
    text, markdown = told(make_run)
    # 784 * 500 + 500 * 250 + 250 * 250 + 250 * 3 products; ReLU and dropout of 1,000 units.
    assert "| mlp4 | 580,250 | 2,000 | 0 | 0 | 3,787 | 581,253 | 2.22 | 28 |" in markdown
    assert "Layers of mlp4" in text
    assert "Conv2d-1 32 × 28 × 26 320" in text
    assert "| Model | MACC | COMP | ADD | DIV | Activations | Parameters | Size (MB) |" in markdown


def test_calibration_states_its_bins(make_run):
    text, markdown = told(make_run)
    assert "Test images in 15 bins of equal width by the probability" in text
    assert "| Model | Temperature | ECE | ECE with temperature |" in markdown
    results = read_results(make_run())
    assert f"| mlp4 | {calibrations(results)['mlp4'].temperature:.2f} |" in markdown


def test_views_are_told_with_the_one_in_use(make_run):
    text, markdown = told(make_run, seeds=[0])
    # mlp4 is right on 36 of 40, mirrored on 38, moved on 37.
    assert "Model none in use flip shift flip_shift" in text
    assert "mlp4 90.00 % 95.00 % +5.00 (−2.06 to +12.06) 92.50 % +2.50 (" in text
    assert "| Model | none (in use) | flip | shift | flip_shift |" in markdown
    assert "| mlp4 | 90.00 % | 95.00 % (+5.00, −2.06 to +12.06) | 92.50 % (+2.50, " in markdown
    assert "interval over images, not corrected" in text

    evaluation = {"tta": "shift", "ece_bins": 15, "mistakes": 5}
    text, markdown = told(make_run, evaluation=evaluation)
    assert "The test images were scored only with shift" in text
    assert "interval over images and seeds, not corrected" in text
    # 37 and 33 of 40, in the table of models as well.
    assert re.search(r"mlp4 headline 85.00 % .* −3.62 87.50 % ± 7.07", text)


def test_a_model_that_diverged_is_told(make_run):
    text, markdown = told(make_run, seeds=[0])
    assert text.count("diverged") == 1
    assert "cnn_c diverged; its learning rate was halved 1 time." in text
    assert "\n\ncnn_c diverged; its learning rate was halved 1 time.\n\n#" in markdown
    text, markdown = told(make_run)
    assert "cnn_c diverged; its learning rate was halved 2 times in 2 trainings." in text
    assert "cnn_c diverged; its learning rate was halved 2 times in 2 trainings." in markdown
    assert "diverged" not in told(make_run, pool=["mlp4"])[0]


def test_a_refit_is_told(make_run):
    text, markdown = told(make_run)
    assert "once more" not in text and "once more" not in markdown
    models = {"mlp4": {"arch": "mlp4", "refit": True}, "cnn_c": {"arch": "cnn_c"}}
    text, markdown = told(make_run, models=models)
    assert "mlp4 was trained once more, on all training images: test scores are those of" in text
    assert "mlp4: trained once more on all training images" in markdown
    text, _ = told(make_run, models=models | {"cnn_c": {"arch": "cnn_c", "refit": True}})
    assert "mlp4, cnn_c were trained once more" in text


def test_cross_validation_is_told_where_folds_rotate(make_run):
    text, markdown = told(make_run)
    assert "ross-validation" not in text and "Cross-validation" not in markdown

    rotating = {"folds": 2, "seed": 0, "rotate": True}
    text, markdown = told(make_run, split=rotating)
    assert "this is stratified 2-fold cross-validation of every model" in text
    assert "Runs were validated on 2 of 2 stratified folds." in markdown
    assert "| mlp4 | 85.00 % | 7.07 % | 21.47 – 100.00 |" in markdown
    # The gains of views as well.
    assert "over 2 folds (their runs share training images" in text
    assert "(paired 95 % interval, over 2 folds)" in markdown

    # Four seeds on two folds: the folds count, not the seeds.
    _, markdown = told(make_run, split=rotating, seeds=[0, 1, 2, 3])
    assert "| mlp4 | 85.00 % | 7.07 % | 21.47 – 100.00 |" in markdown

    text, markdown = told(make_run, split=rotating, seeds=[1, 3])
    assert "Runs were validated on 1 of the 2 folds of the training images" in text


def test_basis_names_the_data_and_all_params(make_run):
    text, _ = told(make_run)
    assert "SHA-256 of the training split " + "ab" * 32 in text
    assert "60, 20 per class, in 2 stratified folds" in text
    assert re.search(r"cnn_c cnn_c dropout 0\.\d+ lr 0.01", text)
    assert "mlp4_patches: arch: mlp4 patches: {size: 7, mode: shared}" in text
    assert "early_stopping: null" in text


@pytest.mark.parametrize("classes", [2, 30])
def test_any_number_of_classes(make_run, classes):
    results = read_results(make_run())
    names = [f"class {i}" for i in range(classes)]
    matrix = np.eye(classes, dtype=np.int64)
    matrix[0, 0] = 0  # a class without images
    empty = {name: values[:0] for name, values in vars(results.mistakes).items()}
    of_class = next(iter(results.metrics["mlp4"]["recall"].values()))
    by_class = {score: dict.fromkeys(names, of_class) for score in ("precision", "recall", "f1")}
    text = text_of(
        render_pages(
            replace(
                results,
                found=results.found | {"train": [20] * classes},
                validation={
                    name: [(logits, labels % classes) for logits, labels in runs]
                    for name, runs in results.validation.items()
                },
                meta=replace(results.meta, classes=names, counts=[5] * classes),
                classes=names,
                metrics={name: scores | by_class for name, scores in results.metrics.items()},
                ensemble=results.ensemble | {"selected": results.ensemble["selected"] | by_class},
                confusion=dict.fromkeys(results.confusion, matrix),
                ensemble_confusion=matrix,
                mistakes=type(results.mistakes)(**empty),
            )
        ).html
    )
    assert f"{classes} classes" in text and "None was kept" in text
    assert f"class {classes - 1} 100.0" in text


def test_even_classes_without_duplicates_are_not_worth_a_word(make_run):
    for page in told(make_run):
        assert "uneven" not in page.lower() and "Duplicates" not in page and "Left out" not in page


def test_uneven_classes_are_counted(make_run):
    params = make_run()
    found = read_json(paths.FINDINGS) | {"train": [20, 1234, 5], "test": [4, 13, 2]}
    write_json(paths.FINDINGS, found)
    html, markdown = pages(params)
    assert "A & B has 1,234 training images, $x$ | _y_ 5." in html
    assert "train.class_weights: balanced" in html
    rows = re.findall(r"^\| (.*) \| ([\d,]+) \| (\d+) \|$", markdown, re.M)
    assert [row[1:] for row in rows] == [("1,234", "13"), ("20", "4"), ("5", "2")]
    weighted = params.models | {"cnn_c": {"arch": "cnn_c", "class_weights": "balanced"}}
    params = make_run(models=weighted)
    write_json(paths.FINDINGS, found)
    html, markdown = pages(params)
    assert "cnn_c weighted the classes in training" in html
    assert "weighted in training by cnn_c:" in markdown


def test_uneven_test_classes_have_a_balanced_accuracy_and_a_dash_for_what_is_undefined(make_run):
    results = read_results(make_run(uneven=True, seeds=[0]))
    both = render_pages(results)
    source, markdown = both.html, both.markdown.replace(_GAP, " ")
    html = text_of(source)
    # Of 40 images 30 and 10 are of the two classes; 36 are right: all but the last 3 and 1 of them.
    balanced = (27 / 30 + 9 / 10) / 2
    scores = read_json(paths.SUMMARY)["model"]
    assert scores["balanced_accuracy"] == pytest.approx(balanced)
    low, high = scores["balanced_accuracy_ci_low"], scores["balanced_accuracy_ci_high"]
    assert f"balanced 90.00 %, {100 * low:.2f} – {100 * high:.2f}" in html
    said = f"mlp4 90.00 % ({100 * low:.2f} – {100 * high:.2f}), ensemble"
    assert f"Balanced accuracy, the mean recall of the classes: {said}" in markdown
    recall = wilson_interval(27 / 30, 30)
    interval = f"{100 * recall.low:.2f} – {100 * recall.high:.2f}"
    precise = f"{100 * wilson_interval(1, 27).low:.2f}"
    assert f"<b>bold</b> 30 100.00 % {precise} – 100.00 90.00 % {interval}" in html
    # None of the third class, but wrong predictions take one of the second for it.
    rows = re.findall(r"^\|.*x.* \| 0 \| (.*) \|$", markdown, re.M)
    assert len(rows) == 2 and rows[0].startswith("0.00 % (0.00 – ")
    assert rows[0].endswith("| – (–) | – (–)")
    assert "$x$ | _y_ – – –" in html  # recall by ensemble and both models
    assert "no test example of $x$ | _y_" in source


def test_groups_of_test_images_are_told_and_are_the_sample(make_run):
    html, markdown = pages(make_run(group=np.arange(40) // 4, seeds=[0]))
    assert "The test images come in 10 groups ( data.group )" in html
    assert (
        "p comes from Student's paired test for one training of each and covers only the sample of "
        "groups" in html
    )
    assert "Test images come in 10 groups (`data.group`)" in markdown
    assert "McNemar's exact" not in markdown and "McNemar's exact" not in html
    accuracy = read_json(paths.SUMMARY)["model"]
    assert accuracy["accuracy_interval"] == "Wilson over groups of test images"
    make_run(seeds=[0])
    assert read_json(paths.SUMMARY)["model"]["accuracy_ci_low"] > accuracy["accuracy_ci_low"]


def test_a_class_that_was_not_learned_is_told(make_run):
    results = read_results(make_run())
    assert "validates" not in text_of(render_pages(results).html)
    validating = int(np.sum(results.validation["mlp4"][0][1] == 1))
    few = replace(results, found=results.found | {"train": [20, validating, 20]})
    both = render_pages(few)
    assert "Every training image of A & B validates" in text_of(both.html)
    assert re.search(r"\*\*Every training image of A .* B validates", both.markdown)


def test_duplicates_and_broken_files_are_told(make_run):
    params = make_run()
    write_json(
        paths.FINDINGS,
        read_json(paths.FINDINGS)
        | {
            "leaked": 3,
            "leaked_other_label": 1,
            "repeated": 1,
            "examples": [["a/1.png", "<b>.png"]],
            "broken": ["c/9.png (cannot identify image file)"],
        },
    )
    html, markdown = pages(params)
    for page in (html, markdown):
        assert (
            "3 test images also occur among the training images, 1 of them with another class; "
            "1 training image repeats another"
        ) in page
        assert "1 file" in page
    assert "a/1.png = <b>.png" in html and "c/9.png (cannot identify image file)" in html


def test_what_is_known_of_own_images_is_told(make_run):
    params = make_run()
    own = {
        "passed_over": {".heic": 1200, "without a known kind": 9},
        "deep_files": 4,
        "depth": 12,
        "groups": 30,
        "groups_in_both": ["p1"],
        "groups_in_both_count": 1,
        "folds": 3,
        "validates": 10,
        "few": ["10 validation images can't show differences of 20 points."],
    }
    write_json(paths.FINDINGS, read_json(paths.FINDINGS) | {"own": own})
    html, markdown = pages(params)
    for page in (html, markdown):
        assert "1,200 .heic, 9 without a known kind" in page
        assert "10 validation images can't show differences of 20 points." in page
    assert "in 3 stratified folds" in html
    assert "16-bit files 4, with values read as 12 bits" in html
    assert "Groups 30, 1 of them in both the training and the test part: test scores may be" in html
    card = render_card(read_results(params))
    for page in (markdown, card):
        assert (
            "- Groups in both the training and the test part: 1 of 30, so test scores may" in page
        )
    own |= {"groups_in_both_count": 0}
    write_json(paths.FINDINGS, read_json(paths.FINDINGS) | {"own": own})
    html, markdown = pages(params)
    assert "Groups kept together 30" in html and "in both" not in markdown


def test_coverage_of_the_headline_is_that_of_its_validation_images(make_run):
    results = read_results(make_run())
    found = coverage(results.validation["mlp4"])
    html = render_pages(results).html
    section = html.split('<section id="calibration">')[1].split("</section>")[0]
    share, accuracy = found.at(0.9)
    row = section.split('<th scope="row">0.9</th>')[1].split("</tr>")[0]
    assert percent(share) in row and (percent(accuracy) if accuracy is not None else "–") in row
