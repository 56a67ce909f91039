"""Weights and cached files against their checksums, and the room that they take."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from thumbnets import paths
from thumbnets.doctor.findings import Finding
from thumbnets.doctor.state import locked
from thumbnets.params import Params

_LITTLE = 1 << 30  # bytes of disk that are left


def weights(root: Path, cache: Path) -> list[Finding]:
    """Weights, or their copies in DVC's cache, that are not those which dvc.lock names.

    DVC itself calls an altered cache object up to date, and restores it.
    """
    found = []
    for path, expected in sorted(locked(root).items()):
        if not path.endswith(".safetensors"):
            continue
        for file in (root / path, cached(cache, expected)):
            if file.is_file() and _md5(file) != expected:
                name = file.relative_to(root) if file.is_relative_to(root) else file
                found.append(
                    Finding(
                        f"{name} is altered: not the bytes that dvc.lock names for {path}",
                        f"rm -f {path} {cached(cache, expected)} && dvc pull {path}, or train it "
                        "again: dvc repro",
                    )
                )
    return found


def missing(root: Path, params: Params) -> list[Finding]:
    """Weights and predictions of the run that were taken away; a fresh clone has none at all."""
    slots, seeds = [*params.pool, paths.HEADLINE], params.seeds
    wanted = [
        *(paths.weights(slot, seed) for slot in slots for seed in seeds),
        *(paths.validation_predictions(slot, seed) for slot in slots for seed in seeds),
        *(paths.test_predictions(slot) for slot in slots),
    ]
    named = locked(root)
    of_run = [path for path in wanted if str(path) in named]
    gone = [path for path in of_run if not (root / path).is_file()]
    if not gone or gone == of_run:
        return []
    more = f" and {len(gone) - 1} more are" if len(gone) > 1 else " is"
    return [Finding(f"{gone[0]}{more} missing", "dvc checkout, or else dvc repro", broken=False)]


def cached(cache: Path, md5: str) -> Path:
    """Where DVC's cache keeps an object."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest()


def room(root: Path, cache: Path) -> list[Finding]:
    """A disk that is nearly full; and always, what the cache takes and `dvc gc` would free."""
    objects = {
        file: file.stat().st_size
        for file in sorted((cache / "files" / "md5").glob("??/*"))
        if file.is_file()
    }
    used = {cached(cache, md5) for md5 in _in_use(root, cache)}
    free = shutil.disk_usage(root).free
    spare = sum(size for file, size in objects.items() if file not in used)
    told = (
        f"DVC's cache holds {_megabytes(sum(objects.values()))}, of which {_megabytes(spare)} are "
        f"of other runs; {_megabytes(free)} of the disk are free"
    )
    short = free < _LITTLE
    frees = "dvc gc --workspace (other commits and experiments lose their files)"
    return [Finding(told, frees if short else "nothing to do", broken=short)]


def _in_use(root: Path, cache: Path) -> Iterator[str]:
    """Checksums that the run of the working tree needs, those in folders too."""
    for md5 in locked(root).values():
        yield md5
        listing = cached(cache, md5)
        if md5.endswith(".dir") and listing.is_file():
            try:
                yield from (entry["md5"] for entry in json.loads(listing.read_bytes()))
            except (ValueError, TypeError, KeyError):
                continue


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
