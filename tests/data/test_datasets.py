"""The table of data sets and the readers of their formats, on files made here."""

import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from thumbnets.data.datasets import DATASETS, Split, get_dataset, read_idx
from thumbnets.data.download import download


def idx(array: np.ndarray) -> bytes:
    """Write a uint8 array as the official files are written."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_idx_set(folder: Path, labels: list[int], *, images: int | None = None) -> None:
    """Write four files of the MNIST form, with the same labels in both splits."""
    shape = (len(labels) if images is None else images, 28, 28)
    pixels = (np.arange(np.prod(shape)) % 251).reshape(shape)
    for prefix in ("train", "t10k"):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(pixels))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.array(labels)))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Split]]:
    folder = tmp_path_factory.mktemp("digits")
    download(DATASETS["digits"], folder, mirror=None)
    return folder, DATASETS["digits"].read(folder)


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_each_row_is_filled_in(dataset):
    assert get_dataset(dataset.name) is dataset
    assert len(set(dataset.classes)) == len(dataset.classes) == 10
    assert dataset.mirrors or dataset.bundled
    for archive in dataset.archives:
        assert archive.size > 0 and len(bytes.fromhex(archive.sha256)) == 32
        assert archive.file != archive.name and not archive.file.endswith(".gz")


def test_sizes_are_those_of_the_published_shapes():
    for name in ("fashion_mnist", "mnist"):
        sizes = [archive.size for archive in DATASETS[name].archives]
        assert sizes == [16 + 60_000 * 784, 8 + 60_000, 16 + 10_000 * 784, 8 + 10_000]


def test_table_is_light_to_import():
    # By path, as the package around it may import more.
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print('torch' in sys.modules)"
    source = sys.modules[read_idx.__module__].__file__
    done = subprocess.run([sys.executable, "-c", code, source], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


@pytest.mark.parametrize(
    "wrong, near",
    [("fashion-mnist", "fashion_mnist"), ("MNIST", "mnist"), ("digit", "digits")],
)
def test_unknown_name_gets_the_nearest(wrong, near):
    with pytest.raises(
        ValueError, match=f"Unknown data set '{wrong}'. Did you mean .*{near}.*To add"
    ):
        get_dataset(wrong)


def test_unknown_name_near_to_nothing_gets_all():
    with pytest.raises(ValueError, match=r"'zzz'. Known: fashion_mnist, mnist, digits\."):
        get_dataset("zzz")


@given(
    npst.arrays(np.uint8, st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple)),
)
def test_idx_round_trip(tmp_path_factory, array):
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_bytes(idx(array))
    got = read_idx(path, dims=array.ndim)
    assert got.dtype == np.uint8 and got.shape == array.shape
    np.testing.assert_array_equal(got, array)


GOOD = idx(np.arange(12).reshape(3, 2, 2))


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "got an empty file"),
        (GOOD[:10], "header of 16 bytes, got 0000080300000003"),
        (GOOD[:-1], r"shape \(3, 2, 2\) needs 28 bytes, got 27"),
        (GOOD + b"\0", "needs 28 bytes, got 29"),
        (idx(np.arange(12)), "with 3 dimension.* begins with 00000803"),
        (b"\0\0\x0d\3" + GOOD[4:], "begins with 00000803"),  # 0x0d: float
        (b"\0\0\x08\3" + b"\xff" * 12 + GOOD[16:], "got 28"),
        (b"<!DOCTYPE html><title>Sign in</title>", "begins with 00000803"),
    ],
)
def test_damaged_idx_is_one_line_that_names_the_file(tmp_path, content, said):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as error:
        read_idx(path, dims=3)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_idx_splits(tmp_path, name):
    write_idx_set(tmp_path, [9, 0, 3])
    splits = DATASETS[name].read(tmp_path)
    assert list(splits) == ["train", "test"]
    for split in splits.values():
        assert split.images.shape == (3, 1, 28, 28) and split.images.dtype == np.uint8
        assert split.labels.tolist() == [9, 0, 3] and split.labels.dtype == np.int64
    assert splits["train"].images[1, 0, 2, 5] == (784 + 2 * 28 + 5) % 251


def test_labels_outside_the_classes(tmp_path):
    write_idx_set(tmp_path, [1, 10, 3])
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte: .* in 0\.\.9, got 10\."):
        DATASETS["mnist"].read(tmp_path)
    assert replace(DATASETS["mnist"], classes=tuple("0123456789x")).read(tmp_path)


def test_more_images_than_labels(tmp_path):
    write_idx_set(tmp_path, [1, 2, 3], images=4)
    with pytest.raises(ValueError, match="labels-idx1-ubyte: 4 images need as many labels, got 3"):
        DATASETS["mnist"].read(tmp_path)


def test_missing_file_is_named(tmp_path):
    write_idx_set(tmp_path, [1])
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-images-idx3-ubyte"):
        DATASETS["mnist"].read(tmp_path)


def test_digits_split(digits):
    train, test = digits[1]["train"], digits[1]["test"]
    assert train.images.shape == (1437, 1, 28, 28) and test.images.shape == (360, 1, 28, 28)
    counts = np.bincount(train.labels) + np.bincount(test.labels)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as UCI says
    assert np.abs(np.bincount(test.labels) - counts / 5).max() < 1


def test_digits_keep_the_order_of_the_file(digits):
    folder, splits = digits
    rows = np.loadtxt(folder / "digits.csv", delimiter=",", dtype=int)
    small = np.rint(rows[:, :64] * 255 / 16).astype(np.uint8).tolist()
    place = {tuple(pixels): i for i, pixels in enumerate(small)}  # no image is there twice
    assert len(place) == 1797
    found = {
        name: [place[tuple(i[0, 2:26:3, 2:26:3].ravel().tolist())] for i in split.images]
        for name, split in splits.items()
    }
    assert found["train"] == sorted(found["train"]) and found["test"] == sorted(found["test"])
    assert sorted(found["train"] + found["test"]) == list(range(1797))
    for name, split in splits.items():
        assert split.labels.tolist() == rows[found[name], 64].tolist()


def test_digits_rule_on_pixels(tmp_path):
    # Ten images, one a class and split: only pixel (0, 2) = 5 and pixel (7, 7) = 8 are set.
    row = ["0"] * 64
    row[2], row[63] = "5", "8"
    lines = [",".join([*row, str(label)]) for label in (0, 1) for _ in range(5)]
    (tmp_path / "digits.csv").write_text("\n".join(lines) + "\n")
    splits = DATASETS["digits"].read(tmp_path)
    assert np.bincount(splits["test"].labels).tolist() == [1, 1]
    image = splits["train"].images[0, 0]
    # 5 / 16 * 255 = 79.69 -> 80, in rows 2..4 and columns 2 + 2 * 3 = 8..10
    assert (image[2:5, 8:11] == 80).all()
    assert image[1, 8] == image[5, 8] == image[2, 7] == image[2, 11] == 0
    # 8 / 16 * 255 = 127.5 -> 128, in the last three rows and columns before the border
    assert (image[23:26, 23:26] == 128).all() and not image[26:].any() and not image[:, 26:].any()
    assert np.count_nonzero(image) == 18


@pytest.mark.parametrize("pixel", ["17", "-1"])
def test_digits_pixel_out_of_range(tmp_path, pixel):
    line = ",".join([pixel, *["0"] * 64])
    (tmp_path / "digits.csv").write_text(f"{line}\n" * 10)
    with pytest.raises(ValueError, match=r"digits.csv: each line must have 64 pixels in 0\.\.16"):
        DATASETS["digits"].read(tmp_path)
