"""Download of raw data: the first source that has a file with the right content fills the folder.

The SHA-256 of the content alone decides; no source is trusted for anything else. So the folder has
the same bytes wherever they came from, and plain HTTP is good enough.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from thumbnets.artifacts import naming, sha256
from thumbnets.data.dataset import Archive, Dataset, Files
from thumbnets.data.datasets import DATASETS
from thumbnets.data.sources import (
    BLOCK,
    LONGEST,
    DebianPackage,
    HttpMirror,
    LocalFolder,
    Source,
    Unreachable,
    Unusable,
)

SYSTEM_FOLDER = Path("/usr/share/datasets")  # where Debian's dataset-* packages install


def download(dataset: Files, target: Path, *, mirror: str | None) -> None:
    """Fill a folder with the files of a data set.

    Files that are complete already are kept. A file appears under its name only when it is complete
    and its checksum is right. What a mirror sent before it was cut, or the user interrupted, is
    kept beside the folder, and the next call resumes it.

    Args:
        dataset: Data set to download, or other published files.
        target: Folder of its files, made if missing.
        mirror: Folder with a folder `dataset.folder` of the archives, looked at first.

    Raises:
        ValueError: No source has a good copy; the message names each and why.
        OSError: The disk is full or read-only.
    """
    target.mkdir(parents=True, exist_ok=True)
    missing = [a for a in dataset.archives if not _is_complete(target / a.file, a)]
    if not missing:
        print(f"{dataset.name}: complete in {target}")
        return
    failures: dict[str, dict[str, str]] = {}  # place -> archive name -> reason
    with _scratch_folder(target) as scratch:
        for source in _sources(dataset, target, mirror):
            failed = failures[source.place] = _take(source, missing, target, Path(scratch))
            if len(failed) < len(missing):
                print(f"{dataset.name}: {len(missing) - len(failed)} file(s) from {source.place}")
            missing = [a for a in missing if a.name in failed]
            if not missing:
                break
    with suppress(OSError):  # missing, or not empty: there is something to resume
        _partial_folder(target).rmdir()
    if missing:
        raise ValueError(_nothing_found(dataset, missing, failures))


def _scratch_folder(target: Path) -> TemporaryDirectory:
    """A folder beside the target, not in it, as DVC tracks the target and a kill leaves this."""
    partial = _partial_folder(target)
    with naming(target):
        partial.mkdir(exist_ok=True)
        # Report the error that ended the download, not a failure to clean up after it.
        return TemporaryDirectory(prefix="scratch-", dir=partial, ignore_cleanup_errors=True)


def _partial_folder(target: Path) -> Path:
    """Folder of incomplete files."""
    return target.with_name(f".{target.name}.parts")


def _sources(dataset: Files, target: Path, mirror: str | None) -> Iterator[Source]:
    """Yield the sources in order: those that are near and cost nothing first."""
    if dataset.bundled:
        package, _, inside = dataset.bundled.partition("/")
        spec = find_spec(package)  # finds it without the second that importing it takes
        for location in (spec and spec.submodule_search_locations) or ():
            yield LocalFolder(Path(location) / inside)
    for other in DATASETS.values():  # the same archives under another name, as those of EMNIST
        fetched = target.with_name(other.name)
        shared = isinstance(other, Dataset) and other.folder == dataset.folder
        if shared and fetched != target and fetched.is_dir():
            yield LocalFolder(fetched)
    if mirror:
        yield LocalFolder(Path(mirror) / dataset.folder)
    yield LocalFolder(SYSTEM_FOLDER / dataset.folder)
    for place in dataset.mirrors:
        yield HttpMirror(place, _partial_folder(target))
    if dataset.package:
        yield DebianPackage(dataset.package)


def _take(source: Source, wanted: list[Archive], target: Path, scratch: Path) -> dict[str, str]:
    """Move what a source has into the target; return the others by name, each with a reason."""
    unreachable: list[str] = []  # why the source does not answer, once it does not

    def take(archive: Archive) -> str | None:
        if unreachable:
            return unreachable[0]
        try:
            with naming(target / archive.file):
                copy = _first_good_copy(source, archive, scratch)
                os.replace(copy, target / archive.file)
        except Unreachable as error:
            unreachable.append(str(error))
            return str(error)
        except Unusable as error:
            return str(error)
        return None

    with ThreadPoolExecutor(source.at_once) as pool:
        try:
            reasons = list(pool.map(take, wanted))
        finally:  # after an error or an interrupt, end the other transfers
            source.stop.set()
            pool.shutdown(cancel_futures=True)
    return {a.name: reason for a, reason in zip(wanted, reasons, strict=True) if reason}


def _first_good_copy(source: Source, archive: Archive, scratch: Path) -> Path:
    """Copy candidates into `scratch`, decompressed if need be, until one has the right content."""
    reason = "no such file"
    with closing(source.candidates(archive, scratch)) as candidates:
        for candidate in candidates:
            try:
                return _copy(candidate, archive, scratch / f"copy-{archive.file}")
            except Unusable as error:
                reason = str(error)
    raise Unusable(reason)


def _copy(path: Path, archive: Archive, output: Path) -> Path:
    """Copy a file as it is to be kept, and check its content."""
    digest, size = hashlib.sha256(), 0
    with output.open("wb") as out:
        for block in _content(path, unpack=archive.unpacked):
            out.write(block)
            digest.update(block)
            size += len(block)
            if size > (archive.size or LONGEST):  # lest a small bad archive fill the disk
                raise Unusable(f"longer than {archive.size or LONGEST} bytes")
    if archive.size is not None and size < archive.size:
        raise Unusable(f"{size} bytes, not {archive.size}")
    if not digest.hexdigest().startswith(archive.sha256):
        raise Unusable("wrong SHA-256")
    return output


def _content(path: Path, *, unpack: bool) -> Iterator[bytes]:
    """Yield the content of a file, decompressed if it is gzipped, whatever its name says."""
    try:
        with path.open("rb") as file:
            gzipped = unpack and file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if gzipped else file
            while block := stream.read(BLOCK):
                yield block
    except EOFError as error:
        raise Unusable("truncated gzip") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Unusable("damaged gzip") from error
    except OSError as error:
        raise Unusable(error.strerror or str(error)) from error


def _is_complete(path: Path, archive: Archive) -> bool:
    """Whether a file has the right content."""
    if not path.is_file() or archive.size not in (None, path.stat().st_size):
        return False
    return sha256(path).startswith(archive.sha256)


def _nothing_found(
    dataset: Files, missing: list[Archive], failures: dict[str, dict[str, str]]
) -> str:
    """The sources that were tried, why each failed, and what to do, in one line."""
    places = []
    for place, reasons in failures.items():
        files: dict[str, list[str]] = {}  # reason -> archives: most often the same for all
        for archive in missing:
            files.setdefault(reasons[archive.name], []).append(archive.name)
        texts = (f"{reason} ({', '.join(names)})" for reason, names in files.items())
        places.append(f"{place}: {', '.join(files if len(files) == 1 else texts)}")
    return (
        f"No good copy of {', '.join(a.name for a in missing)} ({dataset.title}). "
        f"Tried {'; '.join(places)}. "
        f"Set THUMBNETS_MIRROR to a folder that has {dataset.folder}/{missing[0].name}, "
        f"{dataset.otherwise}"
    )
