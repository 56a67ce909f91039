"""How raw data arrives: the first place that has a file with the right content fills the folder.

The SHA-256 of the decompressed content alone decides; no source is trusted for anything else.
So the folder has the same bytes wherever they came from, and plain HTTP is good enough.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import requests
import urllib3
from tqdm import tqdm

from thumbnets.data.datasets import Archive, Dataset

SYSTEM_FOLDER = Path("/usr/share/datasets")  # where Debian's dataset-* packages install
TIMEOUT = (4.0, 10.0)  # seconds to connect, seconds without a byte
ATTEMPTS = 4  # a file and mirror, each going on where the one before was cut
BACKOFF = 0.5  # seconds before the second attempt, doubled for each one after it
APT_SECONDS = 300  # for each of update, download, unpack
_BLOCK = 1 << 18  # bytes read at a time


def download(dataset: Dataset, target: Path, *, mirror: str | None) -> None:
    """Fill a folder with the decompressed files of a data set.

    Files that are there and whole are kept. A file appears under its name only when it is whole
    and checked; what is left of a failed attempt is removed.

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
        for source in _sources(dataset, mirror):
            failed = failures[source.place] = _take(source, missing, target, Path(scratch))
            if len(failed) < len(missing):
                print(f"{dataset.name}: {len(missing) - len(failed)} file(s) from {source.place}")
            missing = [a for a in missing if a.name in failed]
            if not missing:
                return
    raise ValueError(_nothing_found(dataset, missing, failures))


class _Unusable(Exception):
    """A source does not have a good copy of one file; the text says why in a few words."""


class _Unreachable(_Unusable):
    """A source does not answer at all, so that asking it for other files would be waiting."""


class _Source(Protocol):
    """A place that may have the archives, gzipped or already decompressed."""

    @property
    def place(self) -> str:
        """What it is called in messages."""

    def candidates(self, archive: Archive, scratch: Path) -> Iterator[Path]:
        """Give the files that may be `archive`; what must be fetched is put into `scratch`."""


@dataclass(frozen=True)
class _Folder:
    """A folder of archives on this machine."""

    path: Path

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
    """An official mirror."""

    place: str

    def candidates(self, archive: Archive, scratch: Path) -> Iterator[Path]:
        part = scratch / archive.name
        part.unlink(missing_ok=True)  # another mirror's gzip container can't be gone on with
        url = f"{self.place.rstrip('/')}/{archive.name}"
        # No gzip file of so many bytes is longer: deflate stores what it can't shrink.
        longest = archive.size + archive.size // 1000 + 4096
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(BACKOFF * 2 ** (attempt - 1))
            try:
                _fetch(url, part, longest=longest)
                break
            except requests.ConnectTimeout as error:  # long, and once for each address it has
                raise _Unreachable("no answer") from error
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failure = error
        else:
            raise _Unreachable(f"{_in_words(failure)}, {ATTEMPTS} attempts") from failure
        yield part


@dataclass(frozen=True)
class _Package:
    """A Debian package, fetched by apt-get with state of its own: needs no root, changes nothing.

    The sources, keys and proxies of the machine are used as they are.
    """

    name: str

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


def _sources(dataset: Dataset, mirror: str | None) -> Iterator[_Source]:
    """Give the places to look, in order: what is near and costs nothing first."""
    if dataset.bundled:
        package, _, inside = dataset.bundled.partition("/")
        spec = find_spec(package)  # finds it without the second that importing it takes
        for location in (spec and spec.submodule_search_locations) or ():
            yield _Folder(Path(location) / inside)
    if mirror:
        yield _Folder(Path(mirror) / dataset.folder)
    yield _Folder(SYSTEM_FOLDER / dataset.folder)
    yield from map(_Http, dataset.mirrors)
    if dataset.package:
        yield _Package(dataset.package)


def _take(source: _Source, wanted: list[Archive], target: Path, scratch: Path) -> dict[str, str]:
    """Move what a source has into the target; give the names of the others, each with a reason."""
    failed: dict[str, str] = {}
    for i, archive in enumerate(wanted):
        try:
            whole = _first_whole(source.candidates(archive, scratch), archive, scratch)
            os.replace(whole, target / archive.file)
        except _Unreachable as error:
            return failed | {rest.name: str(error) for rest in wanted[i:]}
        except _Unusable as error:
            failed[archive.name] = str(error)
    return failed


def _first_whole(candidates: Iterable[Path], archive: Archive, scratch: Path) -> Path:
    """Decompress candidates into `scratch` until one has the right content."""
    reason = "no such file"
    for candidate in candidates:
        try:
            return _decompress(candidate, archive, scratch / "decompressed")
        except _Unusable as error:
            reason = str(error)
    raise _Unusable(reason)


def _decompress(path: Path, archive: Archive, output: Path) -> Path:
    """Copy a file, decompressed if it is gzipped, and check what it holds."""
    digest, size = hashlib.sha256(), 0
    with output.open("wb") as out:
        for block in _content(path):
            out.write(block)
            digest.update(block)
            size += len(block)
            if size > archive.size:  # here, lest a small bad archive fill the disk
                raise _Unusable(f"longer than {archive.size} bytes")
    if size < archive.size:
        raise _Unusable(f"{size} bytes, not {archive.size}")
    if digest.hexdigest() != archive.sha256:
        raise _Unusable("wrong SHA-256")
    return output


def _content(path: Path) -> Iterator[bytes]:
    """Give the decompressed content of a file that is gzipped or not, whatever its name says."""
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
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
    """Whether a decompressed file is there with the right content."""
    if not path.is_file() or path.stat().st_size != archive.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == archive.sha256


def _fetch(url: str, part: Path, *, longest: int) -> None:
    """Get a file, or the rest of it where `part` has the beginning.

    Bytes are taken as sent: decoding a `Content-Encoding` would upset the count that Range needs.
    """
    have = part.stat().st_size if part.exists() else 0
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
        _write(response, part, have=have, longest=longest)


def _write(response: requests.Response, part: Path, *, have: int, longest: int) -> None:
    """Write the body of a response behind the first `have` bytes of a file, with a progress bar."""
    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdecimal() else None
    bar = tqdm(
        desc=part.name,
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
