"""Data sets from Python: by name, from image files, and as they were preprocessed."""

import numpy as np
import pytest
from PIL import Image

from thumbnets.data import load
from thumbnets.data.arrays import write_split


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of images, in a project folder of its own."""
    monkeypatch.chdir(tmp_path)
    for label, shade in (("dark", 0), ("light", 200)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(5):
            image = Image.new("L", (20 + number, 30), shade + number)
            image.save(tmp_path / f"photos/{label}/{number}.png")
    return tmp_path / "photos"


def test_a_folder_of_images_and_what_is_written_of_it(photos):
    train, test = (load(photos, part, size=12, test=0.4, fit="pad") for part in ("train", "test"))
    assert train.images.shape == (6, 1, 12, 12) and test.images.shape == (4, 1, 12, 12)
    assert train.meta.classes == ["dark", "light"] and train.meta.fit == "pad"
    write_split(photos.parent / "processed/train", train)
    back = load(photos.parent / "processed", "train")
    np.testing.assert_array_equal(back.images, train.images)
    assert back.meta.sha256 == train.meta.sha256 and back.meta.shape == train.meta.shape


@pytest.mark.parametrize("column", ["Split", "splits", "GROUP", " groups ", "split ", "site"])
def test_a_column_of_a_list_is_read_or_refused_if_nearly_right(photos, column):
    rows = [(f"{label}/{n}.png", label, "test" if n < 2 else "train") for label in ("dark", "light")
            for n in range(5)]  # fmt: skip
    lines = [f"file,label,{column}", *map(",".join, rows)]
    (photos / "labels.csv").write_text("\n".join(lines))
    if column in ("split ", "site"):  # read, and something else
        assert len(load(photos, "test", list="labels.csv").labels) == (
            4 if "split" in column else 2
        )
        return
    wanted = "split" if "plit" in column else "group"
    with pytest.raises(ValueError, match=f"has a column {column.strip()}: call it {wanted}"):
        load(photos, "test", list="labels.csv")


def test_a_data_set_by_name(photos):
    train = load("digits", "train")
    assert train.images.shape == (1437, 1, 28, 28) and train.fold is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Fashion-MNIST", "Did you mean fashion_mnist"),
        ("folder", "give the folder that they are in"),
        ("digitz", "Did you mean digits.* There is no such folder either"),
        ("/no/where", "/no/where: there is no such folder"),
        (__file__, "test_loading.py: there is no such folder"),
    ],
)
def test_what_is_not_there(photos, name, said):
    for rule in ({}, {"size": 8} if "/" in name else {}):
        with pytest.raises(ValueError, match=said):
            load(name, "train", **rule)


@pytest.mark.parametrize(
    ("split", "rule", "said"),
    [
        ("trian", {}, "split must be train or test, got 'trian'"),
        ("train", {"brokn": "skip"}, "option of a folder 'brokn'. Did you mean 'broken'"),
        ("train", {"fit": "corp"}, "photos: fit must be 'crop', 'pad' or 'stretch', got 'corp'"),
        ("train", {"broken": "ignore"}, "broken must be 'refuse' or 'skip', got 'ignore'"),
        ("train", {"size": 0}, "size must be at least 1, got 0"),
        ("train", {"test": 2.0}, "test must be less than 1, got 2.0"),
        ("train", {"group": "(["}, "group: must be a regular expression"),
    ],
)
def test_what_is_misspelt(photos, split, rule, said):
    with pytest.raises(ValueError, match=said):
        load(photos, split, **rule)


def test_options_are_for_a_folder_of_images(photos):
    write_split(photos.parent / "processed/train", load(photos, "train"))
    for name in ("digits", photos.parent / "processed"):
        with pytest.raises(
            ValueError, match="size can't be given for .*: options are for a folder"
        ):
            load(name, "train", size=64)
