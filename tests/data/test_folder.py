"""A folder of images: which are listed, how they are divided, what is read and what refused."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from thumbnets.artifacts import read_csv
from thumbnets.data.division import divide
from thumbnets.data.folder import list_images, read_folder
from thumbnets.data.listed import FolderRule, Listed
from thumbnets.data.listing import refuse_untracked

RULE = FolderRule("images", size=8)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """`images/` in an empty current folder, to be filled."""
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    return Path("images")


def write(path: Path, colour: tuple[int, int, int] = (9, 9, 9), size: tuple = (10, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def fill(folder: Path, *classes: str, each: int = 5) -> None:
    """Images of as many colours as there are images."""
    for label in classes:
        for number in range(each):
            write(folder / label / f"{number}.png", (number, 50, sum(map(ord, label)) % 251))


def listed(folder: Path) -> list[tuple[str, str, str]]:
    list_images(RULE, Path("raw"))
    return [(row["part"], row["label"], row["file"]) for row in read_csv(Path("raw/files.csv"))]


def test_lists_images_and_nothing_else(folder, capsys):
    for name in ("b/2.PNG", "b/1.jpg", "b/deep/er/3.webp", "a b/ü.tif", "a b/x.jpeg", "a b/y.bmp"):
        write(folder / name)
    for name in ("b/notes.txt", "b/.hidden.png", "README.md", ".cache/c/4.png", "b/.git/5.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    assert listed(folder) == [
        ("", "a b", "a b/x.jpeg"),
        ("", "a b", "a b/y.bmp"),
        ("", "a b", "a b/ü.tif"),
        ("", "b", "b/1.jpg"),
        ("", "b", "b/2.PNG"),
        ("", "b", "b/deep/er/3.webp"),
    ]
    assert capsys.readouterr().out == (
        "images: 6 images of 2 classes\nimages: 2 files passed over: 1 .md, 1 .txt\n"
    )


def test_the_list_changes_with_bytes_and_not_with_time(folder):
    fill(folder, "a", "b")
    list_images(RULE, Path("raw"))
    before = Path("raw/files.csv").read_bytes()
    (folder / "a/0.png").touch()
    (folder / "a/notes.txt").write_text("no image")
    list_images(RULE, Path("raw"))
    assert Path("raw/files.csv").read_bytes() == before
    write(folder / "a/0.png", (200, 0, 0))
    list_images(RULE, Path("raw"))
    assert Path("raw/files.csv").read_bytes() != before


@pytest.mark.parametrize(
    ("roots", "parts"),
    [
        (["train", "test"], ["train", "test"]),
        (["train", "val"], ["train", "test"]),
        (["train", "validation"], ["train", "test"]),
        (["train", "test", "val"], ["train", "test", "train"]),
        (["train"], [""]),
    ],
)
def test_folders_that_divide(folder, roots, parts):
    for root in roots:
        fill(folder / root, "a", "b", each=1)
    found = listed(folder)
    assert {(part, file.split("/")[0]) for part, _, file in found} == set(
        zip(parts, roots, strict=True)
    )
    assert {label for _, label, _ in found} == {"a", "b"}


def test_a_class_may_be_called_train(folder):
    fill(folder, "train", "plane", "test", each=1)
    assert [label for _, label, _ in listed(folder)] == ["plane", "test", "train"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "two classes or more, got none"),
        (["a/1.png"], "two classes or more, got a"),
        (["a/1.png", "b/1.txt"], "class folder images/b has no image"),
        (["1.png", "a/1.png", "b/1.png"], "images/1.png lies in no class folder"),
        (["train/a/1.png", "train/1.png"], "images/train/1.png lies in no class folder"),
        (["train/a/1.png", "train/b/1.png", "more/c/1.png"], "has more/ beside train/: only test"),
        (
            ["train/a/1.png", "train/b/1.png", "test/c/1.png"],
            "c has test images, but no training images",
        ),
    ],
)
def test_other_forms_are_refused(folder, files, said):
    for name in files:
        write(folder / name) if name.endswith("png") else (folder / name).parent.mkdir()
    with pytest.raises(ValueError, match=said):
        list_images(RULE, Path("raw"))
    assert not Path("raw").exists()


def test_no_folder_is_refused(folder):
    with pytest.raises(ValueError, match="data.path: nowhere is no folder"):
        list_images(replace(RULE, path="nowhere"), Path("raw"))


def rows(*sizes: int) -> list[Listed]:
    """Images of classes a, b, … with checksums of their own."""
    return [
        Listed("", "abc"[label], f"{'abc'[label]}/{n}.png", f"{label}-{n}")
        for label, size in enumerate(sizes)
        for n in range(size)
    ]


def drawn(found: list[Listed]) -> set[str]:
    return {row.sha256 for row in found if row.part == "test"}


@given(
    st.lists(st.integers(2, 30), min_size=2, max_size=3),
    st.floats(0.01, 0.99),
    st.integers(0, 9),
    st.randoms(use_true_random=False),
)
def test_each_class_gives_its_share_whatever_the_names(sizes, share, seed, random):
    rule = replace(RULE, test=share, seed=seed)
    given_rows = rows(*sizes)
    found = divide(given_rows, rule)
    assert sorted(row.sha256 for row in found) == sorted(row.sha256 for row in given_rows)
    assert [row.part for row in found] == sorted((row.part for row in found), reverse=True)
    for label, size in zip("abc", sizes, strict=False):
        count = sum(row.label == label and row.part == "test" for row in found)
        assert count == min(max(round(share * size), 1), size - 1)
    names = [row.file for row in given_rows]
    random.shuffle(names)
    renamed = [replace(row, file=name) for row, name in zip(given_rows, names, strict=True)]
    assert drawn(divide(renamed, rule)) == drawn(found)


def test_an_image_that_is_added_moves_at_most_one():
    before = drawn(divide(rows(20, 20), RULE))
    for size in range(21, 31):
        after = drawn(divide(rows(size, 20), RULE))
        assert len((before - after) & {row.sha256 for row in rows(20, 20)}) <= 1
        before = after
    assert drawn(divide(rows(20, 20), replace(RULE, seed=1))) != drawn(divide(rows(20, 20), RULE))


def test_a_single_image_can_not_be_divided():
    with pytest.raises(ValueError, match="images: class b has one image, but needs three or more"):
        divide(rows(5, 1), RULE)


def read(folder: Path, rule: FolderRule = RULE):
    list_images(RULE, Path("raw/folder"))
    return read_folder(Path("raw/folder"), rule)


def test_reads_colour(folder):
    fill(folder, "a", "b")
    content = read(folder)
    assert content.classes == ("a", "b") and not content.broken
    assert content.train.images.shape == (8, 3, 8, 8) and content.test.images.shape == (2, 3, 8, 8)
    assert content.train.labels.tolist() == [0] * 4 + [1] * 4 and content.test.labels.tolist() == [
        0,
        1,
    ]
    for part in content.parts.values():
        for image, label, file in zip(part.images, part.labels, part.files, strict=True):
            name = Path(file)
            colour = [int(name.stem), 50, sum(map(ord, "ab"[label]))]
            assert image[:, 4, 4].tolist() == colour and name.parent.name == "ab"[label]


def test_is_grey_if_every_image_is(folder):
    for number in range(4):
        write(folder / f"a/{number}.png", (number,) * 3)
        Image.new("L", (5, 9), 100 + number).save(write(folder / f"b/{number}.png"))
    content = read(folder)
    assert content.train.images.shape == (6, 1, 8, 8)
    shades = np.concatenate([content.train.images[3:], content.test.images[1:]])
    assert sorted(shades[:, 0, 0, 0].tolist()) == [100, 101, 102, 103]
    write(folder / "a/4.png", (1, 1, 2))
    assert read(folder).train.images.shape[1] == 3


def test_broken_files_are_refused_or_left_out(folder, capsys):
    fill(folder / "train", "a", "b")
    fill(folder / "test", "a", "b", each=1)
    (folder / "train/a/1.png").write_bytes(b"no image")
    whole = (folder / "train/b/0.png").read_bytes()
    (folder / "train/b/0.png").write_bytes(whole[:50])
    with pytest.raises(ValueError) as error:
        read(folder)
    assert str(error.value) == (
        "images: 2 of 12 images can't be read: train/a/1.png (cannot identify image file)"
        ", train/b/0.png (image file is truncated). "
        "Repair or remove them, or leave them out: data.broken: skip"
    )
    content = read(folder, replace(RULE, broken="skip"))
    assert "2 of 12 images can't be read" in capsys.readouterr().out
    assert [b.split(" ")[0] for b in content.broken] == ["train/a/1.png", "train/b/0.png"]
    assert content.train.files == [f"train/a/{n}.png" for n in (0, 2, 3, 4)] + [
        f"train/b/{n}.png" for n in (1, 2, 3, 4)
    ]
    assert content.train.labels.tolist() == [0] * 4 + [1] * 4
    for number in range(5):
        (folder / f"train/b/{number}.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="images: no image of class b can be read"):
        read(folder, replace(RULE, broken="skip"))
    for file in folder.rglob("*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"images: no image can be read, the first is train/a/0"):
        read(folder, replace(RULE, broken="skip"))


def test_broken_files_take_no_part_in_the_draw(folder):
    """The test images are those that would be drawn if the broken ones were not there."""
    fill(folder, "a", "b", each=10)
    drawn = read(folder).test.files
    for file in drawn:
        (folder / file).write_bytes(b"no image")
    content = read(folder, replace(RULE, broken="skip"))
    assert sorted(content.broken) == [f"{file} (cannot identify image file)" for file in drawn]
    for file in drawn:
        (folder / file).unlink()
    without = read(folder)
    assert len(content.test.files) == 4 and content.test.files == without.test.files
    np.testing.assert_array_equal(content.train.images, without.train.images)
    np.testing.assert_array_equal(content.train.sides, without.train.sides)


def test_words_that_need_a_joiner_may_be_classes(folder):
    fill(folder, "می\u200cخواهم", "क्\u200dष")
    assert read(folder).classes == ("می\u200cخواهم", "क्\u200dष")


def test_a_file_that_has_changed_since_is_refused(folder):
    fill(folder, "a", "b")
    list_images(RULE, Path("raw/folder"))
    write(folder / "b/3.png", (7, 7, 7))
    with pytest.raises(
        ValueError, match="b/3.png has changed since it was listed: run `dvc repro -f download`"
    ):
        read_folder(Path("raw/folder"), RULE)


def test_more_images_than_are_read_at_once_stay_in_order(folder, monkeypatch):
    monkeypatch.setattr("thumbnets.data.folder._AT_ONCE", 3)
    fill(folder, "a", "b", each=8)
    content = read(folder)
    numbers = [int(Path(file).stem) for file in content.train.files]
    assert content.train.images[:, 0, 0, 0].tolist() == numbers
    assert np.asarray(content.test.images).shape == (4, 3, 8, 8)


def test_parts_in_any_case_are_no_classes(folder):
    fill(folder / "Train", "a", "b", each=2)
    fill(folder / "TESTING", "a", "b", each=1)
    assert {(part, label) for part, label, _ in listed(folder)} == {
        (part, label) for part in ("train", "test") for label in "ab"
    }


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["train/a/1.png", "train/b/1.png", "test/1.png"], "images/test has no class folders"),
        (["p/train/a/1.png", "p/train/b/1.png"], "give data.path: images/p"),
        (["Cat/1.png", "cat/1.png"], "Cat and cat differ in case, Unicode form or invisible"),
        (["a/1.png", "a\u200d/1.png"], r"classes a and a\\u200d differ in case, Unicode form or"),
        (["k\xf6p/1.png", "ko\u0308p/1.png"], r"classes ko\\u0308p and k\\xf6p differ in case"),
        (["a/1.png", "b/2\r.png"], r"images/b/2\\r.png has a carriage return in its name"),
        (["train/1.png", "test/1.png"], "has only test/, train/, which are parts"),
        (["a/1.png", "b\n/1.png"], r"character in its name that can't be seen"),
        (["train/a/1.png", "train/b/1.png", "7.png"], "7.png lies in no class folder"),
        (["a/1.png", "b/caf\udce9.png"], r"caf.udce9.png: .* not UTF-8"),
    ],
)
def test_what_would_be_taken_wrongly_is_refused(folder, files, said):
    for name in files:
        write(folder / "x.png").rename(
            (folder / name).parent.mkdir(parents=True, exist_ok=True) or folder / name
        )
    with pytest.raises(ValueError, match=said):
        list_images(RULE, Path("raw"))


def test_a_part_that_is_a_link_is_refused(folder, tmp_path):
    fill(tmp_path / "elsewhere", "a", "b", each=2)
    (folder / "train").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="images/train is a link, behind which no change would be"):
        list_images(RULE, Path("raw"))


def test_a_folder_that_can_not_be_looked_into_is_told(folder, monkeypatch):
    fill(folder, "a", "b", each=2)
    (folder / "a/more").mkdir()
    scan = os.scandir

    def locked(place):
        if Path(place).name == "more":
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(ValueError, match=r"a/more can't be looked into \(Permission denied\)"):
        list_images(RULE, Path("raw"))


def test_a_file_that_is_too_long_is_left_out_with_the_others(folder, monkeypatch):
    monkeypatch.setattr("thumbnets.data.folder._LONGEST_IMAGE", 1 << 20)
    fill(folder, "a", "b")
    with (folder / "a/1.png").open("ab") as file:
        file.truncate((1 << 20) + 1)
    content = read(folder, replace(RULE, broken="skip"))
    assert content.broken == ["a/1.png (more than 1 MiB)"]


def test_images_are_known_by_content(folder, capsys):
    fill(folder, "a", "b", each=2)
    Image.new("RGB", (9, 9)).save(folder / "a/photo.jfif", "JPEG")
    Image.new("RGB", (9, 9)).save(folder / "a/photo", "GIF")
    (folder / "@eaDir/c").mkdir(parents=True)
    (folder / "b/x.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert [file for _, _, file in listed(folder)][2:4] == ["a/photo", "a/photo.jfif"]
    assert "1 file passed over: 1 .heic (pip install pillow-heif)" in capsys.readouterr().out


def test_depth_is_found_and_kept(folder, capsys):
    for number, label in enumerate("ab"):
        (folder / label).mkdir()
        for n in range(4):
            values = np.full((8, 8), 2000 * number + n * 40, np.uint16)
            Image.fromarray(values).save(folder / label / f"{n}.png")
    content = read(folder)
    assert content.depth == 12
    assert "values up to 2,120 in 8 files of 16 bits, read as 12 bits" in capsys.readouterr().out
    shades = {int(v) for part in content.parts.values() for v in part.images[:, 0, 0, 0]}
    assert shades == {(2000 * k + n * 40) >> 4 for k in (0, 1) for n in range(4)}
    assert read(folder, replace(RULE, depth=11)).depth == 11
    assert "read as 11 bits (data.depth): higher values, in 2 of them, become white" in (
        capsys.readouterr().out
    )


def test_links_out_of_the_folder_are_refused_and_dangling_ones_broken(folder):
    fill(folder, "a", "b")
    (folder / "a/9.png").symlink_to("nowhere.png")
    with pytest.raises(
        ValueError, match=r"1 of 11 images.*a/9.png \(no file, or a link to nothing"
    ):
        read(folder)
    (folder / "a/9.png").unlink()
    (folder / "a/9.png").symlink_to(write(Path("away.png")).resolve())
    with pytest.raises(ValueError, match="a/9.png is a link"):
        list_images(RULE, Path("raw"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.symlink_to("nowhere"), "is a link to nothing"),
        (os.mkfifo, "is no regular file"),
        (lambda path: Path(os.fsdecode(bytes(path) + b"\xe9")).touch(), r"not UTF-8"),
    ],
    ids=["dangling", "fifo", "bytes"],
)
def test_what_dvc_can_not_read_is_refused_before_it_does(folder, make, said):
    fill(folder, "a", "b", each=1)
    refuse_untracked(folder)
    make(folder / "a/x.png")
    with pytest.raises(ValueError, match=f"images/a/x.png.* {said}"):
        refuse_untracked(folder)
