"""Where raw data comes from: every source and every way it can fail, on loopback alone."""

import gzip
import hashlib
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import requests

from thumbnets.data import download as module
from thumbnets.data import sources
from thumbnets.data.datasets import DATASETS, Archive, Dataset
from thumbnets.data.download import download

pytestmark = pytest.mark.usefixtures("alone")

RNG = np.random.default_rng(0)
CONTENT = {  # compresses badly, so that the gzip files are long enough to be cut
    "images-ubyte": RNG.bytes(600_000),
    "labels-ubyte": RNG.bytes(2_000),
}
ZIPPED = {f"{name}.gz": gzip.compress(content, mtime=1) for name, content in CONTENT.items()}
BIG = "images-ubyte.gz"


def tiny(**changes) -> Dataset:
    """Make a data set of two files that no place on this machine has."""
    archives = tuple(
        Archive(f"{name}.gz", hashlib.sha256(content).hexdigest(), len(content))
        for name, content in CONTENT.items()
    )
    row = Dataset(
        name="tiny",
        title="Tiny",
        classes=("a", "b"),
        folder="tiny-set",
        mirrors=(),
        archives=archives,
        reader=None,
    )
    return replace(row, **changes)


@pytest.fixture
def server(server):
    server.files, server.worst = dict(ZIPPED), BIG
    return server


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def assert_whole(target: Path) -> None:
    assert {p.name: p.read_bytes() for p in target.iterdir()} == CONTENT


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


# Folders


@pytest.mark.parametrize("files", [ZIPPED, CONTENT], ids=["gzipped", "decompressed"])
def test_mirror_folder(tmp_path, capsys, files):
    folder_of(tmp_path / "m/tiny-set", files)
    download(tiny(), tmp_path / "raw/tiny", mirror=str(tmp_path / "m"))
    assert_whole(tmp_path / "raw/tiny")
    assert capsys.readouterr().out == f"tiny: 2 file(s) from {tmp_path}/m/tiny-set\n"


def test_name_does_not_tell_whether_a_file_is_gzipped(tmp_path):
    files = dict(zip(ZIPPED, CONTENT.values(), strict=True))
    folder_of(tmp_path / "m/tiny-set", files)
    download(tiny(), tmp_path / "raw", mirror=str(tmp_path / "m"))
    assert_whole(tmp_path / "raw")


def test_gzip_containers_may_differ(tmp_path):
    files = {f"{name}.gz": gzip.compress(c, 1, mtime=2) for name, c in CONTENT.items()}
    assert files != ZIPPED
    folder_of(tmp_path / "m/tiny-set", files)
    download(tiny(), tmp_path / "raw", mirror=str(tmp_path / "m"))
    assert_whole(tmp_path / "raw")


def test_order_mirror_system_http(tmp_path, server, capsys):
    dataset, target = tiny(mirrors=(server.address,)), tmp_path / "raw"
    places = [tmp_path / "m/tiny-set", tmp_path / "system/tiny-set"]
    for place in places:
        folder_of(place, ZIPPED)
    for place in [*places, None]:
        download(dataset, target, mirror=str(tmp_path / "m"))
        assert_whole(target)
        assert capsys.readouterr().out == f"tiny: 2 file(s) from {place or server.address}\n"
        for file in [*target.iterdir(), *(place.iterdir() if place else ())]:
            file.unlink()
        assert bool(server.ranges) == (place is None)  # asked only when nothing nearer has it


@pytest.mark.parametrize(
    "bad, said",
    [
        (ZIPPED[BIG][:-100], "truncated gzip"),
        (flipped(ZIPPED[BIG]), "damaged gzip"),
        (gzip.compress(flipped(CONTENT["images-ubyte"])), "wrong SHA-256"),
        (gzip.compress(bytes(10_000_000)), "longer than 600000 bytes"),
        (CONTENT["images-ubyte"][:-1], "599999 bytes, not 600000"),
        (b"<html>Sign in</html>", "20 bytes, not 600000"),
        (b"", "0 bytes, not 600000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_file_is_passed_over(tmp_path, capsys, bad, said):
    folder_of(tmp_path / "m/tiny-set", ZIPPED | {BIG: bad})
    target = tmp_path / "raw"
    with pytest.raises(ValueError, match=f"m/tiny-set: {said}; "):
        download(tiny(), target, mirror=str(tmp_path / "m"))
    assert os.listdir(target) == ["labels-ubyte"]  # whole, so it may stay
    folder_of(tmp_path / "system/tiny-set", ZIPPED)
    download(tiny(), target, mirror=str(tmp_path / "m"))
    assert_whole(target)
    assert f"1 file(s) from {tmp_path}/system/tiny-set\n" in capsys.readouterr().out


def test_damaged_archive_beside_its_good_content(tmp_path):
    folder_of(tmp_path / "m/tiny-set", CONTENT | {BIG: b"\x1f\x8bnonsense"})
    download(tiny(), tmp_path / "raw", mirror=str(tmp_path / "m"))
    assert_whole(tmp_path / "raw")


def test_second_call_touches_nothing(tmp_path, capsys):
    folder_of(tmp_path / "m/tiny-set", ZIPPED)
    target = tmp_path / "raw"
    download(tiny(), target, mirror=str(tmp_path / "m"))

    def files() -> dict[str, tuple[int, int]]:  # not when they were read, which a check does
        return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in target.iterdir()}

    before = files()
    capsys.readouterr()
    download(tiny(), target, mirror=None)  # there is no source any more
    assert files() == before
    assert capsys.readouterr().out == f"tiny: complete in {target}\n"


def test_altered_file_in_the_target_is_replaced(tmp_path):
    folder_of(tmp_path / "m/tiny-set", ZIPPED)
    altered = flipped(CONTENT["labels-ubyte"])
    target = folder_of(tmp_path / "raw", CONTENT | {"labels-ubyte": altered})
    cached = tmp_path / "cached"
    os.link(target / "labels-ubyte", cached)  # as DVC may link files to its cache
    download(tiny(), target, mirror=str(tmp_path / "m"))
    assert_whole(target)
    assert cached.read_bytes() == altered


def test_interrupt_leaves_nothing(tmp_path, monkeypatch):
    folder_of(tmp_path / "m/tiny-set", ZIPPED)

    def interrupted(path, **_):
        yield b"half"
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(tiny(), tmp_path / "raw", mirror=str(tmp_path / "m"))
    assert os.listdir(tmp_path / "raw") == []


def test_full_disk_is_not_blamed_on_the_source(tmp_path, monkeypatch):
    folder_of(tmp_path / "m/tiny-set", ZIPPED)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(OSError, match="No space left") as error:
        download(tiny(), tmp_path / "raw", mirror=str(tmp_path / "m"))
    assert error.value.filename == str(tmp_path / "raw/images-ubyte")
    assert os.listdir(tmp_path / "raw") == []


def test_bundled_digits(tmp_path, capsys):
    download(DATASETS["digits"], tmp_path, mirror=None)
    lines = (tmp_path / "digits.csv").read_text().splitlines()
    assert len(lines) == 1797 and lines[0].startswith("0,0,5,13,9,1,0,0,") and lines[0][-2:] == ",0"
    assert "sklearn/datasets/data" in capsys.readouterr().out


# HTTP


def fetch(server, target: Path) -> None:
    download(tiny(mirrors=(server.address,)), target, mirror=None)
    assert_whole(target)


def test_http(server, tmp_path, capsys):
    fetch(server, tmp_path / "raw")
    assert sorted(server.asked) == sorted(ZIPPED) and server.ranges == [None]
    captured = capsys.readouterr()
    assert captured.out == f"tiny: 2 file(s) from {server.address}\n"
    assert captured.err == ""  # no bar where there is no terminal


def test_http_goes_on_where_it_was_cut(server, tmp_path):
    server.tricks = ["cut", "cut"]
    fetch(server, tmp_path / "raw")
    half = len(ZIPPED[BIG]) // 2
    rest = half + (len(ZIPPED[BIG]) - half) // 2
    assert server.ranges == [None, f"bytes={half}-", f"bytes={rest}-"]


def test_http_begins_again_where_ranges_are_not_known(server, tmp_path):
    server.tricks = ["cut", "no-range"]
    fetch(server, tmp_path / "raw")
    assert server.ranges[1] and len(server.ranges) == 2


@pytest.mark.parametrize("trick", ["stall", "503", "429", "says-more"])
def test_http_gets_over(server, tmp_path, trick):
    server.tricks = [trick]
    started = time.monotonic()
    fetch(server, tmp_path / "raw")
    assert len(server.ranges) == 2 and time.monotonic() - started < 2


@pytest.mark.parametrize(
    "tricks, said",
    [
        (["404"], "HTTP 404"),
        (["403"], "HTTP 403"),
        (["416"], "HTTP 416"),
        (["says-less"], "truncated gzip"),
        (["cut", "other-range"], "sent another range than asked"),
        (["endless"], "longer than the archive can be"),
        (["cut"] * 4, "connection cut, 4 attempts"),
        (["503"] * 4, "HTTP 503, 4 attempts"),
        (["stall"] * 4, "no answer, 4 attempts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_http_gives_up(server, tmp_path, tricks, said):
    server.tricks = list(tricks)
    with pytest.raises(ValueError, match=f"{server.address}: {said}"):
        download(tiny(mirrors=(server.address,)), tmp_path / "raw", mirror=None)
    assert os.listdir(tmp_path / "raw") == ["labels-ubyte"]
    assert len(server.ranges) == len(tricks)


def test_http_that_does_not_answer_is_not_asked_for_more(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sources.HttpMirror, "at_once", 1)
    server.tricks = ["503"] * 4
    with pytest.raises(ValueError, match="HTTP 503, 4 attempts"):
        download(tiny(mirrors=(server.address,)), tmp_path / "raw", mirror=None)
    assert set(server.asked) == {BIG} and os.listdir(tmp_path / "raw") == []


def test_http_fetches_files_at_once(server, tmp_path):
    server.together = threading.Barrier(2)
    fetch(server, tmp_path / "raw")


def test_http_is_asked_as_long_as_it_brings_something(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BLOCK", 15_000)
    server.tricks = ["cut"] * 7  # 300, 150, 75, 37 and 19 kB, then too little twice
    fetch(server, tmp_path / "raw")
    assert len(server.ranges) == 8


def parts_of(target: Path) -> list[Path]:
    """What is kept of files that are not whole."""
    folder = target.with_name(f".{target.name}.parts")
    return list(folder.iterdir()) if folder.exists() else []


def test_http_goes_on_where_an_earlier_call_gave_up(server, tmp_path):
    server.tricks = ["cut"] * 4
    with pytest.raises(ValueError, match="connection cut, 4 attempts"):
        fetch(server, tmp_path / "raw")
    [part] = parts_of(tmp_path / "raw")
    assert ZIPPED[BIG].startswith(part.read_bytes())
    server.ranges.clear()
    have = part.stat().st_size
    fetch(server, tmp_path / "raw")
    assert server.ranges == [f"bytes={have}-"] and have > len(ZIPPED[BIG]) / 2
    assert sorted(os.listdir(tmp_path)) == ["raw"]


def test_http_begins_again_where_the_file_has_changed_since(server, tmp_path):
    server.tricks = ["cut"] * 4
    with pytest.raises(ValueError):
        fetch(server, tmp_path / "raw")
    [part] = parts_of(tmp_path / "raw")
    part.write_bytes(b"\0" * part.stat().st_size)
    server.ranges.clear()
    fetch(server, tmp_path / "raw")
    assert len(server.ranges) == 2 and server.ranges[1] is None


def test_an_interrupted_call_is_gone_on_with(server, tmp_path, monkeypatch):
    write = sources._write

    def interrupted(response, part, **known):
        if BIG not in part.name:
            return write(response, part, **known)
        part.write_bytes(response.raw.read(100_000))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sources, "_write", interrupted)
        fetch(server, tmp_path / "raw")
    server.ranges.clear()
    fetch(server, tmp_path / "raw")
    assert server.ranges == ["bytes=100000-"]


@pytest.mark.parametrize("size", [len(ZIPPED[BIG]), None])
def test_an_archive_is_kept_as_published_where_that_is_what_is_known(server, tmp_path, size):
    sha256 = hashlib.sha256(ZIPPED[BIG]).hexdigest()
    archive = Archive(BIG, sha256, size, unpacked=False)
    dataset, target = tiny(mirrors=(server.address,), archives=(archive,)), tmp_path / "raw"
    download(dataset, target, mirror=None)
    assert (target / BIG).read_bytes() == ZIPPED[BIG]
    download(dataset, target, mirror=None)
    assert len(server.ranges) == 1
    server.files = {BIG: gzip.compress(CONTENT["images-ubyte"], 1, mtime=2)}  # another container
    (target / BIG).unlink()
    with pytest.raises(ValueError, match="wrong SHA-256|bytes, not|longer than"):
        download(dataset, target, mirror=None)


def test_http_endless_where_no_size_is_known(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LONGEST", 1 << 20)
    server.tricks = ["endless"]
    dataset = tiny(mirrors=(server.address,), archives=(Archive(BIG, "0" * 64, None, False),))
    with pytest.raises(ValueError, match="longer than the archive can be"):
        download(dataset, tmp_path / "raw", mirror=None)


def test_the_same_archives_under_another_name_are_taken(server, tmp_path, monkeypatch):
    other = tiny(name="other")
    monkeypatch.setattr(module, "DATASETS", {"tiny": tiny(), "other": other})
    folder_of(tmp_path / "raw/other", CONTENT)
    download(tiny(mirrors=(server.address,)), tmp_path / "raw/tiny", mirror=None)
    assert_whole(tmp_path / "raw/tiny")
    assert not server.asked


def test_http_that_can_not_be_connected_to_is_asked_once(tmp_path, monkeypatch):
    asked = []

    def silent(url, part, **_):
        asked.append(url)
        raise requests.ConnectTimeout

    monkeypatch.setattr(sources, "_fetch", silent)
    monkeypatch.setattr(sources.HttpMirror, "at_once", 1)
    with pytest.raises(ValueError, match="http://a/b: no answer; http://c/: no answer"):
        download(tiny(mirrors=("http://a/b", "http://c/")), tmp_path / "raw", mirror=None)
    assert asked == [f"http://a/b/{BIG}", f"http://c/{BIG}"]


def test_http_altered_bytes_fall_through_to_the_next_mirror(server, tmp_path, capsys):
    altered = f"{server.address}altered/"
    other = gzip.compress(flipped(CONTENT["images-ubyte"]))
    server.files = ZIPPED | {BIG: other}
    dataset = tiny(mirrors=(altered,))
    with pytest.raises(ValueError, match="altered/: wrong SHA-256"):
        download(dataset, tmp_path / "raw", mirror=None)
    good = folder_of(tmp_path / "good", ZIPPED)
    server.files = {f.name: f.read_bytes() for f in good.iterdir()}
    server.tricks = ["404"]
    download(tiny(mirrors=(altered, server.address)), tmp_path / "raw", mirror=None)
    assert_whole(tmp_path / "raw")
    assert capsys.readouterr().out.endswith(f"1 file(s) from {server.address}\n")


def test_half_of_one_mirror_is_not_joined_to_another(server, tmp_path):
    server.tricks = ["cut"] * 4
    download(tiny(mirrors=(server.address, server.address + "b/")), tmp_path / "raw", mirror=None)
    assert_whole(tmp_path / "raw")
    assert server.ranges[4] is None


def test_http_nobody_listens(server, tmp_path):
    dead = server.address.replace("/tiny/", "").rsplit(":", 1)[0] + ":9/"  # discard port, closed
    with pytest.raises(ValueError, match=f"{dead}: no connection, 4 attempts"):
        download(tiny(mirrors=(dead,)), tmp_path / "raw", mirror=None)


# The Debian package


APT = """#!/bin/sh
echo "apt-get $@" >> {log}
case "$*" in
*update) echo "E: one source is down" >&2; exit 100 ;;
*"download dataset-tiny") touch dataset-tiny_1_all.deb ;;
*) echo "W: unsandboxed" >&2; echo "E: Unable to locate package" >&2; exit 100 ;;
esac
"""
DPKG = """#!/bin/sh
echo "dpkg $@" >> {log}
mkdir -p "$3/usr/share/datasets/some" && cp {files}/* "$3/usr/share/datasets/some"
"""


@pytest.fixture
def debian(tmp_path, monkeypatch) -> Path:
    """Put stand-ins of apt-get and dpkg on the path; gives the file that they note calls in."""
    log, files = tmp_path / "log", folder_of(tmp_path / "packaged", ZIPPED)
    programs = folder_of(tmp_path / "bin", {})
    for name, text in (("apt-get", APT), ("dpkg", DPKG)):
        (programs / name).write_text(text.format(log=log, files=files))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return log


def test_package(debian, tmp_path, capsys):
    target = tmp_path / "raw"
    download(tiny(package="dataset-tiny"), target, mirror=None)
    assert_whole(target)
    assert capsys.readouterr().out == "tiny: 2 file(s) from Debian package dataset-tiny\n"
    calls = debian.read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["apt-get", "apt-get", "dpkg"]  # once for both
    for call in calls[:2]:  # relative folders would be below /var
        assert f"-oDir::State::Lists={tmp_path}/.raw.parts/scratch-" in call
        assert f"-oDir::Cache={tmp_path}/.raw.parts/scratch-" in call


def test_package_unknown(debian, tmp_path):
    with pytest.raises(ValueError, match="package dataset-x: E: Unable to locate package"):
        download(tiny(package="dataset-x"), tmp_path / "raw", mirror=None)
    assert os.listdir(tmp_path / "raw") == []
    assert "dpkg" not in debian.read_text()


def test_package_takes_too_long(debian, tmp_path, monkeypatch):
    (tmp_path / "bin/apt-get").write_text("#!/bin/sh\nexec sleep 5\n")
    monkeypatch.setattr(sources, "APT_SECONDS", 0.2)
    with pytest.raises(ValueError, match="apt-get took more than 0.2 s"):
        download(tiny(package="dataset-tiny"), tmp_path / "raw", mirror=None)


def test_no_package_without_apt(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="package dataset-tiny: no apt-get and dpkg here"):
        download(tiny(package="dataset-tiny"), tmp_path / "raw", mirror=None)


# Nothing found


def test_message_names_each_place_and_the_way_out(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    folder_of(tmp_path / "m/tiny-set", {BIG: ZIPPED[BIG][:-1]})
    server.files = {}
    dataset = tiny(mirrors=(server.address,), package="dataset-tiny")
    with pytest.raises(ValueError) as error:
        download(dataset, tmp_path / "raw", mirror=str(tmp_path / "m"))
    assert str(error.value) == (
        "No good copy of images-ubyte.gz, labels-ubyte.gz (Tiny). "
        f"Tried {tmp_path}/m/tiny-set: truncated gzip (images-ubyte.gz), "
        "no such file (labels-ubyte.gz); "
        f"{tmp_path}/system/tiny-set: no such folder; "
        f"{server.address}: HTTP 404; "
        "Debian package dataset-tiny: no apt-get and dpkg here. "
        "Set THUMBNETS_MIRROR to a folder that has tiny-set/images-ubyte.gz, "
        "or take the data bundled with scikit-learn: -S data.name=digits"
    )
