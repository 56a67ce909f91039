"""Places that may have the archives of a data set: folders, official mirrors, a Debian package.

None is trusted: what a source gives is a candidate, which `download` checks by its SHA-256.
"""

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import requests
import urllib3
from tqdm import tqdm

from thumbnets.data.datasets import Archive

TIMEOUT = (4.0, 10.0)  # seconds to connect, seconds without a byte
ATTEMPTS = 4  # in a row without progress; each resumes where the one before was cut
AT_ONCE = 4  # files from one mirror
BACKOFF = 0.5  # seconds before the second attempt, doubled for each one after it
APT_SECONDS = 300  # for each of update, download, unpack
BLOCK = 1 << 18  # bytes read at a time; an attempt that brings as many is progress
LONGEST = 1 << 30  # bytes of a file whose size is not published


class Unusable(Exception):
    """A source does not have a good copy of one file; the text says why in a few words."""


class Unreachable(Unusable):
    """A source does not answer at all, so that asking it for other files only takes time."""


class Source(Protocol):
    """A place that may have the archives, gzipped or already decompressed."""

    at_once: ClassVar[int]
    """Files that may be asked for at once."""
    stop: threading.Event
    """Set to interrupt transfers."""

    @property
    def place(self) -> str:
        """Its name in messages."""

    def candidates(self, archive: Archive, scratch: Path) -> Iterator[Path]:
        """Yield the files that may be `archive`; what must be fetched is put into `scratch`.

        Raises:
            Unusable: The source has no such file.
            OSError: The disk is full or read-only.
        """


@dataclass(frozen=True)
class LocalFolder:
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
            raise Unreachable("no such folder")
        yield from filter(os.path.isfile, (self.path / archive.name, self.path / archive.file))


@dataclass(frozen=True)
class HttpMirror:
    """An official mirror.

    Attributes:
        place: Its address.
        partial: Folder of incomplete files, also those of earlier calls.
    """

    place: str
    partial: Path
    stop: threading.Event = field(default_factory=threading.Event)
    at_once: ClassVar[int] = AT_ONCE

    def candidates(self, archive: Archive, scratch: Path) -> Iterator[Path]:
        url = f"{self.place.rstrip('/')}/{archive.name}"
        # Another mirror's gzip container can't be resumed: the name is that of the address.
        part = self.partial / f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{archive.name}"
        self.partial.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        yield from self._candidate(url, part, archive)
        if resumed:  # once more from the beginning: the file may have changed since
            yield from self._candidate(url, part, archive)

    def _candidate(self, url: str, part: Path, archive: Archive) -> Iterator[Path]:
        self._get(url, part, longest=_longest(archive))
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _get(self, url: str, part: Path, *, longest: int) -> None:
        """Fetch a file in as many attempts as it takes, while they make progress."""
        attempts = 0
        while True:
            had = _length(part)
            try:
                return _fetch(url, part, longest=longest, stop=self.stop)
            except Unreachable:
                raise
            except Unusable:
                part.unlink(missing_ok=True)
                raise
            except requests.ConnectTimeout as error:  # slow, and repeated for each of its addresses
                raise Unreachable("no answer") from error
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                attempts = 1 if _length(part) - had >= BLOCK else attempts + 1
                if attempts == ATTEMPTS:
                    raise Unreachable(f"{_describe(error)}, {ATTEMPTS} attempts") from error
            if self.stop.wait(BACKOFF * 2 ** (attempts - 1)):
                raise Unreachable("interrupted")


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _longest(archive: Archive) -> int:
    """The most bytes that the file of an archive can have."""
    if archive.size is None:
        return LONGEST
    # No gzip file of so many bytes is longer: deflate stores what it can't shrink.
    return archive.size + (archive.size // 1000 + 4096) * archive.unpacked


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
            raise Unusable(f"HTTP {status}")
        if status == 200:  # the whole file, asked for or not
            have = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise Unusable("sent another range than asked")
        _write(response, part, have=have, longest=longest, stop=stop)


def _write(
    response: requests.Response, part: Path, *, have: int, longest: int, stop: threading.Event
) -> None:
    """Write the body of a response behind the first `have` bytes of a file, with a progress bar."""
    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdecimal() and len(length) < 20 else None
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
        for block in response.raw.stream(BLOCK, decode_content=False):
            out.write(block)
            bar.update(len(block))
            if out.tell() > longest:
                raise Unusable("longer than the archive can be")
            if stop.is_set():
                raise Unreachable("interrupted")


def _describe(error: Exception) -> str:
    """What went wrong on the network, in two words; the libraries' own texts are lines long."""
    if isinstance(error, requests.HTTPError):
        return str(error)
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer"
    return "no connection" if isinstance(error, requests.ConnectionError) else "connection cut"


@dataclass(frozen=True)
class DebianPackage:
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
            raise Unreachable("no apt-get and dpkg here")
        lists, cache = scratch.resolve() / "lists", scratch.resolve() / "cache"
        for folder in (lists / "partial", cache / "archives/partial"):
            folder.mkdir(parents=True, exist_ok=True)
        # Absolute, as apt resolves relative ones from /var
        options = [f"Dir::State::Lists={lists}", f"Dir::Cache={cache}", "Acquire::Languages=none"]
        options += ["Acquire::Retries=1", "Acquire::http::Timeout=10", "Acquire::https::Timeout=10"]
        apt = ["apt-get", "-q", *(f"-o{option}" for option in options)]
        # One dead third-party source makes update fail; download shows if the package is there.
        _run([*apt, "update"], scratch, check=False)
        _run([*apt, "download", self.name], scratch)
        for package in sorted(scratch.glob("*.deb")):
            _run(["dpkg", "-x", package.name, unpacked.name], scratch)


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
        raise Unreachable(f"{command[0]} took more than {APT_SECONDS} s") from error
    if check and done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg"))]
        raise Unreachable(errors[-1] if errors else f"{command[0]}: status {done.returncode}")
