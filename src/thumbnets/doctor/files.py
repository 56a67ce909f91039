"""Weights, predictions and cached files against their checksums, and the space that they take."""

import json
import shlex
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from thumbnets import paths
from thumbnets.artifacts import read_arrays
from thumbnets.doctor.findings import Finding
from thumbnets.doctor.state import OTHER_RUN, locked, md5
from thumbnets.messages import listed
from thumbnets.params import Params
from thumbnets.store import object_path

_LITTLE = 1 << 30  # bytes of free disk space below which the disk is nearly full


def artifacts(root: Path, cache: Path) -> list[Finding]:
    """Weights and predictions, or their cached copies, that are not the ones dvc.lock names.

    DVC itself considers an altered cache object up to date, and restores it.
    """
    others, found = [], []
    for path, expected in sorted(locked(root).items()):
        if not path.endswith((".safetensors", ".npz")):
            continue
        copy = object_path(cache, expected)
        quoted = shlex.quote(str(copy))  # the cache may be elsewhere
        own, of_copy = (md5(file) if file.is_file() else None for file in (root / path, copy))
        again = f"dvc pull {path}, or make it again: dvc repro"
        if own not in (None, expected):
            # If the cache is elsewhere, the checksum in the file itself has to do.
            known = _is_whole(object_path(cache, own))
            if known or (of_copy is None and _is_verified(root / path)):
                others.append(path)
            elif of_copy == expected:
                found.append(_altered(path, f"rm -f {path} && dvc checkout {path}"))
            else:
                found.append(_altered(path, f"rm -f {path} {quoted} && {again}"))
        if of_copy not in (None, expected):
            name = copy.relative_to(root) if copy.is_relative_to(root) else copy
            without = f"rm -f {path} {quoted} && {again}"
            remedy = f"cp -f {path} {quoted}" if own == expected else without
            found.append(_altered(f"{name}, the cached copy of {path},", remedy))
    if others:
        remedy = "dvc checkout, or else dvc repro"
        found.append(Finding(f"{listed(others, 1)}: {OTHER_RUN}", remedy))
    return found


def _altered(what: str, remedy: str) -> Finding:
    return Finding(f"{what} is altered: its bytes do not match dvc.lock", remedy)


def _is_whole(copy: Path) -> bool:
    """Whether DVC's cache has this object, with bytes that match its name."""
    return copy.is_file() and md5(copy) == copy.parent.name + copy.name


def _is_verified(file: Path) -> bool:
    """Whether a file matches the checksums stored in it: weights have one, npz one per member."""
    if file.suffix == ".npz":
        with suppress(ValueError):
            return bool(read_arrays(file))
        return False
    from thumbnets.methods.weights import read_key  # not before: importing torch takes seconds

    return read_key(file) is not None


def missing(root: Path, params: Params) -> list[Finding]:
    """Missing weights and predictions of the run; no finding if all are, as in a fresh clone."""
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


def room(root: Path, cache: Path) -> list[Finding]:
    """Whether the disk is nearly full, with the size of the cache and what `dvc gc` would free."""
    objects = {
        file: file.stat().st_size
        for file in sorted((cache / "files" / "md5").glob("??/*"))
        if file.is_file()
    }
    used = {object_path(cache, md5) for md5 in _in_use(root, cache)}
    free = min(shutil.disk_usage(disk).free for disk in (root, cache) if disk.is_dir())
    spare = sum(size for file, size in objects.items() if file not in used)
    told = (
        f"DVC's cache holds {_megabytes(sum(objects.values()))}, of which {_megabytes(spare)} are "
        f"from other runs; {_megabytes(free)} of the disk are free"
    )
    short = free < _LITTLE
    frees = "dvc gc --workspace (other commits and experiments lose their files)"
    if free + spare < _LITTLE:  # it would not be enough
        frees = "make room on the disk"
    return [Finding(told, frees if short else "nothing to do", broken=short)]


def _in_use(root: Path, cache: Path) -> Iterator[str]:
    """Checksums that the run of the working tree needs, including those inside folders."""
    for checksum in locked(root).values():
        yield checksum
        listing = object_path(cache, checksum)
        if checksum.endswith(".dir") and listing.is_file():
            try:
                yield from (entry["md5"] for entry in json.loads(listing.read_bytes()))
            except (ValueError, TypeError, KeyError):
                continue


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
