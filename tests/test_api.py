"""`thumbnets.load`: the same answers from files, arrays and names, calibrated by the run's own."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.special import softmax

import thumbnets
from thumbnets.artifacts import read_arrays, write_arrays, write_json
from thumbnets.evaluation.calibration import fit_temperature


def test_names_and_files_give_the_same_and_only_a_run_calibrates(small_run, tmp_path):
    file = small_run / "weights/a/0.safetensors"
    of_name, of_file = thumbnets.load("a"), thumbnets.load(file)
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    np.testing.assert_array_equal(of_name.predict_proba(images), of_file.predict_proba(images))
    validation = read_arrays(small_run / "predictions/validation/a/0.npz")
    expected = fit_temperature(validation["logits"], validation["labels"])
    assert of_file.temperature == expected != 1 and of_file.calibrated
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(file.read_bytes())
    uncalibrated = thumbnets.load(alone)
    assert uncalibrated.temperature == 1 and not uncalibrated.calibrated
    logits = np.log(uncalibrated.predict_proba(images))
    np.testing.assert_allclose(
        of_file.predict_proba(images), softmax(logits / expected, axis=1), rtol=1e-9
    )
    assert of_name.classes == ["dark", "left", "right"] and of_name.dataset == "toy"


def test_the_ensemble_is_the_weighted_mean_of_its_members_with_a_temperature(small_run):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    members = [thumbnets.load(name).trained.scores(images[:, None]) for name in ("a", "b")]
    a, b = (softmax(scores, axis=1) for scores in members)
    found = thumbnets.load("ensemble")
    expected = softmax(np.log(0.75 * a + 0.25 * b) / found.temperature, axis=1)
    np.testing.assert_allclose(found.predict_proba(images), expected, rtol=1e-9)
    assert found.calibrated and found.temperature != 1
    with pytest.raises(ValueError, match="No ensemble has seed 3; there are ensembles of seeds 0"):
        thumbnets.load("ensemble", seed=3)


def test_a_hard_vote_and_a_regression_keep_their_probabilities(small_run):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    write_json(small_run / "metrics/ensemble.json", {"rule": "all", "voting": "hard"})
    hard = thumbnets.load("ensemble")
    assert not hard.calibrated
    rows = hard.predict_proba(images)
    assert set(rows.round(9).ravel()) <= {0, 0.25, 0.75, 1}


def test_the_headline_is_found_by_its_name(small_run):
    (small_run / "headline").mkdir()
    (small_run / "weights/a").rename(small_run / "headline/weights")
    (small_run / "predictions/validation/a").rename(small_run / "headline/validation")
    found = thumbnets.load("a", seed=0)
    assert found.trained.name == "headline/weights/0.safetensors" and found.calibrated
    assert found.trained.title == "a-0"
    with pytest.raises(ValueError, match=r"a was not trained with seed 7; there are \[0\]"):
        thumbnets.load("a", seed=7)
    with pytest.raises(ValueError, match="'c' is no file of weights"):
        thumbnets.load("c")


def test_files_and_arrays_of_any_size_are_read_alike(small_run, tmp_path):
    model, rng = thumbnets.load("a"), np.random.default_rng(1)
    colours = rng.integers(0, 256, (12, 9, 4), dtype=np.uint8)
    grey = rng.integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    Image.fromarray(grey).save(tmp_path / "b.png")
    files = [tmp_path / "a.png", str(tmp_path / "b.png")]
    from_files, from_arrays = model.predict_proba(files), model.predict_proba([colours, grey])
    np.testing.assert_array_equal(from_files, from_arrays)
    assert from_files.shape == (2, 3) and from_files.dtype == np.float64
    first = [colours[..., :3].transpose(2, 0, 1), grey[None]]  # channels first
    last = model.predict_proba([colours[..., :3], grey])
    np.testing.assert_array_equal(model.predict_proba(first), last)
    single = model.predict_proba(tmp_path / "b.png")  # its sums are rounded in another order
    np.testing.assert_allclose(single, from_files[1:], rtol=1e-6)
    with (tmp_path / "b.png").open("rb") as file:
        np.testing.assert_array_equal(model.predict_proba(file), single)
    (of_first, _), order = model.predict(files, top=3), np.argsort(-from_files[0])
    assert of_first == [(model.classes[index], from_files[0, index]) for index in order]
    assert model.predict([]) == []


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8), np.uint8), r"\[N, H, W\] or \[N, H, W, C\], got the shape \[8, 8\]"),
        (
            np.zeros((8, 8, 3), np.uint8),
            r"got the shape \[8, 8, 3\]: put a single image into a list",
        ),
        (np.zeros((2, 8, 8)), r"must be uint8 .* got float64 \[8, 8\]"),
        (np.zeros((2, 8, 8, 2), np.uint8), r"1, 3 or 4 channels, or .*, got uint8 \[8, 8, 2\]"),
        (["nowhere.png"], "nowhere.png can't be read as an image"),
        ([b"bytes"], "An image must be a path, an open file or an array .* got bytes"),
        ([Image.new("L", (8, 8))], r"got Image: convert one of Pillow or torch by np\.asarray"),
        (Image.new("L", (8, 8)), r"got Image: convert one of Pillow or torch by np\.asarray"),
    ],
)
def test_what_is_no_image_is_refused(small_run, images, message):
    with pytest.raises(ValueError, match=message):
        thumbnets.load("a").predict(images)
    with pytest.raises(ValueError, match="top must be a whole number, 1 or more, got 0"):
        thumbnets.load("a").predict(images, top=0)
    with pytest.raises(ValueError, match=r"top must be a whole number, 1 or more, got 1\.5"):
        thumbnets.load("a").predict(images, top=1.5)


def test_weights_of_another_program_are_not_called_damaged(small_run, tmp_path):
    save_file({"weight": torch.zeros(2)}, file := tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="other.safetensors was not written by thumbnets: name"):
        thumbnets.load(file)


def test_validation_predictions_of_other_classes_are_refused(small_run):
    path = small_run / "predictions/validation/a/0.npz"
    write_arrays(path, logits=np.zeros((4, 2)), labels=np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="is of 2 classes, weights/a/0.safetensors of 3"):
        thumbnets.load("a")


def test_a_package_that_is_imported_has_not_loaded_torch(python):
    code = "import sys, thumbnets; print('torch' in sys.modules, 'load' in dir(thumbnets))"
    assert python(code).split()[0] == "False"
