"""Reading and writing the files of the pipeline: atomically, and with reproducible bytes.

Everything is written under a temporary name and renamed, so that a full disk or a kill leaves no
half-written file; JSON is strict, sorted and rounded; nothing is unpickled.
"""

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

PLACES = 6  # decimals of a figure: finer than any sample here supports


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under a temporary name beside it, which is renamed in the end.

    Raises:
        OSError: The disk is full or read-only; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


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
        ValueError: The file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: run `dvc repro`.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from None


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows under a header; floats are rounded to 6 places."""
    rows = [_rounded(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file with a header."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: run `dvc repro`.")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


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

    Raises:
        ValueError: The file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: run `dvc repro`.") from None
    except (ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}): remove it and run `dvc repro`.") from None


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
