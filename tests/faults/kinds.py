"""Every kind of file that the project reads: how to make a good one, and what reads it."""

import bz2
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import scipy.io
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import datasets as torchvision_sets

from tests.conftest import QUICK
from thumbnets import paths
from thumbnets.api import read_as_trained
from thumbnets.artifacts import (
    read_array,
    read_arrays,
    read_json,
    write_array,
    write_arrays,
    write_csv,
    write_json,
)
from thumbnets.data.arrays import Meta, Split, read_split, write_split
from thumbnets.data.corrections import read_corrections
from thumbnets.data.datasets import DATASETS
from thumbnets.data.folder import read_list
from thumbnets.data.readers import read_idx
from thumbnets.evaluation.predictions import read_predictions
from thumbnets.methods.distill import read_teacher
from thumbnets.methods.weights import load_weights, save_weights
from thumbnets.models import create_model
from thumbnets.report.records import read_curve, read_findings
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.classifier import Classifier
from thumbnets.training.pretrained import take_weights
from thumbnets.training.settings import ModelSettings
from thumbnets.yaml_files import read_yaml

META = Meta("toy", ["dark", "left", "right"], 1, 8, [0.2], [0.3], [2, 2, 2], "0" * 64)
RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: Its name in the table.
        make: Writes a good file, and what else its reader needs, into an empty folder; gives the
            path of the file.
        read: Reads the file.
        unwrap: Takes the content out of its compression or archive, to be damaged inside.
        wrap: Puts it in again.
        checked: Whether a checksum must find every change.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    unwrap: Callable[[bytes], bytes] | None = None
    wrap: Callable[[bytes], bytes] | None = None
    checked: bool = False


def _idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


IMAGES = RNG.integers(0, 256, (6, 28, 28), np.uint8)
LABELS = np.arange(6) % 3


def _write(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _emnist(images: bytes = gzip.compress(_idx(IMAGES))) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in ("train", "test"):
            stem = f"gzip/emnist-digits-{part}"
            archive.writestr(f"{stem}-images-idx3-ubyte.gz", images)
            archive.writestr(f"{stem}-labels-idx1-ubyte.gz", gzip.compress(_idx(LABELS)))
    return content.getvalue()


def _tar(folder: str, files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return content.getvalue()


def _stl10() -> bytes:
    pixels = RNG.integers(0, 256, (2, 3, 96, 96), np.uint8).tobytes()
    files = {f"{part}_X.bin": pixels for part in ("train", "test")}
    files |= {f"{part}_y.bin": bytes([1, 10]) for part in ("train", "test")}
    return gzip.compress(_tar("stl10_binary", files), 1)


def _cifar() -> Kind:
    reader, files = torchvision_sets.CIFAR10, {}
    for name, _ in (*reader.train_list, *reader.test_list):
        batch = {"data": RNG.integers(0, 256, (2, 3072), np.uint8), "labels": [0, 1]}
        files[name] = pickle.dumps(batch, protocol=2)
    meta = dict(reader.meta)
    files[meta["filename"]] = pickle.dumps({meta["key"]: ["a", "b"]}, protocol=2)
    meta["md5"] = hashlib.md5(files[meta["filename"]]).hexdigest()

    def checksums(names: list) -> list:
        return [[name, hashlib.md5(files[name]).hexdigest()] for name, _ in names]

    known = {
        "train_list": checksums(reader.train_list),
        "test_list": checksums(reader.test_list),
        "meta": meta,
    }

    def read(path: Path) -> object:
        with patch.multiple(reader, **known):
            return DATASETS["cifar10"].read(path.parent)

    archive = gzip.compress(_tar(reader.base_folder, files))
    return Kind(
        "CIFAR .tar.gz", _write(reader.filename, archive), read, gzip.decompress, gzip.compress
    )


def _svhn() -> Kind:
    reader, files = torchvision_sets.SVHN, {}
    for name in ("train", "test"):
        content = io.BytesIO()
        table = {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1], [10]], np.uint8)}
        scipy.io.savemat(content, table)
        files[f"{name}_32x32.mat"] = content.getvalue()
    known = {
        name: ["", f"{name}_32x32.mat", hashlib.md5(files[f"{name}_32x32.mat"]).hexdigest()]
        for name in ("train", "test")
    }

    def make(folder: Path) -> Path:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return folder / "train_32x32.mat"

    def read(path: Path) -> object:
        with patch.object(reader, "split_list", known):
            return DATASETS["svhn"].read(path.parent)

    return Kind("SVHN .mat", make, read, checked=True)


def _usps(folder: Path) -> Path:
    lines = [f"{label + 1} {' '.join(f'{i}:0.5' for i in range(256))}" for label in LABELS]
    for name in ("usps.bz2", "usps.t.bz2"):
        (folder / name).write_bytes(bz2.compress("\n".join(lines).encode()))
    return folder / "usps.bz2"


def _digits() -> bytes:
    lines = [",".join(["7"] * 64 + [str(label)]) for label in (0, 1) for _ in range(5)]
    return "\n".join(lines).encode()


def _npz(write: Callable[[Path], None], name: str = "a.npz") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        write(path)
        return path

    return make


def _first_member(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(archive.namelist()[0])


def _with_first_member(make: Callable[[Path], Path]) -> Callable[[bytes], bytes]:
    """Puts a member into the archive that `make` writes."""

    def wrap(member: bytes) -> bytes:
        with TemporaryDirectory() as folder:
            good = make(Path(folder)).read_bytes()
        content = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(good)) as archive,
            zipfile.ZipFile(content, "w") as changed,
        ):
            first, *others = archive.namelist()
            changed.writestr(first, member)
            for name in others:
                changed.writestr(name, archive.read(name))
        return content.getvalue()

    return wrap


def _archive(name: str, make: Callable[[Path], Path], read: Callable[[Path], object]) -> Kind:
    return Kind(name, make, read, _first_member, _with_first_member(make))


def _split(file: str) -> Kind:
    def make(folder: Path) -> Path:
        images, fold = RNG.integers(0, 256, (6, 1, 8, 8), np.uint8), np.zeros(6, np.int16)
        write_split(folder, Split(images, LABELS.astype(np.int64), META, fold))
        return folder / file

    return Kind(f"processed {file}", make, lambda path: read_split(path.parent))


def _settings() -> ModelSettings:
    return ModelSettings.model_validate(
        {"name": "toy", "arch": "cnn_a", "options": {}, "train": QUICK, "rotate": False}
    )


def _weights(folder: Path) -> Path:
    network = create_model("cnn_a", **META.shape)
    save_weights(folder / "0.safetensors", Classifier(network, META), _settings())
    return folder / "0.safetensors"


def _lenet() -> torch.nn.Module:
    return create_model("lenet5", in_channels=1, image_size=28, num_classes=10)


def _pretrained(name: str, save: Callable[[dict, Path], None]) -> Kind:
    def make(folder: Path) -> Path:
        suffix = ".safetensors" if save is save_file else ".pth"
        save(_lenet().state_dict(), folder / f"w{suffix}")
        return folder / f"w{suffix}"

    network = _lenet()
    return Kind(name, make, lambda path: take_weights(network, path))


def _save_legacy(state: dict, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def _checkpoint(folder: Path) -> Path:
    Checkpoint(folder / "0.pt", "key", 0).save({"tensor": torch.arange(5.0), "list": [1, "a"]})
    return folder / "0.pt"


def _resume(path: Path) -> object:
    state = Checkpoint(path, "key", 0).load()
    if state is None:  # which begins the training anew
        raise ValueError(f"{path}: no checkpoint")
    return state


def _predictions(path: Path) -> None:
    write_arrays(path, logits=RNG.normal(size=(1, 6, 3)), labels=LABELS, seeds=np.array([0]))


def _read_predictions(path: Path) -> object:
    with chdir(path.parents[2]):
        return read_predictions(path.stem)


def _make_predictions(folder: Path) -> Path:
    path = folder / paths.test_predictions("toy")
    _predictions(path)
    return path


def _teacher(path: Path) -> None:
    write_arrays(
        path,
        log_probabilities=np.zeros((1, 6, 3), np.float32),
        views=np.array("none"),
        classes=np.array(["a", "b", "c"]),
        sha256=np.array("0" * 64),
    )


def _image(file_format: str) -> Kind:
    def make(folder: Path) -> Path:
        path = folder / f"a.{file_format}"
        Image.fromarray(RNG.integers(0, 256, (20, 16, 3), np.uint8)).save(path)
        return path

    return Kind(f"image .{file_format}", make, lambda path: read_as_trained(path, META))


def _rows(name: str, rows: list[dict], read: Callable[[Path], object]) -> Kind:
    return Kind(name, _npz(lambda path: write_csv(path, rows), "a.csv"), read)


COLUMNS = ("train_loss", "validation_loss")
FINDINGS = {"train": [3, 3], "test": [1, 1], "repeated": 0, "leaked": 1, "examples": [["1", "2"]]}
YAML = b"model: a\npool: [a, b]\nmodels:\n  a: {arch: cnn_a, lr: 1e-3}\n  b: &b {arch: x}\nc: *b\n"

KINDS = [
    Kind("IDX", _write("a", _idx(IMAGES)), lambda path: read_idx(path, dims=3)),
    Kind(
        "IDX .gz",
        _write("a.gz", gzip.compress(_idx(IMAGES))),
        lambda path: read_idx(path, dims=3),
        gzip.decompress,
        gzip.compress,
    ),
    Kind(
        "EMNIST .zip",
        _write("gzip.zip", _emnist()),
        lambda path: DATASETS["emnist_digits"].read(path.parent),
        _first_member,
        _emnist,
    ),
    _cifar(),
    _svhn(),
    Kind(
        "STL-10 .tar.gz",
        _write("stl10_binary.tar.gz", _stl10()),
        lambda path: DATASETS["stl10"].read(path.parent),
        gzip.decompress,
        lambda content: gzip.compress(content, 1),
    ),
    Kind(
        "USPS .bz2",
        _usps,
        lambda path: DATASETS["usps"].read(path.parent),
        bz2.decompress,
        bz2.compress,
    ),
    Kind(
        "digits .csv",
        _write("digits.csv", _digits()),
        lambda path: DATASETS["digits"].read(path.parent),
    ),
    _rows(
        "list of images .csv",
        [{"part": "", "label": "a", "file": "a/1.png", "sha256": "0" * 64}] * 3,
        read_list,
    ),
    _rows(
        "corrections .csv",
        [{"checksum": f"{n:032x}", "old_label": "a", "new_label": "b"} for n in range(3)],
        lambda path: read_corrections(path, ("a", "b")),
    ),
    *map(_image, ("png", "jpg", "bmp", "webp", "tif")),
    *map(_split, ("images.npy", "labels.npy", "fold.npy", "meta.json")),
    Kind("array .npy", _npz(lambda path: write_array(path, LABELS), "a.npy"), read_array),
    _archive("arrays .npz", _npz(_teacher), read_arrays),
    _archive("teacher .npz", _npz(_teacher), lambda path: read_teacher(path, "run `make teacher`")),
    _archive("predictions .npz", _make_predictions, _read_predictions),
    Kind("metrics .json", _npz(lambda path: write_json(path, {"a": [0.5, {"b": 1}]})), read_json),
    Kind("findings .json", _npz(lambda path: write_json(path, FINDINGS)), read_findings),
    _rows(
        "learning curve .csv",
        [{"epoch": 1, "train_loss": 0.5, "validation_loss": 0.6}] * 3,
        lambda path: read_curve(path, COLUMNS),
    ),
    Kind(
        "weights .safetensors",
        _weights,
        lambda path: load_weights(path, torch.device("cpu")),
        checked=True,
    ),
    Kind("checkpoint .pt", _checkpoint, _resume, checked=True),
    _pretrained("pretrained .safetensors", save_file),
    _pretrained("pretrained .pth", torch.save),
    _pretrained("pretrained .pth before torch 1.6", _save_legacy),
    Kind("settings .yaml", _write("params.yaml", YAML), read_yaml),
]
