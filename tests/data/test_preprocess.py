"""Folds, channel statistics, and the arrays on disk."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from thumbnets.data import arrays, load
from thumbnets.data.arrays import Meta, Split, read_split, write_split
from thumbnets.data.datasets import DATASETS, Dataset
from thumbnets.data.division import stratified_folds
from thumbnets.data.download import download
from thumbnets.data.few import few_groups, few_images, untested
from thumbnets.data.folder import list_images
from thumbnets.data.listed import FolderRule
from thumbnets.data.preprocess import (
    Findings,
    channel_statistics,
    preprocess,
    read_dataset,
)
from thumbnets.data.readers import Content, Part


def counts(fold: np.ndarray, labels: np.ndarray, folds: int) -> np.ndarray:
    """Images by fold and class."""
    return np.stack(
        [np.bincount(labels[fold == f], minlength=labels.max() + 1) for f in range(folds)]
    )


@settings(max_examples=25)
@given(st.lists(st.integers(5, 40), min_size=2, max_size=5), st.integers(2, 5), st.integers(0, 9))
def test_folds_are_even_in_size_and_classes(sizes, folds, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    fold = stratified_folds(labels, folds=folds, seed=seed)
    assert fold.dtype == np.int16 and set(fold) == set(range(folds))
    table = counts(fold, labels, folds)
    assert np.ptp(table, axis=0).max() <= 1  # of each class
    assert np.ptp(table.sum(1)) <= 1  # of all


def test_twelve_folds_of_fashion_mnist_have_5000_images():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 6_000))
    fold = stratified_folds(labels, folds=12, seed=0)
    assert (counts(fold, labels, 12) == 500).all()


def test_the_seed_divides():
    labels = np.arange(300) % 3
    one, same, other = (stratified_folds(labels, folds=5, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_a_class_too_rare_for_the_folds_is_refused():
    labels = np.array([0] * 20 + [1] * 3 + [3] * 20)
    with pytest.raises(
        ValueError, match="split.folds is 4, but class 1 has only 3 training images.*fewer folds"
    ):
        stratified_folds(labels, folds=4, seed=0)
    assert len(stratified_folds(labels, folds=3, seed=0)) == 43  # class 2 has no image at all


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_those_of_the_pixels(channels):
    images = np.random.default_rng(0).integers(0, 200, (50, channels, 9, 9), np.uint8)
    images[:, 0] //= 3
    mean, std = channel_statistics(images)
    pixels = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std((0, 2, 3)), rtol=1e-12)


def test_a_split_round_trips(tmp_path):
    rng = np.random.default_rng(0)
    meta = Meta("toy", ["a", "é"], 1, 4, [0.25], [0.5], [3, 2], "f" * 64)
    split = Split(
        rng.integers(0, 256, (5, 1, 4, 4), np.uint8),
        np.array([0, 1, 0, 1, 0]),
        meta,
        np.array([0, 0, 1, 1, 2], np.int16),
    )
    write_split(tmp_path / "train", split)
    back = read_split(tmp_path / "train")
    for name in ("images", "labels", "fold"):
        np.testing.assert_array_equal(getattr(back, name), getattr(split, name), strict=True)
    assert back.meta == meta
    assert meta.shape == {"in_channels": 1, "image_size": 4, "num_classes": 2}
    write_split(tmp_path / "test", Split(split.images, split.labels, meta))
    assert read_split(tmp_path / "test").fold is None
    (tmp_path / "test" / "labels.npy").unlink()
    with pytest.raises(ValueError, match=r"labels\.npy is missing: run `dvc repro`"):
        read_split(tmp_path / "test")


def test_the_embedded_data_set_from_raw_files_to_splits(tmp_path):
    download(DATASETS["digits"], tmp_path, mirror=None)
    prepared = preprocess("digits", tmp_path, folds=5, seed=0)
    train, test, findings = prepared.train, prepared.test, prepared.findings
    for split, counts in ((train, findings.train), (test, findings.test)):
        assert split.images.shape == (len(split.labels), 1, 28, 28)
        assert split.images.dtype == np.uint8 and split.labels.dtype == np.int64
        assert split.meta.counts == counts == np.bincount(split.labels).tolist()
    pixels = train.images / 255
    np.testing.assert_allclose(train.meta.mean, pixels.mean(), rtol=1e-9)
    assert test.meta.mean == train.meta.mean and test.meta.std == train.meta.std
    assert test.fold is None and set(train.fold) == set(range(5))
    whole = hashlib.sha256(train.images.tobytes() + train.labels.tobytes()).hexdigest()
    assert train.meta.sha256 == whole != test.meta.sha256
    assert findings.leaked == findings.repeated == 0 and not findings.broken
    again = preprocess("digits", tmp_path, folds=5, seed=1).train
    assert again.meta == train.meta and not np.array_equal(again.fold, train.fold)
    with pytest.raises(ValueError, match="split.folds is 200, but class"):
        preprocess("digits", tmp_path, folds=200, seed=0)


def row_of(content: Content) -> Dataset:
    """A data set that has this content."""
    return Dataset(
        name="toy",
        title="Toy",
        classes=content.classes,
        folder="toy",
        mirrors=(),
        archives=(),
        reader=lambda *_: content,
    )


def test_duplicates_are_found(monkeypatch, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 4), np.uint8)
    train = Part(images[[0, 1, 2, 0, 3]], np.array([0, 1, 1, 1, 0]), list("vwxyz"))
    test = Part(images[[4, 0, 5, 2]], np.array([0, 1, 0, 1]), list("abcd"))
    monkeypatch.setitem(DATASETS, "toy", row_of(Content(("A", "B"), train, test)))
    findings = read_dataset("toy", tmp_path).findings
    assert findings == Findings(
        train=[2, 3],
        test=[2, 2],
        repeated=1,  # y is v once more
        leaked=2,  # b is v, with another class, and d is x
        leaked_other_label=1,
        examples=[["b", "v"], ["d", "x"]],
        broken=[],
    )


def test_chunks_change_nothing(monkeypatch, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), np.uint8).swapaxes(2, 3)
    content = Content(
        ("A", "B"),
        Part(images[:40], np.arange(40) % 2),
        Part(images[30:], np.arange(20) % 2),
        unlabelled=images[:9],
    )
    monkeypatch.setitem(DATASETS, "toy", row_of(content))
    written = []
    for size in (1 << 25, 7 * 48):
        monkeypatch.setattr(arrays, "CHUNK", size)
        prepared = preprocess("toy", tmp_path, folds=2, seed=0)
        write_split(tmp_path / str(size), prepared.train)
        files = {f.name: f.read_bytes() for f in (tmp_path / str(size)).iterdir()}
        written.append((prepared.train.meta, prepared.findings, files))
    assert written[0] == written[1]
    np.save(tmp_path / "peer.npy", np.ascontiguousarray(images[:40]))
    assert written[0][2]["images.npy"] == (tmp_path / "peer.npy").read_bytes()
    assert written[0][1].leaked == 10
    back = read_split(tmp_path / str(1 << 25))
    np.testing.assert_array_equal(back.unlabelled, images[:9])
    write_split(tmp_path / str(1 << 25), replace(back, unlabelled=None))
    assert read_split(tmp_path / str(1 << 25)).unlabelled is None


def test_large_images_are_mapped_and_let_go(monkeypatch, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4_096, 1, 64, 64), np.uint8)  # 16 MiB
    meta = Meta("toy", ["a", "b"], 1, 64, [0.2], [0.3], [1, 1], "0" * 64)
    write_split(tmp_path, Split(images, np.zeros(4_096, np.int64), meta))
    monkeypatch.setenv("THUMBNETS_MEMORY", "1")
    assert not isinstance(read_split(tmp_path).images, np.memmap)
    monkeypatch.setenv("THUMBNETS_MEMORY", str(60 / 1024))  # of which a quarter is less
    mapped = read_split(tmp_path).images
    assert isinstance(mapped, np.memmap)
    monkeypatch.setattr(arrays, "CHUNK", 1 << 20)
    most = 0
    for number, some in enumerate(arrays.chunks(mapped[:, :, :, ::-1])):
        np.testing.assert_array_equal(some, images[number * 256 : number * 256 + 256, :, :, ::-1])
        most = max(most, resident(tmp_path / "images.npy"))
    assert most <= 4 << 20
    mapped[0] = 0  # in memory alone
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), images)


def resident(file: Path) -> int:
    """Bytes of a mapped file that this process holds, as Linux counts them; else 0."""
    smaps = Path("/proc/self/smaps")
    if not smaps.exists():
        return 0
    found = re.search(rf"{re.escape(str(file))}\n(?:.*\n)*?Rss: +(\d+) kB", smaps.read_text())
    return int(found[1]) << 10


def test_few_images_say_what_they_can_not_show():
    validating, testing = few_images(validates=12, tests=40)
    assert validating.startswith("Only 12 images validate") and "66.7 points" in validating
    assert "split.rotate" in validating
    assert testing.startswith("Only 40 images test") and "20.0 points" in testing
    assert few_images(validates=200, tests=200) == []
    assert few_images(validates=200, tests=5) == [
        "Only 5 images test: no two networks can be told apart."
    ]
    assert few_images(validates=200, tests=1) == [
        "Only 1 image tests: no two networks can be told apart."
    ]


def test_classes_without_test_images_are_named():
    assert untested(np.array([2, 0, 2]), ["a", "b", "c", "d"]) == [
        "No images test b, d: nothing says how well they are recognised."
    ]
    assert untested(np.array([1, 0]), ["a", "b"]) == []


def test_few_groups_say_what_they_mean():
    many = np.arange(40)
    assert few_groups(many, many) == []
    assert few_groups(many % 12, many * 0) == [
        "Only 12 groups of images validate: intervals will be wide.",
        "All images that test are of one group: intervals tell nothing.",
    ]


def test_images_that_are_alone_are_no_group():
    assert few_groups(np.arange(40), None) == few_groups(None, None) == []
    assert few_groups(None, np.array([0, 0, 1])) == [
        "Only 2 groups of images test: intervals will be wide."
    ]


def test_a_channel_may_be_the_same_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    pixels[..., 2] = 0
    for number, image in enumerate(pixels):
        Path(f"images/{'ab'[number % 2]}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(f"images/{'ab'[number % 2]}/{number}.png")
    meta = load("images", "train", size=8).meta
    assert meta.mean[2] == 0 and meta.std[2] == 1 and 0 < meta.std[0] < 1


def test_own_images_have_findings_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part, patients in {"train": "pqrs", "test": "qz"}.items():
        for label in ("a", "b", "10"):
            Path("images", part, label).mkdir(parents=True)
            for name in [f"{patient}_{n}" for patient in patients for n in range(3)]:
                pixels = rng.integers(0, 4096, (9, 9)).astype(np.uint16)
                Image.fromarray(pixels).save(f"images/{part}/{label}/{name}.png")
    Path("images/train/a/0.heic").write_bytes(b"\0\0\0\x18ftypheic")
    Path("images/test/notes.txt").write_text("")
    rule = FolderRule("images", size=8, group=r"([^/]*)_\d")
    list_images(rule, Path("raw/folder"))
    prepared = preprocess("folder", Path("raw/folder"), folds=12, seed=0, rule=rule)
    groups = np.array(prepared.groups)
    for group in "pqrs":
        assert len(set(prepared.train.fold[groups == group])) == 1
    # Files are in the order of their names: 10/q_0, 10/q_1, 10/q_2, 10/z_0, …, a/q_0, …
    assert prepared.test.group.tolist() == [0, 0, 0, 1, 1, 1] * 3
    assert len(set(prepared.train.group.tolist())) == 4
    write_split(Path("test"), prepared.test)
    np.testing.assert_array_equal(read_split(Path("test")).group, prepared.test.group)
    own = prepared.findings.as_json()["own"]
    assert own["passed_over"] == {".heic (pip install pillow-heif)": 1, ".txt": 1}
    assert (own["depth"], own["deep_files"]) == (12, 54)
    assert (own["groups"], own["groups_in_both"], own["groups_in_both_count"]) == (5, ["q"], 1)
    assert (own["folds"], own["validates"]) == (4, 9) and own["few"] == [
        *few_images(9, 18),
        "All images that validate are of one group: intervals tell nothing.",
        "Only 2 groups of images test: intervals will be wide.",
    ]
    said = capsys.readouterr().out
    assert "4 folds instead of 12 (split.folds): class " in said and own["few"][0] in said
    with pytest.raises(ValueError, match="1 groups have training and test images, such as q"):
        read_dataset("folder", Path("raw/folder"), replace(rule, leaks="refuse"))


def test_other_data_sets_have_none(tmp_path):
    download(DATASETS["digits"], tmp_path, mirror=None)
    assert "own" not in read_dataset("digits", tmp_path).findings.as_json()
