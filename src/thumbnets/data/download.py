"""How raw data arrives: the first place that has a file with the right content fills the folder.

The SHA-256 of the content alone decides; no source is trusted for anything else. So the folder has
the same bytes wherever they came from, and plain HTTP is good enough.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Protocol

import requests
import urllib3
from tqdm import tqdm

from thumbnets.artifacts import sha256
from thumbnets.data.datasets import DATASETS, Archive, Dataset

SYSTEM_FOLDER = Path("/usr/share/datasets")  # where Debian's dataset-* packages install
TIMEOUT = (4.0, 10.0)  # seconds to connect, seconds without a byte
ATTEMPTS = 4  # in a row without progress; each goes on where the one before was cut
AT_ONCE = 4  # files from one mirror
BACKOFF = 0.5  # seconds before the second attempt, doubled for each one after it
APT_SECONDS = 300  # for each of update, download, unpack
_BLOCK = 1 << 18  # bytes read at a time; an attempt that brings as many is progress
_LONGEST = 1 << 30  # of a file whose size nobody states


def download(dataset: Dataset, target: Path, *, mirror: str | None) -> None:
    """Fill a folder with the files of a data set.

    Files that are there and whole are kept. A file appears under its name only when it is whole
    and checked. What a mirror sent before it was cut, or the user interrupted, is kept beside the
    folder and gone on with by the next call.

    Args:
        dataset: what to bring.
        target: the folder, made if missing.
        mirror: folder with a folder `dataset.folder` of the archives, looked at first.

    Raises:
        ValueError: no source has a good copy; the message names each and why.
    """
    target.mkdir(parents=True, exist_ok=True)
    missing = [a for a in dataset.archives if not _is_whole(target / a.file, a)]
    if not missing:
        print(f"{dataset.name}: complete in {target}")
        return
    failures: dict[str, dict[str, str]] = {}  # place -> archive name -> reason
    with TemporaryDirectory(prefix=".download-", dir=target) as scratch:
        for source in _sources(dataset, target, mirror):
            failed = failures[source.place] = _take(source, missing, target, Path(scratch))
            if len(failed) < len(missing):
                print(f"{dataset.name}: {len(missing) - len(failed)} file(s) from {source.place}")
            missing = [a for a in missing if a.name in failed]
            if not missing:
                break
    with suppress(OSError):  # nothing is there, or something that may be gone on with
        _parts(target).rmdir()
    if missing:
        raise ValueError(_nothing_found(dataset, missing, failures))


def _parts(target: Path) -> Path:
    """Where the beginnings of files lie until they are whole."""
    return target.with_name(f".{target.name}.parts")


class _Unusable(Exception):
    """A source does not have a good copy of one file; the text says why in a few words."""


class _Unreachable(_Unusable):
    """A source does not answer at all, so that asking it for other files would be waiting."""


class _Source(Protocol):
    """A place that may have the archives, gzipped or already decompressed."""

    at_once: ClassVar[int]
    """Files that may be asked for at once."""
    stop: threading.Event
    """Ends what is under way."""

    @property
    def place(self) -> str:
        """What it is called in messages."""

    def candidates(self, archive: Archive, scratch: Path) -> Iterator[Path]:
        """Give the files that may be `archive`; what must be fetched is put into `scratch`."""


@dataclass(frozen=True)
class _Folder:
    """A folder of archives on this machine."""

    path: Path
    stop: threading.Event = field(default_factory=threading.Event)
    at_once: ClassVar[int] = 1

    @property
    def place(self) -> str:
        return str(self.path)

    def candidates(self, archive: Archive, scratch: Path) -> Iterator[Path]:
        # os.path, as Path.is_dir raises where a folder above may not be entered
        if not os.path.isdir(self.path):
            raise _Unreachable("no such folder")
        yield from filter(os.path.isfile, (self.path / archive.name, self.path / archive.file))


@dataclass(frozen=True)
class _Http:
    """An official mirror.

    Attributes:
        place: Its address.
        parts: Where the beginnings of files lie, also those of earlier calls.
    """

    place: str
    parts: Path
    stop: threading.Event = field(default_factory=threading.Event)
    at_once: ClassVar[int] = AT_ONCE

    def candidates(self, archive: Archive, scratch: Path) -> Iterator[Path]:
        url = f"{self.place.rstrip('/')}/{archive.name}"
        # Another mirror's gzip container can't be gone on with: the name is that of the address.
        part = self.parts / f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{archive.name}"
        self.parts.mkdir(parents=True, exist_ok=True)
        begun_before = part.exists()
        yield from self._candidate(url, part, archive)
        if begun_before:  # with what is another file by now
            yield from self._candidate(url, part, archive)

    def _candidate(self, url: str, part: Path, archive: Archive) -> Iterator[Path]:
        self._get(url, part, longest=_longest(archive))
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _get(self, url: str, part: Path, *, longest: int) -> None:
        """Fetch a file in as many attempts as it takes, while they bring something."""
        attempts = 0
        while True:
            had = _length(part)
            try:
                return _fetch(url, part, longest=longest, stop=self.stop)
            except _Unreachable:
                raise
            except _Unusable:
                part.unlink(missing_ok=True)
                raise
            except requests.ConnectTimeout as error:  # long, and once for each address it has
                raise _Unreachable("no answer") from error
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                attempts = 1 if _length(part) - had >= _BLOCK else attempts + 1
                if attempts == ATTEMPTS:
                    raise _Unreachable(f"{_in_words(error)}, {ATTEMPTS} attempts") from error
            if self.stop.wait(BACKOFF * 2 ** (attempts - 1)):
                raise _Unreachable("interrupted")


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _longest(archive: Archive) -> int:
    """The most bytes that a file can have."""
    if archive.size is None:
        return _LONGEST
    # No gzip file of so many bytes is longer: deflate stores what it can't shrink.
    return archive.size + (archive.size // 1000 + 4096) * archive.unpacked


@dataclass(frozen=True)
class _Package:
    """A Debian package, fetched by apt-get with state of its own: needs no root, changes nothing.

    The sources, keys and proxies of the machine are used as they are.
    """

    name: str
    stop: threading.Event = field(default_factory=threading.Event)
    at_once: ClassVar[int] = 1

    @property
    def place(self) -> str:
        return f"Debian package {self.name}"

    def candidates(self, archive: Archive, scratch: Path) -> Iterator[Path]:
        unpacked = scratch / "package"
        if not unpacked.is_dir():
            self._unpack(scratch, unpacked)
        for name in (archive.name, archive.file):
            yield from sorted((unpacked / "usr/share/datasets").rglob(name))

    def _unpack(self, scratch: Path, unpacked: Path) -> None:
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise _Unreachable("no apt-get and dpkg here")
        lists, cache = scratch.resolve() / "lists", scratch.resolve() / "cache"
        for folder in (lists / "partial", cache / "archives/partial"):
            folder.mkdir(parents=True, exist_ok=True)
        # Absolute, as apt takes relative ones from /var
        options = [f"Dir::State::Lists={lists}", f"Dir::Cache={cache}", "Acquire::Languages=none"]
        options += ["Acquire::Retries=1", "Acquire::http::Timeout=10", "Acquire::https::Timeout=10"]
        apt = ["apt-get", "-q", *(f"-o{option}" for option in options)]
        # One dead third-party source fails update; whether the package is there, download tells.
        _run([*apt, "update"], scratch, check=False)
        _run([*apt, "download", self.name], scratch)
        for package in sorted(scratch.glob("*.deb")):
            _run(["dpkg", "-x", package.name, unpacked.name], scratch)


def _sources(dataset: Dataset, target: Path, mirror: str | None) -> Iterator[_Source]:
    """Give the places to look, in order: what is near and costs nothing first."""
    if dataset.bundled:
        package, _, inside = dataset.bundled.partition("/")
        spec = find_spec(package)  # finds it without the second that importing it takes
        for location in (spec and spec.submodule_search_locations) or ():
            yield _Folder(Path(location) / inside)
    for other in DATASETS.values():  # the same archives under another name, as those of EMNIST
        fetched = target.with_name(other.name)
        shared = isinstance(other, Dataset) and other.folder == dataset.folder
        if shared and fetched != target and fetched.is_dir():
            yield _Folder(fetched)
    if mirror:
        yield _Folder(Path(mirror) / dataset.folder)
    yield _Folder(SYSTEM_FOLDER / dataset.folder)
    for place in dataset.mirrors:
        yield _Http(place, _parts(target))
    if dataset.package:
        yield _Package(dataset.package)


def _take(source: _Source, wanted: list[Archive], target: Path, scratch: Path) -> dict[str, str]:
    """Move what a source has into the target; give the names of the others, each with a reason."""
    silent: list[str] = []  # why the source does not answer, once it does not

    def take(archive: Archive) -> str | None:
        if silent:
            return silent[0]
        try:
            os.replace(_first_whole(source, archive, scratch), target / archive.file)
        except _Unreachable as error:
            silent.append(str(error))
            return str(error)
        except _Unusable as error:
            return str(error)
        return None

    with ThreadPoolExecutor(source.at_once) as pool:
        try:
            reasons = list(pool.map(take, wanted))
        finally:  # what is still under way after an error, or an interrupt
            source.stop.set()
            pool.shutdown(cancel_futures=True)
    return {a.name: reason for a, reason in zip(wanted, reasons, strict=True) if reason}


def _first_whole(source: _Source, archive: Archive, scratch: Path) -> Path:
    """Copy candidates into `scratch`, decompressed if need be, until one has the right content."""
    reason = "no such file"
    with closing(source.candidates(archive, scratch)) as candidates:
        for candidate in candidates:
            try:
                return _copy(candidate, archive, scratch / f"whole-{archive.file}")
            except _Unusable as error:
                reason = str(error)
    raise _Unusable(reason)


def _copy(path: Path, archive: Archive, output: Path) -> Path:
    """Copy a file as it is to be kept, and check what it holds."""
    digest, size = hashlib.sha256(), 0
    with output.open("wb") as out:
        for block in _content(path, unpack=archive.unpacked):
            out.write(block)
            digest.update(block)
            size += len(block)
            if size > (archive.size or _LONGEST):  # lest a small bad archive fill the disk
                raise _Unusable(f"longer than {archive.size or _LONGEST} bytes")
    if archive.size is not None and size < archive.size:
        raise _Unusable(f"{size} bytes, not {archive.size}")
    if digest.hexdigest() != archive.sha256:
        raise _Unusable("wrong SHA-256")
    return output


def _content(path: Path, *, unpack: bool) -> Iterator[bytes]:
    """Give the content of a file, decompressed if it is gzipped, whatever its name says."""
    try:
        with path.open("rb") as file:
            gzipped = unpack and file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if gzipped else file
            while block := stream.read(_BLOCK):
                yield block
    except EOFError as error:
        raise _Unusable("truncated gzip") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _Unusable("damaged gzip") from error
    except OSError as error:
        raise _Unusable(error.strerror or str(error)) from error


def _is_whole(path: Path, archive: Archive) -> bool:
    """Whether a file is there with the right content."""
    if not path.is_file() or archive.size not in (None, path.stat().st_size):
        return False
    return sha256(path) == archive.sha256


def _fetch(url: str, part: Path, *, longest: int, stop: threading.Event) -> None:
    """Get a file, or the rest of it where `part` has the beginning.

    Bytes are taken as sent: decoding a `Content-Encoding` would upset the count that Range needs.
    """
    have = _length(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        status = response.status_code
        if have and status == 416:  # nothing follows what we have: the checksum decides
            return
        if status in (408, 429) or status >= 500:
            raise requests.HTTPError(f"HTTP {status}")
        if status not in (200, 206):
            raise _Unusable(f"HTTP {status}")
        if status == 200:  # the whole file, asked for or not
            have = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _Unusable("sent another range than asked")
        _write(response, part, have=have, longest=longest, stop=stop)


def _write(
    response: requests.Response, part: Path, *, have: int, longest: int, stop: threading.Event
) -> None:
    """Write the body of a response behind the first `have` bytes of a file, with a progress bar."""
    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdecimal() else None
    bar = tqdm(
        desc=part.name.partition("-")[2],
        initial=have,
        total=total,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,  # shown on a terminal only
    )
    with part.open("ab" if have else "wb") as out, bar:
        for block in response.raw.stream(_BLOCK, decode_content=False):
            out.write(block)
            bar.update(len(block))
            if out.tell() > longest:
                raise _Unusable("longer than the archive can be")
            if stop.is_set():
                raise _Unreachable("interrupted")


def _in_words(error: Exception) -> str:
    """Say what went wrong on the network; the libraries' own texts are lines long."""
    if isinstance(error, requests.HTTPError):
        return str(error)
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer"
    return "no connection" if isinstance(error, requests.ConnectionError) else "connection cut"


def _run(command: list[str], folder: Path, *, check: bool = True) -> None:
    """Run a program of the system quietly, within a time limit."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=APT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise _Unreachable(f"{command[0]} took more than {APT_SECONDS} s") from error
    if check and done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg"))]
        raise _Unreachable(errors[-1] if errors else f"{command[0]}: status {done.returncode}")


def _nothing_found(
    dataset: Dataset, missing: list[Archive], failures: dict[str, dict[str, str]]
) -> str:
    """Say in one line where was looked, why in vain, and what to do."""
    places = []
    for place, reasons in failures.items():
        files: dict[str, list[str]] = {}  # reason -> archives, as most often it is one for all
        for archive in missing:
            files.setdefault(reasons[archive.name], []).append(archive.name)
        texts = (f"{reason} ({', '.join(names)})" for reason, names in files.items())
        places.append(f"{place}: {', '.join(files if len(files) == 1 else texts)}")
    return (
        f"No good copy of {', '.join(a.name for a in missing)} ({dataset.title}). "
        f"Tried {'; '.join(places)}. "
        f"Set THUMBNETS_MIRROR to a folder that has {dataset.folder}/{missing[0].name}, "
        "or take the data bundled with scikit-learn: -S data.name=digits"
    )
