"""The readers of published formats: on files made here, and fetched from a server on loopback."""

import bz2
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torchvision import datasets as torchvision_sets

from thumbnets.data.datasets import DATASETS, Archive, Dataset
from thumbnets.data.download import download
from thumbnets.data.readers import Content, on_disk, read_idx


def idx(array: np.ndarray) -> bytes:
    """Write a uint8 or int32 array as the official files are written."""
    code, kind = (8, "u1") if array.dtype == np.uint8 else (12, ">i4")
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(kind).tobytes()


def write_idx_set(folder: Path, labels: list[int], *, images: int | None = None) -> None:
    """Write four files of the MNIST form, with the same labels in both splits."""
    shape = (len(labels) if images is None else images, 28, 28)
    pixels = (np.arange(np.prod(shape)) % 251).reshape(shape).astype(np.uint8)
    for prefix in ("train", "t10k"):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(pixels))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.array(labels, np.uint8)))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Content]:
    folder = tmp_path_factory.mktemp("digits")
    download(DATASETS["digits"], folder, mirror=None)
    return folder, DATASETS["digits"].read(folder)


@given(
    npst.arrays(np.uint8, st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple)),
)
def test_idx_round_trip(tmp_path_factory, array):
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_bytes(idx(array))
    got = read_idx(path, dims=array.ndim)
    assert got.dtype == np.uint8 and got.shape == array.shape
    np.testing.assert_array_equal(got, array)


GOOD = idx(np.arange(12, dtype=np.uint8).reshape(3, 2, 2))


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "got an empty file"),
        (GOOD[:10], "header of 16 bytes .*got 00000803000000030000"),
        (GOOD[:-1], r"shape \(3, 2, 2\) needs 28 bytes, got at most 27"),
        (GOOD + b"\0", "12 bytes must follow its header, got more"),
        (idx(np.arange(12, dtype=np.uint8)), "begins with 00000803 and a header of 16 bytes"),
        (b"\0\0\x0d\3" + GOOD[4:], "begins with 00000803"),  # 0x0d: float
        (b"\0\0\x08\3" + b"\xff" * 12 + GOOD[16:], "got at most 28"),
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
    for split in splits.parts.values():
        assert split.images.shape == (3, 1, 28, 28) and split.images.dtype == np.uint8
        assert split.labels.tolist() == [9, 0, 3] and split.labels.dtype == np.int64
    assert splits.train.images[1, 0, 2, 5] == (784 + 2 * 28 + 5) % 251


def test_labels_outside_the_classes(tmp_path):
    write_idx_set(tmp_path, [1, 10, 3])
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte: .* in 0\.\.9, got 10\."):
        DATASETS["mnist"].read(tmp_path)
    assert replace(DATASETS["mnist"], classes=tuple("0123456789x")).read(tmp_path).train


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
    train, test = digits[1].train, digits[1].test
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
        for name, split in splits.parts.items()
    }
    assert found["train"] == sorted(found["train"]) and found["test"] == sorted(found["test"])
    assert sorted(found["train"] + found["test"]) == list(range(1797))
    for name, split in splits.parts.items():
        assert split.labels.tolist() == rows[found[name], 64].tolist()


def test_digits_rule_on_pixels(tmp_path):
    # Ten images, one a class and split: only pixel (0, 2) = 5 and pixel (7, 7) = 8 are set.
    row = ["0"] * 64
    row[2], row[63] = "5", "8"
    lines = [",".join([*row, str(label)]) for label in (0, 1) for _ in range(5)]
    (tmp_path / "digits.csv").write_text("\n".join(lines) + "\n")
    splits = DATASETS["digits"].read(tmp_path)
    assert np.bincount(splits.test.labels).tolist() == [1, 1]
    image = splits.train.images[0, 0]
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
    with pytest.raises(ValueError, match=r"digits.csv is damaged \(each line must have 64 pix"):
        DATASETS["digits"].read(tmp_path)


# The formats of all data sets, as tiny archives.

Files = dict[str, bytes]
Images = dict[str, np.ndarray]  # by part: uint8 [N, C, H, W]
Labels = dict[str, np.ndarray]


def mnist_form(images: Images, labels: Labels) -> Files:
    files = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        files[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(idx(images[part][:, 0]))
        files[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels[part].astype(np.uint8)))
    return files


def qmnist_form(images: Images, labels: Labels) -> Files:
    files = {}
    for part in images:
        info = np.full((len(labels[part]), 8), 77, np.int32)
        info[:, 0] = labels[part]
        files[f"qmnist-{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(images[part][:, 0]))
        files[f"qmnist-{part}-labels-idx2-int.gz"] = gzip.compress(idx(info))
    return files


def emnist_form(images: Images, labels: Labels, *, kind: str, first: int = 0) -> Files:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("gzip/emnist-mnist-mapping.txt", "0 48")
        for part in images:
            stem = f"gzip/emnist-{kind}-{part}"
            lying = np.ascontiguousarray(images[part][:, 0].swapaxes(1, 2))
            numbers = (labels[part] + first).astype(np.uint8)
            archive.writestr(f"{stem}-images-idx3-ubyte.gz", gzip.compress(idx(lying)))
            archive.writestr(f"{stem}-labels-idx1-ubyte.gz", gzip.compress(idx(numbers)))
    return {"gzip.zip": content.getvalue()}


def tar_of(folder: str, files: Files) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return content.getvalue()


@pytest.fixture
def cifar_form(monkeypatch) -> Callable[..., Files]:
    """Makes an archive, and lets torchvision know its files' checksums."""

    def make(images: Images, labels: Labels, *, kind: str) -> Files:
        reader, key = (
            getattr(torchvision_sets, kind),
            "labels" if kind == "CIFAR10" else "fine_labels",
        )
        files, lists = {}, {"train": [], "test": []}
        for part, names in (("train", reader.train_list), ("test", reader.test_list)):
            rows = np.array_split(np.arange(len(labels[part])), len(names))
            for (name, _), row in zip(names, rows, strict=True):
                flat = images[part][row].reshape(len(row), -1)
                batch = {"data": flat, key: labels[part][row].tolist(), "coarse_labels": [9]}
                files[name] = pickle.dumps(batch, protocol=2)
                lists[part].append([name, hashlib.md5(files[name]).hexdigest()])
        meta = dict(reader.meta)
        classes = [f"class {i}" for i in range(100)]
        files[meta["filename"]] = pickle.dumps({meta["key"]: classes}, protocol=2)
        meta["md5"] = hashlib.md5(files[meta["filename"]]).hexdigest()
        for name, value in {
            "train_list": lists["train"],
            "test_list": lists["test"],
            "meta": meta,
        }.items():
            monkeypatch.setattr(reader, name, value)
        return {reader.filename: tar_of(reader.base_folder, files)}

    return make


@pytest.fixture
def svhn_form(monkeypatch) -> Callable[..., Files]:
    """Makes .mat files, and lets torchvision know their checksums."""

    def make(images: Images, labels: Labels, *, extra: bool = False) -> Files:
        half = len(labels["train"]) // 2
        whole = {"train": slice(None, half), "extra": slice(half, None)} if extra else {}
        files, known = {}, {}
        for split in ("train", "test", *["extra"] * extra):
            rows, of = whole.get(split, slice(None)), "train" if split == "extra" else split
            content = io.BytesIO()
            # Height, width, channel, image; the digit 0 is called 10.
            pixels, numbers = images[of][rows].transpose(2, 3, 1, 0), labels[of][rows].copy()
            numbers[numbers == 0] = 10
            table = {"X": pixels, "y": numbers[:, None].astype(np.uint8)}
            scipy.io.savemat(content, table, do_compression=True)
            name = f"{split}_32x32.mat"
            files[name] = content.getvalue()
            known[split] = ["", name, hashlib.md5(files[name]).hexdigest()]
        monkeypatch.setattr(torchvision_sets.SVHN, "split_list", known)
        return files

    return make


def stl10_form(images: Images, labels: Labels, *, unlabelled: np.ndarray) -> Files:
    files = {"class_names.txt": b"airplane\n", "unlabeled_X.bin": by_column(unlabelled)}
    for part in images:
        files[f"{part}_X.bin"] = by_column(images[part])
        files[f"{part}_y.bin"] = (labels[part] + 1).astype(np.uint8).tobytes()
    return {"stl10_binary.tar.gz": tar_of("stl10_binary", files)}


def by_column(images: np.ndarray) -> bytes:
    return images.swapaxes(2, 3).tobytes()


def usps_form(images: Images, labels: Labels) -> Files:
    """Pixels of -1..1, here those that a byte b stands for: (b + 0.5) / 127.5 - 1."""
    files = {}
    for part, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        lines = []
        for image, label in zip(images[part], labels[part], strict=True):
            pixels = (image.ravel() + 0.5) / 127.5 - 1
            line = " ".join(f"{i}:{value:.5f}" for i, value in enumerate(pixels, 1))
            lines.append(f"{label + 1} {line} \n")
        files[name] = bz2.compress("".join(lines).encode())
    return files


FORMS = {  # name: channels, side, classes
    "fashion_mnist": (1, 28, 10),
    "mnist": (1, 28, 10),
    "kmnist": (1, 28, 10),
    "qmnist": (1, 28, 10),
    "emnist_balanced": (1, 28, 47),
    "emnist_letters": (1, 28, 26),
    "emnist_digits": (1, 28, 10),
    "cifar10": (3, 32, 10),
    "cifar100": (3, 32, 100),
    "svhn": (3, 32, 10),
    "svhn_extra": (3, 32, 10),
    "stl10": (3, 96, 10),
    "stl10_unlabelled": (3, 96, 10),
    "usps": (1, 16, 10),
}


def test_every_data_set_that_is_fetched_has_its_form_here():
    fetched = {d.name for d in DATASETS.values() if isinstance(d, Dataset) and d.mirrors}
    assert fetched == set(FORMS)
    shapes = {name: tuple(DATASETS[name].shape.values()) for name in FORMS}
    assert shapes == FORMS


@pytest.mark.parametrize("name", FORMS)
def test_from_a_server_to_arrays(name, server, tmp_path, cifar_form, svhn_form):
    channels, side, classes = FORMS[name]
    rng = np.random.default_rng(0)
    sizes = {"train": 12, "test": 7}
    images = {
        part: rng.integers(0, 255, (n, channels, side, side), np.uint8) for part, n in sizes.items()
    }
    labels = {part: rng.integers(0, classes, n) for part, n in sizes.items()}
    labels["train"][:2], labels["test"][:2] = [0, classes - 1], [classes - 1, 0]
    unlabelled = rng.integers(0, 256, (5, 3, 96, 96), np.uint8)
    kind = name.partition("_")[2]
    form = {
        "qmnist": lambda: qmnist_form(images, labels),
        "emnist": lambda: emnist_form(images, labels, kind=kind, first=int(kind == "letters")),
        "cifar10": lambda: cifar_form(images, labels, kind="CIFAR10"),
        "cifar100": lambda: cifar_form(images, labels, kind="CIFAR100"),
        "svhn": lambda: svhn_form(images, labels, extra=kind == "extra"),
        "stl10": lambda: stl10_form(images, labels, unlabelled=unlabelled),
        "usps": lambda: usps_form(images, labels),
    }.get(name.partition("_")[0], lambda: mnist_form(images, labels))
    files = form()
    dataset = served(DATASETS[name], files)
    server.files, server.worst = files, dataset.archives[0].name
    server.tricks = ["503", "cut", "stall"]
    dataset = replace(dataset, mirrors=(server.address,))
    download(dataset, tmp_path / name, mirror=None)
    content = dataset.read(tmp_path / name)
    assert not server.tricks and len(content.classes) == classes
    for part, read in content.parts.items():
        np.testing.assert_array_equal(np.asarray(read.images), images[part], strict=True)
        assert read.labels.dtype == np.int64 and read.labels.tolist() == labels[part].tolist()
    assert (content.unlabelled is not None) == (kind == "unlabelled")
    if content.unlabelled is not None:
        np.testing.assert_array_equal(content.unlabelled, unlabelled)
    assert side == dataset.image_size
    assert [p.name for p in tmp_path.iterdir()] == [name]  # nothing unpacked is left


def served(dataset: Dataset, files: Files) -> Dataset:
    """The row with the sizes and checksums of these files."""

    def described(archive: Archive) -> Archive:
        body = files[archive.name]
        content = gzip.decompress(body) if archive.unpacked else body
        size = len(content) if archive.size else None
        return replace(archive, sha256=hashlib.sha256(content).hexdigest(), size=size)

    assert {archive.name for archive in dataset.archives} == set(files)
    return replace(dataset, archives=tuple(map(described, dataset.archives)))


def test_altered_bytes_in_an_archive_are_refused(server, tmp_path):
    files = stl10_form(
        {part: np.zeros((2, 3, 96, 96), np.uint8) for part in ("train", "test")},
        {part: np.array([0, 1]) for part in ("train", "test")},
        unlabelled=np.zeros((1, 3, 96, 96), np.uint8),
    )
    dataset = replace(served(DATASETS["stl10"], files), mirrors=(server.address,))
    [(name, body)] = files.items()
    server.files = {name: body[:-20] + bytes([body[-20] ^ 1]) + body[-19:]}
    with pytest.raises(ValueError, match="wrong SHA-256"):
        download(dataset, tmp_path / "stl10", mirror=None)


def test_a_file_that_is_not_torchvisions_is_refused(tmp_path, cifar_form, monkeypatch):
    parts = {
        "train": np.zeros((5, 3, 32, 32), np.uint8),
        "test": np.zeros((1, 3, 32, 32), np.uint8),
    }
    labels = {"train": np.arange(5), "test": np.array([1])}
    (tmp_path / "raw").mkdir()
    for name, body in cifar_form(parts, labels, kind="CIFAR10").items():
        (tmp_path / "raw" / name).write_bytes(body)
    monkeypatch.setattr(torchvision_sets.CIFAR10, "test_list", [["test_batch", "0" * 32]])
    with pytest.raises(ValueError, match="cifar-10-python.tar.gz is damaged .Dataset not found"):
        DATASETS["cifar10"].read(tmp_path / "raw")


def test_a_file_missing_in_an_archive_is_named(tmp_path):
    (tmp_path / "raw").mkdir()
    body = tar_of("stl10_binary", {"train_X.bin": b"", "test_X.bin": b"", "train_y.bin": b""})
    (tmp_path / "raw/stl10_binary.tar.gz").write_bytes(body)
    with pytest.raises(ValueError, match=r"stl10_binary.tar.gz is damaged \(it lacks test_y.bin\)"):
        DATASETS["stl10"].read(tmp_path / "raw")


def test_arrays_on_disk_are_joined(tmp_path):
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (2_500, 2, 3), np.uint8)
    joined = on_disk((whole[:1_200], whole[1_200:].swapaxes(1, 2).copy().swapaxes(1, 2)), tmp_path)
    np.testing.assert_array_equal(joined, whole)
    assert list(tmp_path.iterdir()) == []
