"""Whether files match dvc.lock: outputs in the working tree, and their copies in DVC's cache."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from thumbnets import paths
from thumbnets.doctor.state import md5
from thumbnets.messages import listed
from thumbnets.params import load_params
from thumbnets.recipes.workspace import cache_of
from thumbnets.store import object_path
from thumbnets.yaml_files import read_yaml

Checksums = dict[str, str]  # MD5 by path
Outputs = dict[str, list[dict[str, Any]]]  # of each stage, as dvc.lock has them


@dataclass(frozen=True)
class Checked:
    """Result of a check of all files.

    Attributes:
        hashed: Number of files that were hashed.
        faults: One line per file that does not match dvc.lock.
        missing: Missing outputs of the run. This is no fault: `dvc checkout` or `dvc repro` brings
            them back.
    """

    hashed: int
    faults: list[str]
    missing: list[str]

    def __str__(self) -> str:
        told = f"{self.hashed} files checked, {len(self.faults)} not as in dvc.lock"
        if self.missing:
            told += f"; missing: {listed(self.missing, 1)} (dvc checkout)"
        return "\n".join([*self.faults, told])


def check_files(root: Path) -> Checked:
    """Hash every output and every cached copy."""
    cache, outputs = cache_of(root), _outputs(root)
    places, faults = [], []
    for path, checksum in _checksums(outputs).items():
        copy = object_path(cache, checksum)
        places.append((copy, checksum.removesuffix(".dir"), f"the cached copy of {path}"))
        if not checksum.endswith(".dir"):
            places.append((root / path, checksum, path))
        elif copy.is_file():
            for inside, of_file in _listed(copy):
                name = f"{path}/{inside}"
                places.append((root / path / inside, of_file, name))
                places.append((object_path(cache, of_file), of_file, f"the cached copy of {name}"))
    there = [place for place in places if place[0].is_file()]
    for file, checksum, name in tqdm(there, "hashing", unit="file", leave=False, disable=None):
        if md5(file) != checksum:
            faults.append(f"{name} does not match dvc.lock: remove {file} and run `dvc repro`.")
    left = _left_behind(root, outputs)
    named = {name: file for file, _, name in places if not file.is_relative_to(cache)}
    gone = [name for name, file in named.items() if name not in left and not file.is_file()]
    return Checked(len(there), faults, gone)


def locked(root: Path) -> Checksums:
    """Every output that dvc.lock names, with its MD5; that of a folder ends in `.dir`."""
    return _checksums(_outputs(root))


def _checksums(outputs: Outputs) -> Checksums:
    return {out["path"]: out["md5"] for outs in outputs.values() for out in outs}


def _left_behind(root: Path, outputs: Outputs) -> set[str]:
    """Outputs of models and seeds that params no longer name; DVC keeps their entries."""
    try:
        params = load_params(root / paths.PARAMS)
    except (ValueError, OSError):  # reported elsewhere
        return set()
    items = paths.items(params.pool, params.seeds)
    left = {stage: of for stage, of in outputs.items() if stage.partition("@")[2] not in items}
    return set(_checksums(left))


def _outputs(root: Path) -> Outputs:
    """The outputs of each stage, as in dvc.lock."""
    stages = read_yaml(root / paths.LOCK)["stages"]
    return {name: stage.get("outs", []) for name, stage in stages.items()}


def _listed(folder: Path) -> Iterator[tuple[str, str]]:
    """Files of a folder, from DVC's list of them; none if the list is damaged."""
    try:
        rows = json.loads(folder.read_text(encoding="utf-8"))
        yield from [(row["relpath"], row["md5"]) for row in rows]
    except (ValueError, KeyError, TypeError):  # the list's own checksum reveals the damage
        return
