"""Finished trainings as bytes, sent from a machine that shares no files with this one.

A line of JSON describes what follows: name, length and SHA-256 of each file. Nothing in a parcel is
executed. `python -m thumbnets.launch.parcel KEY SLOT SEED` writes a finished training to stdout.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from thumbnets import runtime
from thumbnets.stage import run
from thumbnets.store import Store, project_store, training_files


def pack(files: Mapping[str, bytes], about: Mapping[str, Any]) -> bytes:
    """Pack files into one parcel.

    Args:
        files: Content of each file by name.
        about: Description of their origin, as values of JSON.
    """
    listed = {
        name: {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }
    head = json.dumps({"about": about, "files": listed}).encode()
    return b"\n".join([head, b"".join(files.values())])


def unpack(parcel: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The arguments that `pack` was given.

    Raises:
        ValueError: The parcel is truncated or altered.
    """
    head, _, rest = parcel.partition(b"\n")
    try:
        content = json.loads(head)
        listed = [(name, one["length"], one["sha256"]) for name, one in content["files"].items()]
        about = dict(content["about"])
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError("the returned data is not a training, or is damaged") from None
    files = {}
    for name, length, sha256 in listed:
        files[name], rest = rest[:length], rest[length:]
        if hashlib.sha256(files[name]).hexdigest() != sha256:
            raise ValueError(f"the returned {name} is damaged (SHA-256)")
    return files, about


def put_parcel(parcel: bytes, store: Store, key: str, names: set[str]) -> None:
    """Store a finished training that was sent back.

    Args:
        parcel: Bytes from `pack`.
        store: Store that gets it.
        key: Hash of all its inputs.
        names: Names of the files that it must have.

    Raises:
        ValueError: The parcel is damaged, or has other files.
    """
    files, about = unpack(parcel)
    if files.keys() != names:
        raise ValueError(f"the returned data has other files: {', '.join(files) or 'none'}")
    with TemporaryDirectory() as folder:
        places = {name: Path(folder, name) for name in files}
        for name, place in places.items():
            place.write_bytes(files[name])
        store.put(key, places, about)


def main(key: str, slot: str, seed: str) -> None:
    """Write a parcel to stdout, or nothing if the training is not finished."""
    store = project_store(runtime.device_type())
    with TemporaryDirectory() as folder:
        places = {name: Path(folder, name) for name in training_files(slot, int(seed))}
        if store.take(key, places):
            files = {name: place.read_bytes() for name, place in places.items()}
            sys.stdout.buffer.write(pack(files, store.about(key)))


if __name__ == "__main__":
    run(main, *sys.argv[1:])
