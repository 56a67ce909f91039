"""Bits of recognised images: written, read again, and refused where they are damaged."""

import hashlib
import json

import numpy as np
import pytest

from thumbnets.evaluation.correctness import (
    correctness,
    parse_correctness,
    tables_to_compare,
    why_not_paired,
    write_correctness,
)


def written(tmp_path, images: int = 11, trainings=(10, 2)) -> str:
    labels = np.arange(images) % 3
    predicted = np.stack([labels, np.zeros_like(labels)])
    path = tmp_path / "correct" / "cnn.json"
    write_correctness(path, correctness("cnn", predicted, labels, trainings))
    return path.read_text()


def test_by_hand(tmp_path):
    content = json.loads(written(tmp_path))
    # Eleven of eleven: 1111 1111 1110 0000; images 0, 3, 6, 9: 1001 0010 0100 0000.
    assert content["correct"] == {"10": "/+A=", "2": "kkA="}
    assert (content["model"], content["images"]) == ("cnn", 11)
    labels = b"".join((i % 3).to_bytes(8, "little") for i in range(11))
    assert content["labels_sha256"] == hashlib.sha256(labels).hexdigest()


def test_is_read_as_it_was_written_with_seeds_in_order(tmp_path):
    found = parse_correctness(written(tmp_path), "file")
    assert list(found.correct) == ["2", "10"] and found.images == 11
    assert np.flatnonzero(found.table[0]).tolist() == [0, 3, 6, 9] and found.table[1].all()
    groups = parse_correctness(written(tmp_path, trainings=("2 3", "0 1")), "file")
    assert list(groups.correct) == ["0 1", "2 3"]


def test_ten_thousand_images_take_less_than_two_kilobytes_a_training(tmp_path):
    assert len(written(tmp_path, images=10_000)) < 2 * 1_700 + 200


def test_groups_are_kept_in_little(tmp_path):
    group = np.repeat(np.arange(1_000), np.random.default_rng(0).integers(1, 20, 1_000))
    images, path = len(group), tmp_path / "cnn.json"
    predicted, labels = np.zeros((1, images), int), np.arange(images) % 2
    write_correctness(path, correctness("cnn", predicted, labels, [0], group))
    found = parse_correctness(path.read_text(), "file")
    np.testing.assert_array_equal(found.group, group)
    assert found.group.dtype == np.int64
    assert len(json.loads(path.read_text())["group"]) < images / 3
    plain = correctness("cnn", predicted, labels, [0])
    a, b = tables_to_compare(plain, found)  # older, without groups
    assert a.shape == b.shape == (1, 1_000)
    a, _ = tables_to_compare(plain, plain)
    assert a.shape == (1, images) and a.dtype == bool
    other = correctness("cnn", predicted, labels, [0], np.arange(images) // 2)
    assert why_not_paired(found, other) == "test images in other groups"
    assert why_not_paired(found, plain) is why_not_paired(found, found) is None


@pytest.mark.parametrize("text", [7, "!!", "", "kkA=", "eJxjYGAAAAAEAAE="])  # last: one number
def test_groups_that_are_damaged_are_refused(tmp_path, text):
    content = json.loads(written(tmp_path)) | {"group": text}
    with pytest.raises(ValueError, match="group has not one number an image: run `dvc repro`"):
        parse_correctness(json.dumps(content), "file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 30}, "seed 2 has not one bit an image"),
        ({"images": 8}, "seed 2 has not one bit an image"),
        ({"images": True}, "images must be of type int"),
        ({"images": 0}, "one image"),
        ({"correct": {}}, "one seed"),
        ({"correct": {"../x": "kkA="}}, "is no seed"),
        ({"correct": {"0": "kkE="}}, "seed 0 has not"),  # a bit beyond the last image
        ({"correct": {"0": "!!"}}, "seed 0 has not"),
        ({"correct": {"0": 7}}, "seed 0 has not"),
        ({"labels_sha256": None}, "labels_sha256 must be of type str"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path, change, message):
    content = json.loads(written(tmp_path)) | change
    with pytest.raises(ValueError, match=f"^cnn.json: .*{message}.*dvc repro"):
        parse_correctness(json.dumps(content), "cnn.json")


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD", "[" * 100_000, "[]"])
def test_what_is_no_such_file_is_refused(content):
    with pytest.raises(ValueError, match="cnn.json: "):
        parse_correctness(content, "cnn.json")
