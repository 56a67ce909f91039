"""Reading and writing the files of the pipeline: atomically, and with reproducible bytes.

Everything is written under a temporary name and renamed, so that a full disk or a kill leaves no
half-written file; JSON is strict, sorted and rounded; nothing is unpickled.
"""

import csv
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from thumbnets.messages import quote, reason

PLACES = 6  # decimals of a figure: finer than any sample here supports

_LONGEST_JSON = 1 << 26  # bytes; ours have a few hundred kilobytes
_LONGEST_TABLE = 1 << 30  # bytes; a list of ten million images
_AGAIN = "remove it and run `dvc repro`"


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under a temporary name beside it, and rename it at the end.

    Raises:
        OSError: The disk is full or read-only; the message names `path`, and the file that was
            there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                yield file
            os.replace(temporary, path)
    finally:
        with suppress(OSError):  # on a read-only disk, where there is nothing to remove
            temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the name of a file to disk errors: that of a full disk has none.

    Raises:
        OSError: The error, with the name of `path`.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # raised by another library
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def parsing(path: Path | str, remedy: str = _AGAIN) -> Iterator[None]:
    """Turn whatever a parser raises over damaged content into one line that names the file.

    Parsers of other libraries raise a dozen types (zlib.error, TokenError, struct.error, KeyError,
    …), none of which is a bug here as long as the bytes come from a file.

    Args:
        path: The file that is parsed.
        remedy: What to do about a damaged file.

    Raises:
        ValueError: The content is damaged.
        OSError: The disk can't be read or written; the message names a file.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, error.filename or str(path)) from None
        raise ValueError(f"{path} is damaged ({reason(error)}): {remedy}.") from None


def read_bounded(path: Path, longest: int) -> bytes:
    """Read a whole file of at most `longest` bytes.

    Raises:
        ValueError: It is missing, or longer.
        OSError: It can't be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(min(size, longest) + 1)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: run `dvc repro`.") from None
    if len(content) > size or size > longest:
        raise ValueError(f"{path} must have at most {longest:,} bytes, got {size:,} or more.")
    return content


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; errors as `replacing`."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write text as UTF-8 with a final newline."""
    write_bytes(path, (content.rstrip("\n") + "\n").encode())


def write_json(path: Path, content: Mapping[str, Any], *, exact: bool = False) -> None:
    """Write strict JSON with sorted keys; floats are rounded to 6 places, unless `exact`.

    Raises:
        ValueError: A number is not finite.
    """
    write_text(
        path,
        json.dumps(
            content if exact else _rounded(content),
            indent=2,
            sort_keys=True,
            allow_nan=False,
            ensure_ascii=False,
        ),
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: The file is missing, too long, or not a strict JSON object.
    """
    content = read_bounded(path, _LONGEST_JSON)
    try:
        parsed = json.loads(content, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {reason(error)}") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"{path} must hold a JSON object, got {quote(parsed)}.")
    return parsed


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows under a header; floats are rounded to 6 places."""
    rows = [_rounded(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file with a header; errors as `read_lines`."""
    return [row for _, row in read_lines(path)]


def read_lines(path: Path, remedy: str = _AGAIN) -> list[tuple[int, dict[str, str]]]:
    """Read the rows of a CSV file with a header, each with the number of the line it ends in.

    Args:
        path: The file.
        remedy: What to do about a damaged file.

    Raises:
        ValueError: The file is missing, too long, not CSV, or a row has more or fewer cells than
            the header.
    """
    content = read_bounded(path, _LONGEST_TABLE)
    with parsing(path, remedy):
        text = io.StringIO(content.decode("utf-8-sig"), newline="")  # as spreadsheets save
        reader = csv.DictReader(text, strict=True)
        rows = [(reader.line_num, row) for row in reader]
        for number, row in rows:
            if None in row or None in row.values():
                raise ValueError(f"line {number} has more or fewer cells than the header")
    return rows


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array as .npy."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_bytes(path, content.getvalue())


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write named arrays as .npz, with bytes that depend on the arrays alone.

    Files of `np.savez` differ between releases of Python (a flag of large archives, 3.11.2 and
    3.11.7) and, if compressed, of zlib.
    """
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            archive.writestr(ZipInfo(f"{name}.npy"), member.getvalue())
    write_bytes(path, content.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote.

    Members must be stored uncompressed: a compressed one could have any size in memory.

    Raises:
        ValueError: The file is missing or damaged.
    """
    if not path.exists():
        raise ValueError(f"{path} is missing: run `dvc repro`.")
    with parsing(path), ZipFile(path) as archive:
        check_stored(archive, path.stat().st_size)
        return dict(_read_member(archive, member) for member in archive.infolist())


def check_stored(archive: ZipFile, size: int) -> None:
    """Check that a ZIP file can't unpack to more than its own length.

    Args:
        archive: The open file.
        size: Its length in bytes.

    Raises:
        ValueError: A member is compressed, or members share their bytes.
    """
    members = archive.infolist()
    for member in members:
        if member.compress_type != ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(f"{quote(member.filename)} is compressed")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its members are longer than the file")


def _read_member(archive: ZipFile, member: ZipInfo) -> tuple[str, np.ndarray]:
    content = archive.read(member)
    check_array(io.BytesIO(content), len(content))
    array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return member.filename.removesuffix(".npy"), array


def read_array(path: Path, *, mapped: bool = False) -> np.ndarray:
    """Read one array of a .npy file.

    Args:
        path: The file.
        mapped: Whether it stays on disk, as a memory map that is changed in memory only.

    Raises:
        ValueError: The file is missing or damaged.
    """
    if not path.exists():
        raise ValueError(f"{path} is missing: run `dvc repro`.")
    with parsing(path):
        with path.open("rb") as file:
            check_array(file, os.fstat(file.fileno()).st_size)
        return np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False)


def check_array(file: IO[bytes], size: int) -> None:
    """Check the header of a .npy file before memory is allocated for the size it states.

    Args:
        file: The file, at its first byte; afterwards it is positioned behind the header.
        size: Length of the file in bytes.

    Raises:
        ValueError: The header is not one of numpy's, holds Python objects, or states another size.
    """
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("only version 1.0 of the .npy format is read")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    needed = file.tell() + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or needed != size:
        raise ValueError(f"shape {shape} of {dtype} needs {needed:,} bytes, got {size:,}")


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_stale(folder: Path, names: Iterable[str]) -> None:
    """Remove the entries of a folder that the current params do not name.

    A seed or model that was removed from params.yaml leaves its files behind, and a stage that
    depends on the whole folder would have another hash in dvc.lock for the same params.

    Args:
        folder: Folder to clean; it may be missing.
        names: Names of the entries to keep.
    """
    found = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    for stray in sorted(found - {*names, ".gitignore"}):  # DVC writes one beside outputs
        if (folder / stray).is_dir():
            shutil.rmtree(folder / stray)
        else:
            (folder / stray).unlink()


def _rounded(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    if isinstance(content, np.generic):
        content = content.item()
    return round(content, PLACES) if isinstance(content, float) else content
