"""Comparisons that the report draws from a run."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from scipy import stats

from thumbnets.evaluation.statistics import Estimate, Interval
from thumbnets.evaluation.two_way import paired_gain
from thumbnets.params import check_params
from thumbnets.report.findings import (
    calibrations,
    ensemble_row,
    member_verdicts,
    model_rows,
    patchings,
    published_weights,
    ranking,
)
from thumbnets.report.folds import cross_validation, view_scores
from thumbnets.report.published import find_published
from thumbnets.report.results import read_results
from thumbnets.yaml_files import read_yaml


def test_published_numbers_go_by_data_set_network_and_patches(make_run):
    rows = model_rows(read_results(make_run(model="mlp4_patches")))
    published = {row.name: row.published.accuracy for row in rows}
    assert published == {"mlp4_patches": 0.8618, "mlp4": 0.8862, "cnn_c": 0.9034}
    rows = model_rows(read_results(make_run(data={"name": "digits"})))
    assert [row.published for row in rows] == [None, None]


def test_a_published_number_may_be_of_one_block():
    def accuracy(block: str) -> float:
        return find_published("mnist", "tiny_cnn", patches=False, block=block).accuracy

    blocks = ["tiny_cnn_skeleton", "tiny_cnn_augmented", "tiny_cnn_onecycle", "tiny_cnn"]
    assert [accuracy(block) for block in blocks] == [0.9882, 0.9943, 0.9953, 0.9953]


def test_the_published_number_may_lie_in_the_interval(make_run):
    mlp4, cnn_c = model_rows(read_results(make_run()))
    assert mlp4.holds_published  # 0.2147 to 1.4853
    assert cnn_c.holds_published  # 0.95 twice: Wilson's, 0.8350 to 0.9862
    assert not replace(cnn_c, interval=Interval(0.91, 0.99)).holds_published
    assert cnn_c.difference == pytest.approx(0.95 - 0.9034)


def test_validation_accuracy_of_the_ensemble_is_that_of_soft_votes(make_run):
    assert ensemble_row(read_results(make_run())).validation["mean"] == pytest.approx(0.95)
    hard = {"voting": "hard"}
    assert ensemble_row(read_results(make_run(ensemble=hard))).validation is None


def test_patching_is_compared_with_the_nearest_twin(make_run):
    models = {
        "mlp4": {"arch": "mlp4", "lr": 0.5},
        "cnn_c": {"arch": "mlp4"},
        "mlp4_patches": {"arch": "mlp4", "patches": {"size": 7, "mode": "permute"}},
    }
    results = read_results(make_run(model="mlp4_patches", models=models))
    (found,) = patchings(results)
    assert (found.patched, found.whole, found.other) == ("mlp4_patches", "cnn_c", [])
    # Right on 20 of 40 beside 38.
    assert found.gain.mean == pytest.approx(-18 / 40)
    assert found.gain.low < found.gain.mean < found.gain.high < 0
    assert found.verdict == "worse"

    models["cnn_c"] = {"arch": "mlp4", "dropout": 0.5}
    (found,) = patchings(read_results(make_run(model="mlp4_patches", models=models)))
    assert (found.whole, found.other) == ("mlp4", ["lr"])


def test_patching_without_effect_is_unclear(make_run):
    results = read_results(make_run(model="mlp4_patches"))
    results.correct["mlp4_patches"] = results.correct["mlp4"][:, ::-1]
    (found,) = patchings(results)
    assert found.gain.mean == 0 and found.verdict == "no difference shown"


def test_ranking_says_what_may_be_said(make_run):
    # Right on 38, 36 and 20 of 40, each on what the next is right on; cnn_c alone votes.
    results = read_results(make_run(model="mlp4_patches", seeds=[0]))
    first, second, third = ranking(results)
    assert (first.name, second.name, third.name) == ("cnn_c", "ensemble", "mlp4")
    assert first.better == ["mlp4_patches"] and third.better == ["mlp4_patches"]
    assert [pair.b for pair in first.unclear] == ["ensemble", "mlp4"]
    # McNemar of 18, 16 and 2 to 0, times 3, 2 and 1: cnn_c alone is the ensemble.
    p = {(pair.a, pair.b): pair.p for pair in results.comparisons}
    assert p["cnn_c", "mlp4_patches"] == p["ensemble", "mlp4_patches"] == 3 * 2 / 2**18
    assert p["mlp4", "mlp4_patches"] == 2 * 2 / 2**16
    assert p["cnn_c", "mlp4"] == p["ensemble", "mlp4"] == 0.5 and p["cnn_c", "ensemble"] == 1
    assert member_verdicts(results) == {"cnn_c": "no difference shown"}


def test_calibration_is_fitted_on_validation_images(make_run):
    results = read_results(make_run(seeds=[0]))
    before = calibrations(results)["cnn_c"]
    assert before.ece[0] == pytest.approx(results.metrics["cnn_c"]["ece"]["mean"], abs=1e-6)
    assert before.nll[1] <= before.nll[0]  # the toy's validation images are its test images
    ((logits, labels),) = results.validation["cnn_c"]
    results.validation["cnn_c"] = [(2 * logits, labels)]
    after = calibrations(results)["cnn_c"]
    assert after.temperature == pytest.approx(2 * before.temperature, rel=1e-3)


def test_views_are_compared_with_a_single_one_on_validation_images(make_run):
    # mlp4 is right on 36 and 32 of 40, and mirrored on two more of each.
    scores = view_scores(read_results(make_run()))["mlp4"]
    assert list(scores) == ["none", "flip", "shift", "flip_shift"]
    assert [scores[name].accuracy for name in scores] == pytest.approx([0.85, 0.9, 0.875, 0.85])
    assert scores["none"].gain is None
    assert scores["flip"].gain.mean == pytest.approx(2 / 40)
    assert scores["flip"].gain.low < 2 / 40 < scores["flip"].gain.high
    assert scores["flip_shift"].gain == Estimate(0, 0, 0)


def test_folds_are_the_sample_of_a_gain_from_views(make_run):
    """Mirrored, two more are right of 40 images of one fold and of 20 of the other."""
    results = read_results(make_run(split={"folds": 2, "seed": 0, "rotate": True}))
    for of_seeds in results.views["mlp4"].values():
        of_seeds[1] = of_seeds[1][20:]  # right on 12 of 20, mirrored on 14
    flip = view_scores(results)["mlp4"]["flip"]
    assert flip.accuracy == pytest.approx((38 / 40 + 14 / 20) / 2)
    expected = stats.ttest_1samp([2 / 40, 2 / 20], 0).confidence_interval(0.95)
    assert astuple(flip.gain) == pytest.approx((3 / 40, *expected))


def test_seeds_of_the_same_fold_count_by_their_mean(make_run):
    results = read_results(make_run(split={"folds": 2, "seed": 0, "rotate": True}))
    three = results.params.model_copy(update={"seeds": [0, 2, 1]})  # 0 and 2: the same fold
    views = {name: [of[0], of[1], of[1]] for name, of in results.views["mlp4"].items()}
    views["flip"][1] = views["none"][1]  # seed 2 gains nothing
    found = view_scores(replace(results, params=three, views={"mlp4": views}))["mlp4"]["flip"]
    expected = stats.ttest_1samp([1 / 40, 2 / 40], 0).confidence_interval(0.95)
    assert astuple(found.gain) == pytest.approx((3 / 80, *expected))


def test_gains_of_views_are_of_groups_of_validation_images(make_run):
    """Mirrored, two more images of each seed are right, which are of one group of four."""
    results = read_results(make_run())
    group = np.arange(40) // 4
    grouped = replace(results, validation_groups={"mlp4": [group] * 2, "cnn_c": None})
    flip, alone = (view_scores(of)["mlp4"]["flip"].gain for of in (grouped, results))
    gain = np.zeros((2, 10))
    gain[:, 9] = 2 / 4  # of its four images
    expected = paired_gain(gain, np.zeros_like(gain))
    assert astuple(flip) == pytest.approx(astuple(expected)) and flip.low < alone.low
    assert view_scores(grouped)["cnn_c"]["flip"] == view_scores(results)["cnn_c"]["flip"]


def test_cross_validation_counts_folds(make_run):
    rotating = {"folds": 2, "seed": 0, "rotate": True}
    assert cross_validation(read_results(make_run())) is None
    found = cross_validation(read_results(make_run(split=rotating)))
    assert (found.folds, found.covered) == (2, 2)
    assert found.scores["mlp4"]["mean"] == pytest.approx(0.85)
    found = cross_validation(read_results(make_run(split=rotating, seeds=[1, 3])))
    assert (found.folds, found.covered) == (2, 1)


def test_published_weights_are_named_with_their_licence(root):
    content = read_yaml(root / "params.yaml") | {"model": "photos", "pool": ["resnet18", "cnn_c"]}
    found = published_weights(check_params(content, "params.yaml", zoo=root / "zoo"))
    assert list(found) == ["photos"]  # resnet18 is the same network without weights
    assert "ResNet18_Weights.IMAGENET1K_V1 (resnet18-f37072fd.pth; BSD-3-Clause)" in found["photos"]
