"""Corrected labels: what applies, and every mistake in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thumbnets import paths
from thumbnets.data.corrections import (
    check_place,
    checksums_of,
    correct_labels,
    read_corrections,
)
from thumbnets.data.folder import list_images
from thumbnets.data.listed import FolderRule
from thumbnets.data.preprocess import preprocess
from thumbnets.data.readers import Part
from thumbnets.inputs import stage_inputs
from thumbnets.params import load_params

CLASSES = ("cat", "dog", "owl")
IMAGES = np.arange(4 * 16, dtype=np.uint8).reshape(4, 1, 4, 4)
IMAGES[3] = IMAGES[0]  # the same twice
PART = Part(IMAGES, np.array([0, 1, 2, 0]))
SUMS = checksums_of(PART)


def corrected(folder: Path, *lines: str) -> list[int]:
    path = folder / "fix.csv"
    text = "\n".join(["checksum,file,old_label,new_label", *lines]) + "\n"
    path.write_text(text, encoding="utf-8-sig")  # as a spreadsheet saves it
    return correct_labels(PART, read_corrections(path, CLASSES), CLASSES).labels.tolist()


def test_every_image_with_these_pixels_gets_the_new_label(tmp_path):
    assert corrected(tmp_path, f"{SUMS[0]},,cat,owl", f"{SUMS[1].upper()},,dog,cat") == [2, 0, 2, 2]
    assert PART.labels.tolist() == [0, 1, 2, 0]
    assert corrected(tmp_path, f"{SUMS[1]},,owl,dog") == [0, 1, 2, 0]  # it has it already
    assert corrected(tmp_path) == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["xyz,,cat,owl"], "line 2: xyz is no checksum of 32 or 64 hexadecimal digits"),
        ([",,cat,owl"], "line 2: nothing is no checksum"),
        ([f"{SUMS[0]},,cat,ow\x1bl"], r"line 2: no class is called 'ow\x1bl'; got cat, dog, owl."),
        ([f"{SUMS[0]},,,owl"], "line 2: no class is called ''"),
        (["", f"{SUMS[0]},,,owl"], "line 3: no class is called ''"),  # one deleted, its line not
        ([f"{'0' * 32},,cat,owl"], "line 2: no training image has the checksum 0000000000000000…"),
        ([f"{SUMS[0]},,dog,owl"], "line 2: the image has the label cat, neither dog nor owl"),
        (
            [f"{SUMS[0]},,cat,owl", f"{SUMS[0]},,cat,dog"],
            "fix.csv, line 2 gives the same image another label",
        ),
        ([f"{SUMS[0]},cat,owl"], "fix.csv is damaged (line 2 has more or fewer cells"),
    ],
)
def test_every_mistake_is_one_line(tmp_path, lines, said):
    with pytest.raises(ValueError) as raised:
        corrected(tmp_path, *lines)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_column_may_not_be_missing(tmp_path):
    (tmp_path / "fix.csv").write_text("checksum,label\na,b\n")
    with pytest.raises(ValueError, match="correct it; its columns are checksum, file, old_label"):
        read_corrections(tmp_path / "fix.csv", CLASSES)


def test_a_correction_of_own_images_holds_at_every_size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part, n in (("train", 6), ("test", 2)):
        for label in ("cat", "dog"):
            for number in range(n):
                path = Path("photos", part, label, f"{number}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).save(path)

    def prepared(size: int, **more):
        rule = FolderRule("photos", size=size)
        list_images(rule, Path("raw/dataset"))
        return preprocess("folder", Path("raw/dataset"), folds=2, seed=0, rule=rule, **more)

    before = prepared(16)
    place = before.parts["train"].files.index("train/cat/3.png")
    checksum = checksums_of(before.parts["train"])[place]
    Path("fix.csv").write_text(f"checksum,old_label,new_label\n{checksum},cat,dog\n")
    for size in (16, 8):
        after = prepared(size, corrections=Path("fix.csv"))
        assert after.mended == {"corrected": 1, "dropped": 0}
        assert np.flatnonzero(after.train.labels != before.train.labels).tolist() == [place]
        assert after.train.meta.counts == [5, 7]
        assert np.array_equal(after.test.labels, before.test.labels)


def test_an_edited_file_is_noticed_and_lies_where_that_is(copied, monkeypatch):
    monkeypatch.chdir(copied)
    paths.CORRECTIONS.mkdir()
    file = paths.CORRECTIONS / "fix.csv"
    file.write_text("checksum,old_label,new_label\n")
    params = Path("params.yaml")
    before = stage_inputs(load_params(), "preprocess")
    params.write_text(params.read_text().replace("data:\n", f"data:\n  corrections: {file}\n"))
    first = stage_inputs(load_params(), "preprocess")
    file.write_text(f"checksum,old_label,new_label\n{'0' * 32},Bag,Coat\n")
    second = stage_inputs(load_params(), "preprocess")
    assert "files" not in before and first["files"] != second["files"]
    elsewhere = "must be a file that exists in corrections/, .* cp quality/corr"
    with pytest.raises(ValueError, match=elsewhere):
        check_place("params.yaml")
    with pytest.raises(ValueError, match="must be a file that .* got corrections/none.csv"):
        check_place("corrections/none.csv")
