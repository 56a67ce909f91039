"""Comparisons that the report draws from a run."""

import pytest

from thumbnets.report.findings import cross_validation, ensemble_row, model_rows, patchings
from thumbnets.report.results import read_results


def test_published_numbers_go_by_data_set_network_and_patches(make_run):
    rows = model_rows(read_results(make_run(model="mlp4_patches")))
    published = {row.name: row.published.accuracy for row in rows}
    assert published == {"mlp4_patches": 0.8618, "mlp4": 0.8862, "cnn_c": 0.9034}
    rows = model_rows(read_results(make_run(data={"name": "digits"})))
    assert [row.published for row in rows] == [None, None]


def test_the_published_number_may_lie_in_the_interval(make_run):
    mlp4, cnn_c = model_rows(read_results(make_run()))
    assert mlp4.holds_published  # 0.2147 to 1.4853
    assert not cnn_c.holds_published  # 0.95 twice
    assert cnn_c.difference == pytest.approx(0.95 - 0.9034)


def test_validation_accuracy_of_the_ensemble_is_that_of_soft_votes(make_run):
    assert ensemble_row(read_results(make_run())).validation["mean"] == pytest.approx(0.95)
    hard = {"objective": "loss", "voting": "hard", "steps": 4}
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
    results.right["mlp4_patches"] = results.right["mlp4"][:, ::-1]
    (found,) = patchings(results)
    assert found.gain.mean == 0 and found.verdict == "unclear"


def test_cross_validation_counts_folds(make_run):
    rotating = {"folds": 2, "seed": 0, "rotate": True}
    assert cross_validation(read_results(make_run())) is None
    found = cross_validation(read_results(make_run(split=rotating)))
    assert (found.folds, found.covered) == (2, 2)
    assert found.scores["mlp4"]["mean"] == pytest.approx(0.85)
    found = cross_validation(read_results(make_run(split=rotating, seeds=[1, 3])))
    assert (found.folds, found.covered) == (2, 1)
