"""Whether files are what dvc.lock says: outputs in the tree, and their copies in DVC's cache."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from thumbnets.messages import listed
from thumbnets.recipes.workspace import cache_of
from thumbnets.yaml_files import read_yaml

Checksums = dict[str, str]  # MD5 by path


@dataclass(frozen=True)
class Checked:
    """What a look at all files has found.

    Attributes:
        hashed: Number of files that were hashed.
        faults: A line for each that is not what dvc.lock says.
        missing: Outputs that are not there, which is no fault: `dvc checkout` or `dvc repro` brings
            them, and dvc.lock still names those of models that have left the pool.
    """

    hashed: int
    faults: list[str]
    missing: list[str]

    def __str__(self) -> str:
        told = f"{self.hashed} files hashed, {len(self.faults)} are not as locked"
        if self.missing:
            told += f"; not there: {listed(self.missing, 1)} (dvc checkout)"
        return "\n".join([*self.faults, told])


def check_files(root: Path) -> Checked:
    """Hash every output and every cached copy."""
    cache = cache_of(root) / "files/md5"
    places, faults = [], []
    for path, checksum in locked(root).items():
        copy = in_cache(cache, checksum)
        places.append((copy, checksum.removesuffix(".dir"), f"the cached copy of {path}"))
        if not checksum.endswith(".dir"):
            places.append((root / path, checksum, path))
        elif copy.is_file():
            for inside, of_file in _listed(copy):
                name = f"{path}/{inside}"
                places.append((root / path / inside, of_file, name))
                places.append((in_cache(cache, of_file), of_file, f"the cached copy of {name}"))
    there = [place for place in places if place[0].is_file()]
    for file, checksum, name in tqdm(there, "hashing", unit="file", leave=False, disable=None):
        if _md5(file) != checksum:
            faults.append(f"{name} is not what dvc.lock says: remove {file} and run `dvc repro`.")
    outputs = [(file, name) for file, _, name in places if not file.is_relative_to(cache)]
    return Checked(len(there), faults, [name for file, name in outputs if not file.is_file()])


def locked(root: Path) -> Checksums:
    """Every output that dvc.lock names, with its MD5; that of a folder ends in `.dir`."""
    stages = read_yaml(root / "dvc.lock")["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}


def in_cache(cache: Path, checksum: str) -> Path:
    """Where DVC keeps the file with a checksum."""
    return cache / checksum[:2] / checksum[2:]


def _listed(folder: Path) -> Iterator[tuple[str, str]]:
    """Files of a folder by the list that DVC keeps of it; none if the list is damaged."""
    try:
        rows = json.loads(folder.read_text(encoding="utf-8"))
        yield from [(row["relpath"], row["md5"]) for row in rows]
    except (ValueError, KeyError, TypeError):  # its own checksum tells
        return


def _md5(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()
