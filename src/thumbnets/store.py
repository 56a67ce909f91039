"""Finished work, found by content and never done twice.

What a training or an evaluation writes is a function of its inputs. Its files lie in DVC's cache,
named by their MD5 as DVC names them, and a small record says which files belong to a key of all the
inputs. So work is found under another name (headline and pool), and by every workspace that shares
the cache (`dvc exp run --temp`, recipes); `dvc gc` may take files away, and then it is done anew.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from thumbnets import paths, runtime
from thumbnets.artifacts import write_bytes, write_json

_FORMAT = 1  # of the records; another one is not read


class Store:
    """Records of finished work in a folder of DVC's cache.

    Args:
        cache: DVC's cache; None if the project has none, and nothing is found or kept.
    """

    def __init__(self, cache: Path | None) -> None:
        self.cache = cache

    def has(self, key: str) -> bool:
        """Whether all files of that key are there; their content is not looked at."""
        return bool(objects := self._objects(key)) and all(
            path.is_file() for path in objects.values()
        )

    def take(self, key: str, files: Mapping[str, Path]) -> bool:
        """Write the files of finished work to their places.

        Args:
            key: Hash of all inputs of the work.
            files: Place of each file, by the name it was put under.

        Returns:
            Whether it was found, whole and unchanged; else nothing is written.
        """
        if runtime.retrains():
            return False
        contents = {}
        for name, path in self._objects(key).items():
            content = path.read_bytes() if path.is_file() else b""
            if _md5(content) != path.parent.name + path.name:  # taken away, or altered
                return False
            contents[name] = content
        if contents.keys() != files.keys():
            return False
        for name, content in contents.items():
            write_bytes(files[name], content)
        return True

    def put(self, key: str, files: Mapping[str, Path]) -> None:
        """Keep the files of finished work.

        Args:
            key: Hash of all inputs of the work.
            files: Where each file lies, by a name for `take`.
        """
        if self.cache is None:
            return
        found = {}
        for name, path in files.items():
            content = path.read_bytes()
            found[name] = _md5(content)
            target = self._object(found[name])
            if not target.is_file():
                write_bytes(target, content)
                os.chmod(target, 0o444)  # as DVC protects its objects
        write_json(self._record(key), {"format": _FORMAT, "files": found})

    def _objects(self, key: str) -> dict[str, Path]:
        """The object of each file of a key; none if there is no record."""
        if self.cache is None:
            return {}
        try:
            record = json.loads(self._record(key).read_text(encoding="utf-8"))
            if record["format"] != _FORMAT:
                return {}
            return {name: self._object(str(md5)) for name, md5 in record["files"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):  # none, or damaged
            return {}

    def _object(self, md5: str) -> Path:
        return self.cache / "files" / "md5" / md5[:2] / md5[2:]

    def _record(self, key: str) -> Path:
        return self.cache / "finished" / key[:2] / f"{key[2:]}.json"


def project_store() -> Store:
    """The store of the project in the working directory."""
    return Store(runtime.dvc_cache())


def training_key(slot: str, seed: int) -> str:
    """Hash of all that a training rests on: settings, code, images, folds, an encoder, its seed.

    Raises:
        ValueError: An input is missing: the stages before `train` have not run.
    """
    files = [
        paths.training_inputs(slot),
        paths.encoder_of(slot, seed),
        paths.TRAIN / "meta.json",  # has the checksum of images and labels
        paths.TRAIN / "fold.npy",
    ]
    return key_of("train", str(seed), *files)


def key_of(*parts: str | Path) -> str:
    """Hash of texts and of the content of files, in this order.

    Raises:
        ValueError: A file is missing.
    """
    digest = hashlib.sha256()
    for part in parts:
        try:
            content = part.read_bytes() if isinstance(part, Path) else part.encode()
        except FileNotFoundError:
            raise ValueError(f"{part} is missing: run `dvc repro`.") from None
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
