"""What `preprocess` writes about flaws: counts, which images, and pictures that fit them."""

import numpy as np
import pytest

from thumbnets import paths
from thumbnets.artifacts import read_arrays, read_json, write_json
from thumbnets.data.arrays import Meta, Split
from thumbnets.data.duplicates import find_copies
from thumbnets.data.preprocess import Findings, Prepared
from thumbnets.data.readers import Part
from thumbnets.quality.flaws import read_flaws
from thumbnets.quality.images import PICTURE_SIDE, picture, write_flaws


@pytest.fixture
def prepared() -> Prepared:
    """Noise, with copies (one across, one with two labels), a plain and a dark image."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, 255, (20, 1, 16, 16), np.uint8)
    test = rng.integers(0, 255, (6, 1, 16, 16), np.uint8)
    train[3], train[9], train[5], train[6] = test[2], train[4], 200, train[6] // 8
    parts = {
        "train": Part(train, np.arange(20) % 2, [f"{n}.png" for n in range(20)], ["ab"] * 20),
        "test": Part(test, np.arange(6) % 2, [f"t{n}.png" for n in range(6)], ["cd"] * 6),
    }
    meta = Meta("toy", ["a", "b"], 1, 16, [0.5], [0.3], [10, 10], "0" * 64)
    return Prepared(
        Split(train, parts["train"].labels, meta),
        Split(test, parts["test"].labels, meta),
        Findings([10, 10], [3, 3], 1, 1, 1, [], []),
        parts=parts,
        copies=find_copies(train, test),
        mended={"corrected": 0, "dropped": 0},
    )


def test_counts_names_and_pictures(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_flaws(paths.FLAWS, prepared)
    flaws = read_flaws(None, ["a", "b"])
    counted = {key: value for key, value in flaws.copies.items() if key != "examples"}
    assert counted == {
        "across": 1, "within_train": 1, "within_test": 0, "other_label": 2, "training_images": 2
    }  # fmt: skip
    across, within = flaws.copies["examples"]
    assert across == [
        {"part": "train", "name": "3.png", "label": "b"},
        {"part": "test", "name": "t2.png", "label": "a"},
    ]
    assert [one["name"] for one in within] == ["4.png", "9.png"]
    assert np.array_equal(flaws.copy_pictures[0, 0], prepared.parts["test"].images[2])
    shown = [one["name"] for kind in flaws.odd.values() for one in kind["examples"]]
    assert {kind: found["count"] for kind, found in flaws.odd.items() if found["count"]} == {
        "dark": 1, "plain": 1
    }  # fmt: skip
    images = prepared.parts["train"].images
    assert shown == ["6.png", "5.png"] and np.array_equal(flaws.odd_pictures, images[[6, 5]])
    assert (paths.FLAWS / "files.csv").read_text().startswith("file,checksum\n0.png,ab\n")
    assert flaws.as_json({"a": 30, "b": 10})["classes"]["ratio"] == 3


def test_pictures_that_do_not_fit_are_refused(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_flaws(paths.FLAWS, prepared)
    path = paths.FLAWS / "images.json"
    write_json(path, read_json(path) | {"odd": {}})
    with pytest.raises(ValueError, match="images.json is damaged .*do not fit each other"):
        read_flaws(None, ["a", "b"])
    assert read_arrays(paths.FLAWS / "pictures.npz")["odd"].shape == (2, 1, 16, 16)


def test_large_images_are_reduced():
    image = np.arange(3 * 128 * 128).reshape(3, 128, 128).astype(np.uint8)
    assert picture(image).shape == (3, PICTURE_SIDE, PICTURE_SIDE)
    assert picture(image[:, :40, :40]) is not None and picture(image[:, :40, :40]).shape[1] == 40
