"""Reading the artifacts of a run."""

from pathlib import Path

import numpy as np
import pytest

from thumbnets import paths
from thumbnets.artifacts import read_json
from thumbnets.report.results import read_results
from thumbnets.stale import remove_stale_runs


def test_curves_are_means_over_the_seeds_that_reached_an_epoch(make_run):
    # Seed 0 has two epochs of 0.5, seed 1 three of 0.6.
    curve = read_results(make_run()).curves["mlp4"]
    assert [row["epoch"] for row in curve] == [1, 2, 3]
    assert [row["train_loss"] for row in curve] == pytest.approx([0.55, 0.55, 0.6])


def test_matrices_add_up_to_the_metrics(make_run):
    results = read_results(make_run(seeds=[0, 10, 1]))
    for name, matrix in results.confusion.items():
        accuracy = matrix.trace() / matrix.sum()
        assert accuracy == pytest.approx(results.metrics[name]["accuracy"]["mean"])
    accuracy = results.ensemble_confusion.trace() / results.ensemble_confusion.sum()
    assert accuracy == pytest.approx(results.ensemble["selected"]["accuracy"]["mean"])
    assert list(results.matrices) == ["ensemble", "mlp4", "cnn_c"]


def test_mistakes_have_their_labels(make_run):
    mistakes = read_results(make_run(seeds=[1])).mistakes
    assert len(mistakes.index) == 5 and (mistakes.index >= 32).all()
    np.testing.assert_array_equal(mistakes.label, mistakes.index % 3)
    assert (mistakes.label != mistakes.predicted).all()


def test_files_of_earlier_runs_are_removed_and_those_of_this_run_stay(make_run):
    params = make_run(model="mlp4_patches", pool=["mlp4", "cnn_c"], seeds=[0, 1])
    results = sorted(path for path in Path().rglob("*") if path.is_file())
    stale = [
        paths.history("mlp4", 7),
        paths.history("headline", 7),
        paths.weights("gone", 0),
        paths.weights("cnn_c", 7),
        paths.validation_predictions("gone", 0),
        paths.test_predictions("gone"),
        paths.confusion("gone"),
        paths.metrics("gone"),
    ]
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("stale")
    remove_stale_runs(params, paths.METRICS)
    assert [path for path in stale if not path.exists()] == [paths.metrics("gone")]
    remove_stale_runs(params)
    assert sorted(path for path in Path().rglob("*") if path.is_file()) == results


@pytest.mark.parametrize(
    "path",
    [
        paths.history("mlp4", 1),
        paths.validation_predictions("cnn_c", 0),
        paths.metrics("mlp4"),
        paths.test_predictions("cnn_c"),
        paths.ENSEMBLE_METRICS,
        paths.SUMMARY,
    ],
)
def test_a_missing_artifact_is_one_clear_line(make_run, path):
    params = make_run()
    path.unlink()
    with pytest.raises(ValueError, match=f"^{path} is missing: run `dvc repro`.$"):
        read_results(params)


def test_artifacts_of_other_seeds_are_refused(make_run, make_params):
    make_run(seeds=[0])
    with pytest.raises(ValueError, match="selection.json has other seeds than params.yaml"):
        read_results(make_params(seeds=[1]))
    assert list(read_json(paths.SELECTION)) == ["0"]
