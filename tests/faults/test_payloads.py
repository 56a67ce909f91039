"""Malicious files: no code runs, nothing is written elsewhere, a small one takes little memory."""

import gzip
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from thumbnets.artifacts import read_array, read_arrays, read_json, write_json
from thumbnets.choices import explain
from thumbnets.data.archives import unpack_tar
from thumbnets.data.arrays import read_meta
from thumbnets.data.datasets import DATASETS
from thumbnets.data.folder import FolderRule, read_folder, read_list
from thumbnets.data.images import read_image
from thumbnets.data.readers import read_idx
from thumbnets.messages import LONGEST_QUOTE
from thumbnets.models import create_model
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.pretrained import take_weights
from thumbnets.training.settings import TrainSettings
from thumbnets.yaml_files import read_yaml

from .kinds import META

LENET = {"in_channels": 1, "image_size": 28, "num_classes": 10}


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture
def trap(tmp_path):
    """What does harm when unpickled; afterwards it must not have been."""
    yield Trap(tmp_path / "trapped")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_pickles_among_weights_are_not_run(trap, tmp_path, legacy):
    torch.save({"a": trap}, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match="w.pth is damaged .Weights only load failed"):
        take_weights(create_model("lenet5", **LENET), tmp_path / "w.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_bare_pickle_is_not_run(trap, tmp_path, suffix):
    (tmp_path / f"w{suffix}").write_bytes(pickle.dumps(trap))
    with pytest.raises(ValueError, match="is damaged"):
        take_weights(create_model("lenet5", **LENET), tmp_path / f"w{suffix}")


def test_objects_in_arrays_are_not_unpickled(trap, tmp_path):
    np.save(tmp_path / "a.npy", np.array([trap], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects, which are never unpickled"):
        read_array(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.write(tmp_path / "a.npy", "a.npy")
        archive.writestr("b.npy", pickle.dumps(trap))
    with pytest.raises(ValueError, match="Python objects, which are never unpickled"):
        read_arrays(tmp_path / "a.npz")


def test_a_checkpoint_that_is_not_ours_is_not_opened(trap, tmp_path):
    torch.save({"a": trap}, tmp_path / "0.pt")
    assert Checkpoint(tmp_path / "0.pt", "key", 0).load() is None


def test_yaml_tags_are_not_run(tmp_path):
    command = f"mkdir {tmp_path / 'trapped'}"
    for tag in ("python/object/apply:os.system", "python/object/new:os.system"):
        (tmp_path / "a.yaml").write_text(f'a: !!{tag} ["{command}"]')
        with pytest.raises(ValueError, match=r"a\.yaml, line 1: not valid YAML"):
            read_yaml(tmp_path / "a.yaml")
    assert not (tmp_path / "trapped").exists()


def test_a_replaced_pickle_of_cifar_is_not_opened(trap, tmp_path):
    from torchvision.datasets import CIFAR10

    names = [name for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list)]
    names.append(CIFAR10.meta["filename"])
    (tmp_path / "raw").mkdir()
    with tarfile.open(tmp_path / "raw" / CIFAR10.filename, "w:gz") as archive:
        for name in names:
            body = pickle.dumps(trap)
            member = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    with pytest.raises(ValueError, match="cifar-10-python.tar.gz is damaged .Dataset not found"):
        DATASETS["cifar10"].read(tmp_path / "raw")


# Names that lead elsewhere


def _tar(path: Path, *members: tarfile.TarInfo, body: bytes = b"evil") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            member.size = len(body) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(body) if member.isreg() else None)
    return path


@pytest.mark.parametrize("name", ["../a", "/tmp/thumbnets-evil", "set/../../a", "set//a", "./../a"])
def test_a_tar_member_is_written_nowhere_else(tmp_path, name):
    path = _tar(tmp_path / "a.tar.gz", tarfile.TarInfo(name))
    (tmp_path / "in" / "set").mkdir(parents=True)
    with pytest.raises(ValueError, match="it lacks a"):
        unpack_tar(path, "set", ["a"], tmp_path / "in" / "set", longest=100)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.tar.gz"]
    assert not Path("/tmp/thumbnets-evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, b"6", b"5"])
def test_links_and_devices_are_refused(tmp_path, kind):
    link = tarfile.TarInfo("set/a")
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(ValueError, match="must be a regular file"):
        unpack_tar(_tar(tmp_path / "a.tar.gz", link), "set", ["a"], tmp_path, longest=100)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("file", ["../secret.png", "/etc/passwd", "a/../../b.png"])
def test_a_list_names_no_file_outside_its_folder(tmp_path, file):
    (tmp_path / "files.csv").write_text(f"part,label,file,sha256\ntrain,a,{file},{'0' * 64}\n")
    with pytest.raises(ValueError, match="files.csv is damaged .* must lie in the folder"):
        read_list(tmp_path / "files.csv")
    with pytest.raises(ValueError, match="must lie in the folder"):
        read_folder(tmp_path, FolderRule(str(tmp_path)))


# Small files that are large in memory or on disk

MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
{imports}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    {call}
except (ValueError, OSError) as error:
    print(str(error)[:300].replace(chr(10), " "), file=sys.stderr)
else:
    sys.exit("was read")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def memory(path: Path, imports: str, call: str) -> int:
    """MiB that a refused file has taken, in a process of its own."""
    code = MEMORY.format(imports=imports, call=call)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert path.name in done.stderr or path.parent.name in done.stderr
    return int(done.stdout)


def zeros(length: int) -> bytes:
    """Gzip of that many zeros, from one compressed mebibyte, repeated; its checksum is wrong."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(7) + block * (length >> 20) + packer.flush() + bytes(8)


IDX = "from thumbnets.data.readers import read_idx"
READ_IDX = "read_idx(Path(sys.argv[1]), dims=3)"


def test_idx_longer_than_it_states(tmp_path):
    """2.7 GB in 2.7 MB behind the header of two images; all of it was read."""
    head = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 28, 28)
    (tmp_path / "a.gz").write_bytes(gzip.compress(head) + zeros(2_700_000_000))
    assert memory(tmp_path / "a.gz", IDX, READ_IDX) < 64


def test_idx_that_states_more_than_it_can_have(tmp_path):
    head = struct.pack(">BBBB3I", 0, 0, 8, 3, 3_400_000, 28, 28)
    (tmp_path / "a.gz").write_bytes(gzip.compress(head) + zeros(2_700_000_000))
    assert memory(tmp_path / "a.gz", IDX, READ_IDX) < 64


def test_a_member_of_a_zip_longer_than_it_states(tmp_path):
    (tmp_path / "raw").mkdir()
    head = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 28, 28)
    with zipfile.ZipFile(tmp_path / "raw/gzip.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for part in ("train", "test"):
            for name in ("images-idx3", "labels-idx1"):
                content = gzip.compress(head) + zeros(1 << 30)
                archive.writestr(f"gzip/emnist-digits-{part}-{name}-ubyte.gz", content)
    imports = "from thumbnets.data.datasets import DATASETS"
    call = "DATASETS['emnist_digits'].read(Path(sys.argv[1]).parent)"
    assert memory(tmp_path / "raw/gzip.zip", imports, call) < 64


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_header_of_a_gigabyte(tmp_path, kind):
    """tarfile reads it into memory, whatever its length."""
    header = tarfile.TarInfo("set/a")
    header.type, header.size = kind, 1 << 30
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf(tarfile.USTAR_FORMAT)) + zeros(1 << 30))
    imports = "from thumbnets.artifacts import parsing\n"
    imports += "from thumbnets.data.archives import unpack_tar"
    call = "with parsing(sys.argv[1]): unpack_tar(Path(sys.argv[1]), 'a', ['a'], Path(), longest=9)"
    assert memory(path, imports, call) < 64


def test_a_tar_member_longer_than_allowed_is_not_written(tmp_path):
    path = _tar(tmp_path / "a.tar.gz", tarfile.TarInfo("set/a"), body=bytes(1000))
    with pytest.raises(ValueError, match="has 1,000 bytes, at most 999 fit"):
        unpack_tar(path, "set", ["a"], tmp_path, longest=999)
    assert not (tmp_path / "a").exists()
    unpack_tar(path, "set", ["a"], tmp_path, longest=1000)
    assert (tmp_path / "a").read_bytes() == bytes(1000)


def test_an_npy_header_that_states_a_terabyte(tmp_path):
    described = {"descr": "<f8", "fortran_order": False, "shape": (1 << 37,)}
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, described)
        file.write(bytes(800))
    with pytest.raises(ValueError, match="a.npy is damaged .shape .137438953472,. of float64"):
        read_array(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.write(tmp_path / "a.npy", "a.npy")
    with pytest.raises(ValueError, match="a.npz is damaged .shape"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.npz", "a.pth"])
def test_a_compressed_zip_is_refused(tmp_path, name):
    """256 MiB in 256 KiB; torch unpacks members in whole."""
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a/data.pkl", "w") as member:
            for _ in range(256):
                member.write(bytes(1 << 20))
    imports = "from thumbnets.artifacts import read_arrays\n"
    imports += "from torch import nn\nfrom thumbnets.training.pretrained import take_weights"
    call = "read_arrays(" if name == "a.npz" else "take_weights(nn.Linear(1, 1), "
    assert memory(tmp_path / name, imports, f"{call}Path(sys.argv[1]))") < 64


def test_members_of_a_zip_that_share_their_bytes_are_refused(tmp_path):
    """One stored member of 1 MB that 1,000 entries of the directory point at."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.npy", bytes(1 << 20))
        first = archive.filelist[0]
        for number in range(1000):
            other = zipfile.ZipInfo(f"{number:05d}.npy"[-5:])
            for name in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(other, name, getattr(first, name))
            archive.filelist.append(other)
        archive._didModify = True
    (tmp_path / "a.npz").write_bytes(content.getvalue())
    with pytest.raises(ValueError, match="its members are longer than the file"):
        read_arrays(tmp_path / "a.npz")


def _png(width: int, height: int) -> bytes:
    """Header of a PNG of 8-bit grey pixels, without the pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(("width", "height"), [(100_001, 1000), (1 << 30, 1 << 30)])
def test_an_image_of_too_many_pixels(tmp_path, width, height):
    (tmp_path / "a.png").write_bytes(_png(width, height))
    with pytest.raises(ValueError, match="pixels are more than data.max_pixels|decompression bomb"):
        read_image(tmp_path / "a.png", channels=1, size=8, fit="crop")


def test_yaml_aliases_that_multiply(tmp_path):
    """Ten values of the one before, ten times: 10^10 values in 300 bytes."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="at most 20 levels and 100,000 values, aliases included"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("depth", [21, 1000])
@pytest.mark.parametrize("form", ["flow", "block"])
def test_deep_yaml(tmp_path, depth, form):
    deep = "[" * depth + "]" * depth
    if form == "block":
        deep = "".join(f"\n{' ' * (n + 1)}a:" for n in range(depth))
    (tmp_path / "a.yaml").write_text(f"a: {deep}")
    with pytest.raises(ValueError, match="levels|nested too deeply"):
        read_yaml(tmp_path / "a.yaml")


def test_deep_json(tmp_path):
    (tmp_path / "a.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(ValueError, match="a.json: not JSON: nested too deeply"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_json_is_strict(tmp_path, word):
    (tmp_path / "a.json").write_text(f'{{"a": {word}}}')
    with pytest.raises(ValueError, match=f"a.json: not JSON: {word} is not a JSON number"):
        read_json(tmp_path / "a.json")


def test_a_long_file_is_not_read(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(ValueError, match="a.json must have at most 67,108,864 bytes"):
        read_json(tmp_path / "a.json")


def test_labels_that_are_not_whole_numbers_are_refused(tmp_path):
    """`1.5` was read as 1, and `nan` as some number."""
    for label in ("1.5", "nan", "1e0", "inf", ""):
        line = ",".join([*["0"] * 64, label])
        (tmp_path / "digits.csv").write_text(f"{line}\n" * 10)
        with pytest.raises(ValueError, match="digits.csv is damaged .must be a whole number, got"):
            DATASETS["digits"].read(tmp_path)


# Long values


def test_messages_quote_at_most_200_characters(tmp_path, train_settings):
    long = "x" * 100_000
    nested: list = [long]
    for _ in range(40):
        nested = [nested, nested]  # 10^12 values, if each is written out
    for value in (long, [long] * 1000, nested, {long: long}, 10**4000):
        try:
            train_settings(lr=value)
        except ValueError as error:
            text = explain(error, TrainSettings, "models.a")
        assert len(text) < LONGEST_QUOTE + 150, text[:1000]
    with pytest.raises(ValueError) as caught:
        train_settings(**{long: 1})
    assert len(explain(caught.value, TrainSettings)) < 2 * LONGEST_QUOTE + 600
    (tmp_path / "a.json").write_text(json.dumps([long]))
    with pytest.raises(ValueError, match="must hold a JSON object") as caught:
        read_json(tmp_path / "a.json")
    assert len(str(caught.value)) < LONGEST_QUOTE + 150


def test_meta_of_other_types_is_refused(tmp_path):
    good = vars(META)
    for key, value in {
        "classes": "abc",
        "channels": True,
        "image_size": 0,
        "mean": [0.1, 0.2],
        "std": [0.0],
        "counts": [1.5, 2, 3],
        "sha256": None,
    }.items():
        write_json(tmp_path / "meta.json", {**good, key: value})
        with pytest.raises(ValueError, match="meta.json is damaged"):
            read_meta(tmp_path / "meta.json")
    write_json(tmp_path / "meta.json", good)
    assert read_meta(tmp_path / "meta.json") == META


def test_an_idx_file_is_read_to_its_end(tmp_path):
    """A wrong checksum behind the last byte is found."""
    content = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 2, 2) + bytes(8)
    packed = bytearray(gzip.compress(content))
    (tmp_path / "a.gz").write_bytes(packed)
    assert read_idx(tmp_path / "a.gz", dims=3).shape == (2, 2, 2)
    packed[-6] ^= 1
    (tmp_path / "a.gz").write_bytes(packed)
    with pytest.raises(ValueError, match="a.gz is damaged .CRC check failed"):
        read_idx(tmp_path / "a.gz", dims=3)
