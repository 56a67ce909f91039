"""A list of labels: what it may say, and what is refused in one line that names the row."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from thumbnets.artifacts import read_csv, read_json
from thumbnets.data.folder import list_images
from thumbnets.data.listed import FolderRule

RULE = FolderRule("images", size=8, list="lists/labels.csv")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """`images/` with eight images in pool/, and a folder for lists."""
    monkeypatch.chdir(tmp_path)
    for name in ("images/pool", "images/lists"):
        Path(name).mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(f"images/pool/{number}.png")
    return tmp_path


def write(text: str) -> None:
    Path("images/lists/labels.csv").write_text(text, encoding="utf-8-sig")


def listed(rule: FolderRule = RULE) -> list[tuple[str, str, str, str]]:
    list_images(rule, Path("raw"))
    rows = read_csv(Path("raw/files.csv"))
    return [(row["part"], row["label"], row["file"], row["group"]) for row in rows]


def test_labels_and_paths_are_those_of_the_list(capsys):
    write(
        'file,label,by\n../pool/1.png,"cat, =big",x\n../pool/0.png,dog,x\n../pool/2.png,dog,y\n'
        '../pool/3.png,"cat, =big",y\n'
    )
    assert listed() == [
        ("", "cat, =big", "pool/1.png", ""),
        ("", "dog", "pool/0.png", ""),
        ("", "dog", "pool/2.png", ""),
        ("", "cat, =big", "pool/3.png", ""),
    ]
    assert read_json(Path("raw/passed_over.json")) == {"that the list does not name": 4}
    assert "4 files passed over: 4 that the list does not name" in capsys.readouterr().out


def test_empty_rows_of_a_spreadsheet_are_no_images():
    write("file,label\n../pool/0.png,a\n,\n../pool/1.png,b\n ,\n,,\n")
    assert [file for *_, file, _ in listed()] == ["pool/0.png", "pool/1.png"]


def test_a_name_in_another_unicode_form_is_found():
    """A list from a spreadsheet has é as one character, the disk of a Mac as two."""
    Path("images/pool/0.png").rename("images/pool/cafe\u0301.png")
    write("file,label\n../pool/caf\u00e9.png,a\n../pool/1.png,b\n")
    assert [file for *_, file, _ in listed()] == ["pool/cafe\u0301.png", "pool/1.png"]


@pytest.mark.parametrize(
    ("splits", "parts"),
    [
        (["Train", "train", "test", "testing"], ["train", "train", "test", "test"]),
        (["train", "training", "val", "dev"], ["train", "train", "test", "test"]),
        (["train", "train", "val", "test"], ["train", "train", "train", "test"]),
        (["train"] * 4, [""] * 4),
    ],
)
def test_splits_and_groups(splits, parts):
    rows = [f"../pool/{n}.png,{'ab'[n % 2]},{split},p{n}" for n, split in enumerate(splits)]
    write("\n".join(["file,label,split,group", *rows]))
    assert [(part, group) for part, _, _, group in listed()] == [
        (part, f"p{n}") for n, part in enumerate(parts)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,class\n../pool/0.png,a", "must have a column label, got file, class"),
        ("file,label\n../pool/0.png,a\n../pool/9.png,b", r"line 3: ../pool/9.png does not exist"),
        ("file,label,split\n../pool/0.png,a,tset", "line 2: .* has an unknown split, tset"),
        ("file,label,split\n../pool/0.png,a,\n../pool/1.png,b,test", "some rows have a split"),
        ("file,label,split\n../pool/0.png,a,test\n../pool/1.png,b,val", "no row has split train"),
        ("file,label\n../pool/0.png,a\n../pool/../pool/0.png,b", "line 3: .* is named twice"),
        ("file,label\n../../outside.png,a", "line 2: .* lies outside of data.path"),
        ("file,label\n../pool/0.png,", "line 2: .* has no label: give"),
        ("file,label\n../pool/0.png", "line 2: has fewer columns"),
        ("file,label\n../pool/0.png,a, small", "line 2: has more columns"),
        ("file,label\n../pool/0.png,  ", "line 2: .* has no label: give"),
        ("file,label\nlabels.csv,a", "line 2: labels.csv is no image that can be read: .csv"),
        ("file,label\n../pool/0.png,a", "labels.csv must have training images of two classes"),
        ("file,label\n../pool/0.png,a\n../pool/1.png,A", "classes A and a differ in case"),
        ("file,label,label\n../pool/0.png,a,b", "has two columns label: remove one"),
    ],
)
def test_other_lists_are_refused(text, said):
    Image.new("RGB", (9, 9)).save("outside.png")
    write(text)
    with pytest.raises(ValueError, match=said):
        listed()


@pytest.mark.parametrize("other", ["jos\u00e9", "JOSE\u0301", "jose\u200d\u0301"])
def test_groups_that_look_alike_are_refused(other):
    write(f"file,label,group\n../pool/0.png,a,jose\u0301\n../pool/1.png,b,{other}\n")
    with pytest.raises(ValueError, match=r"groups .* and .* differ in case, Unicode form or"):
        listed()


def test_groups_of_a_column_and_of_a_pattern_are_refused():
    write("file,label,group\n../pool/0.png,a,x\n../pool/1.png,b,y\n")
    with pytest.raises(ValueError, match=r"both data.group and the column group of the list"):
        listed(replace(RULE, group="(.)"))


def test_spaces_make_no_other_class_or_group():
    write("file, label,group\n../pool/0.png,a ,p\n../pool/1.png, a,p \n../pool/2.png,b,q\n")
    assert {(label, group) for _, label, _, group in listed()} == {("a", "p"), ("b", "q")}


def test_a_list_elsewhere_is_refused_and_a_folder_that_is_a_link_is_not(folder):
    write("file,label\n../pool/0.png,a\n../pool/1.png,b\n")
    Path("images/lists/labels.csv").rename("labels.csv")
    with pytest.raises(ValueError, match="data.list: .*labels.csv lies outside of data.path"):
        listed(replace(RULE, list="../labels.csv"))
    Path("labels.csv").rename("images/lists/labels.csv")
    Path("link").symlink_to("images")
    assert listed(replace(RULE, path="link"))[0] == ("", "a", "pool/0.png", "")


def test_a_list_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="data.list: images/none.csv does not exist"):
        listed(replace(RULE, list="none.csv"))
