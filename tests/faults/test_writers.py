"""Failing disks: whichever file operation fails, the old file stays and nothing else is left."""

import errno
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from thumbnets.artifacts import (
    write_array,
    write_arrays,
    write_bytes,
    write_csv,
    write_json,
    write_text,
)
from thumbnets.data.arrays import Split, write_split
from thumbnets.data.dataset import Archive, Files
from thumbnets.data.download import download
from thumbnets.data.folder import list_images
from thumbnets.data.listed import FolderRule
from thumbnets.data.readers import on_disk
from thumbnets.export import export
from thumbnets.methods.weights import save_weights
from thumbnets.models import create_model
from thumbnets.trained import Trained
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.classifier import Classifier

from .kinds import LABELS, META, RNG, _settings

CONTENT = b"content"
DIGEST = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"


class Disk:
    """Counts operations on files that are written, and lets the n-th fail.

    Attributes:
        failing: Number of the first operation that fails; None for none.
        lasting: Whether all later ones fail too, as on a disk that became read-only.
        number: The error.
        done: Operations so far.
    """

    def __init__(self) -> None:
        self.failing: int | None = None
        self.lasting, self.number, self.done = False, errno.ENOSPC, 0

    def operation(self, *names: object) -> None:
        """Count one operation, or let it fail; an error of the system has the name it was given."""
        self.done += 1
        failing = self.failing is not None and (
            self.done >= self.failing if self.lasting else self.done == self.failing
        )
        if failing:
            raise OSError(self.number, os.strerror(self.number), *map(str, names[:1]))

    def counted(self, function: Callable) -> Callable:
        """A function of `os` that is counted."""

        def call(*arguments, **options):
            self.operation(*arguments)
            return function(*arguments, **options)

        return call

    def opened(self, function: Callable) -> Callable:
        """`open`, whose files are counted if they are written."""

        def call(file, mode="r", *arguments, **options):
            if "r" in mode and "+" not in mode:
                return function(file, mode, *arguments, **options)
            self.operation(file)
            return Written(function(file, mode, *arguments, **options), self)

        return call


class Written:
    """A file whose writing and closing are counted."""

    def __init__(self, file, disk: Disk) -> None:
        self._file, self._disk, self._buffered = file, disk, False

    def __getattr__(self, name: str):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.__exit__(*error)
        if error[0] is None and self._buffered:
            self._disk.operation()

    def write(self, content) -> int:
        self._disk.operation()
        self._buffered = True
        return self._file.write(content)

    def flush(self) -> None:
        self._disk.operation()
        self._buffered = False
        self._file.flush()


@pytest.fixture
def disk(monkeypatch) -> Disk:
    disk = Disk()
    for name in ("replace", "mkdir", "unlink"):
        monkeypatch.setattr(os, name, disk.counted(getattr(os, name)))
    opened = disk.opened(io.open)
    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr("builtins.open", opened)
    temporary = tempfile.TemporaryFile
    monkeypatch.setattr(
        "thumbnets.data.readers.TemporaryFile",
        lambda **options: Written(disk.counted(temporary)(**options), disk),
    )
    return disk


def _network() -> Classifier:
    torch.manual_seed(0)
    return Classifier(create_model("cnn_a", **META.shape), META)


PIXELS = RNG.integers(0, 256, (6, 1, 8, 8), np.uint8)


def _split(folder: Path) -> None:
    images, fold = PIXELS, np.zeros(6, np.int16)
    write_split(folder, Split(images, LABELS.astype(np.int64), META, fold, images))


def _download(folder: Path) -> None:
    archive = Archive("a.bin", DIGEST, len(CONTENT), unpacked=False)
    dataset = Files(name="toy", title="Toy", folder="toy", mirrors=(), archives=(archive,))
    download(dataset, folder, mirror=str(folder.parent / "mirror"))


WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    # name: file or folder that is written, writer
    "bytes": ("a", lambda path: write_bytes(path, CONTENT)),
    "text": ("a.txt", lambda path: write_text(path, "text")),
    "json": ("a.json", lambda path: write_json(path, {"a": 1})),
    "csv": ("a.csv", lambda path: write_csv(path, [{"a": 1}])),
    "npy": ("a.npy", lambda path: write_array(path, LABELS)),
    "npz": ("a.npz", lambda path: write_arrays(path, a=LABELS)),
    "split": ("train", _split),
    "weights": ("0.safetensors", lambda path: save_weights(path, _network(), _settings())),
    "checkpoint": ("0.pt", lambda path: Checkpoint(path, "key", 0).save({"a": 1})),
    "export": ("a.pt", lambda path: export(Trained.of(_network()), "torchscript", path)),
    "list of images": (
        "raw",
        lambda path: list_images(FolderRule(str(path.parent / "images")), path),
    ),
    "on disk": ("scratch", lambda path: on_disk([LABELS], path)),
    "download": ("toy", _download),
}


def _prepare(folder: Path) -> None:
    """What writers read."""
    for label in "ab":
        (folder / "images" / label).mkdir(parents=True)
        for name in range(3):
            Image.new("L", (4, 4), name).save(folder / "images" / label / f"{name}.png")
    (folder / "mirror/toy").mkdir(parents=True)
    (folder / "mirror/toy/a.bin").write_bytes(CONTENT)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("name", WRITERS)
def test_the_nth_operation_fails(name, number, lasting, disk, tmp_path):
    target, write = WRITERS[name]
    disk.number, disk.lasting = number, lasting
    _prepare(tmp_path)
    before, failing, failed = _files(tmp_path), 0, 0
    while disk.done >= failing:  # till there was no operation left to fail
        failing += 1
        disk.failing, disk.done = failing, 0
        try:
            write(tmp_path / target)
        except OSError as error:
            disk.failing, failed = None, failed + 1
            assert error.errno == number
            assert error.filename, "an error of the disk must name a path"
            place = Path(error.filename)
            assert ".tmp" not in str(place) and "scratch-" not in str(place), "no final name"
            assert place.is_relative_to(tmp_path)
            left = _files(tmp_path)
            if not lasting:  # what can't be removed stays
                assert not [file for file in left if ".tmp" in file or "scratch-" in file]
                count = disk.done
                whole = _whole(write, tmp_path / target, left)
                disk.done = count
                # TorchScript numbers its modules: the same network twice is not the same bytes.
                assert name == "export" or left.items() <= {**before, **whole}.items()
    assert failed > 1


def _whole(write: Callable, path: Path, left: dict[str, bytes]) -> dict[str, bytes]:
    """The files once the writer has succeeded; afterwards they are as before."""
    write(path)
    whole = _files(path.parent)
    for file in whole.keys() - left.keys():
        (path.parent / file).unlink()
    return whole


@pytest.mark.parametrize("name", ["bytes", "json", "npz", "weights", "checkpoint", "export"])
def test_the_old_file_stays(name, disk, tmp_path):
    target, write = WRITERS[name]
    (tmp_path / target).write_bytes(b"old")
    failing = failed = 0
    while disk.done >= failing:
        failing += 1
        disk.failing, disk.done = failing, 0
        try:
            write(tmp_path / target)
        except OSError:
            failed += 1
            assert _files(tmp_path) == {target: b"old"}
        else:
            count, disk.failing = disk.done, None
            assert (tmp_path / target).read_bytes() != b"old"
            (tmp_path / target).write_bytes(b"old")
            disk.done = count
    assert failed > 2
