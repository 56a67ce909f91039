"""Finished work, found by content and never done twice.

What a training or an evaluation writes is a function of its inputs. Its files lie in DVC's cache,
named by their MD5 as DVC names them, and a small record says which files belong to a key of all the
inputs. So work is found under another name (headline and pool), and by every workspace that shares
the cache (`dvc exp run --temp`, recipes). If `dvc gc` removes files, their work is done again.

Work done on a GPU has a record of its own, since its bytes differ from those of a CPU.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from thumbnets import paths, runtime
from thumbnets.artifacts import read_json, sha256, write_bytes, write_json
from thumbnets.claims import claim, holder
from thumbnets.fingerprint import changed
from thumbnets.messages import listed

_FORMAT = 1  # of the records; another one is not read


class Key(str):
    """A hash of inputs.

    Attributes:
        code: The fingerprints among the inputs, as stage `code` has made them.
    """

    code: list[Mapping[str, Any]]


class Store:
    """Records of finished work in a folder of DVC's cache.

    Args:
        cache: DVC's cache; None if the project has none, and nothing is found or kept.
        device: Type of the device whose work is kept, such as `cpu` or `cuda`.
        accepted: Type of another device whose work is found too, and first; None: no other.
    """

    def __init__(
        self, cache: Path | None, device: str = "cpu", accepted: str | None = None
    ) -> None:
        self.cache, self.device = cache, device
        self.devices = tuple(dict.fromkeys([accepted or device, device]))

    def has(self, key: str) -> bool:
        """Whether all files of that key are there; their content is not looked at."""
        return self._whole(key) is not None

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
        for record in self._records(key):
            contents = self._contents(record)
            if contents.keys() == files.keys():
                for name, content in contents.items():
                    write_bytes(files[name], content)
                return True
        return False

    def put(
        self, key: str, files: Mapping[str, Path], about: Mapping[str, Any] | None = None
    ) -> None:
        """Keep the files of finished work.

        Args:
            key: Hash of all inputs of the work.
            files: Where each file lies, by a name for `take`.
            about: How it was done, for `about`; not part of the work.

        Raises:
            ValueError: The code is no longer that of the key, so it may have done something else.
        """
        _check_code(key)
        if self.cache is None:
            return
        found, sums = {}, {}
        for name, path in files.items():
            content = path.read_bytes()
            found[name], sums[name] = _md5(content), hashlib.sha256(content).hexdigest()
            target = self._object(found[name])
            if not target.is_file() or _md5(target.read_bytes()) != found[name]:  # none, or damaged
                write_bytes(self._ready(target), content)
                os.chmod(target, 0o444)  # as DVC protects its objects
        record = {"format": _FORMAT, "files": found, "sha256": sums, "about": about or {}}
        write_json(self._ready(self._record(key, self.device)), record)

    @contextmanager
    def kept(self, key: str) -> Iterator[None]:
        """Restore what was kept under a key, if anything, whatever is put there meanwhile."""
        record = None if self.cache is None else self._record(key, self.device)
        content = record.read_bytes() if record and record.is_file() else None
        try:
            yield
        finally:
            if content is not None:
                write_bytes(record, content)

    def remember(self, kind: str, key: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was found under a key before, or is found now and kept for the next time.

        Args:
            kind: Folder of the cache for findings of that kind.
            key: Hash of all that the finding rests on.
            find: Function that finds it, as values that JSON can hold.
        """
        if self.cache is None:
            return find()
        record = self.cache / kind / key[:2] / f"{key[2:]}.json"
        try:
            known = read_json(record)
            if known["format"] == _FORMAT and known["sha256"] == _digest(known["found"]):
                return known["found"]
        except (OSError, ValueError, LookupError):  # none, or damaged
            pass
        found = json.loads(json.dumps(find()))  # the same types whether it was known or not
        content = {"format": _FORMAT, "sha256": _digest(found), "found": found}
        write_json(self._ready(record), content, exact=True)
        return found

    def finish(
        self,
        key: str,
        files: Mapping[str, Path],
        title: str,
        work: Callable[[Mapping[str, Path]], None],
    ) -> None:
        """Write the files of work that is found, or else done now; never by two at once.

        Args:
            key: Hash of all inputs of the work.
            files: Place of each file, by a name.
            title: How the work is named where it is found, or under way elsewhere.
            work: Function that does it, and writes the files to the paths that it is given.

        Raises:
            ValueError: The code is no longer that of the key; no file is written.
        """
        told = None
        while True:
            with self.claim(key) as held_by:
                if held_by is None:
                    if self.take(key, files):
                        print(f"{title}: trained before, found by its inputs", flush=True)
                    else:
                        self._do(key, files, work)
                    return
            if told != held_by:
                told = held_by
                print(f"{title}: under way in {held_by}, waiting", flush=True)
            time.sleep(1)

    def _do(
        self, key: str, files: Mapping[str, Path], work: Callable[[Mapping[str, Path]], None]
    ) -> None:
        with TemporaryDirectory() as folder:  # until it is certain that the code is that of the key
            made = {name: Path(folder, path.name) for name, path in files.items()}
            started = time.monotonic()
            work(made)
            seconds = round(time.monotonic() - started, 3)
            self.put(key, made, {"machine": runtime.machine(), "seconds": seconds})
            for name, path in made.items():
                write_bytes(files[name], path.read_bytes())

    def sha256_of(self, key: str, name: str) -> str | None:
        """SHA-256 of a file of finished work; None if some of its files are not there."""
        return (self._whole(key) or {}).get("sha256", {}).get(name)

    def about(self, key: str) -> dict[str, Any]:
        """How finished work was done: its machine and seconds; empty if that is not known."""
        records = self._records(key)
        return records[0].get("about", {}) if records else {}

    @contextmanager
    def claim(self, key: str) -> Iterator[str | None]:
        """Hold the claim of a key; yields who has it, or None if it is ours now.

        Raises:
            ValueError: It is ours, and the code is no longer that of the key.
        """
        with claim(self._ready(self._claim(key))) if self.cache else nullcontext() as held_by:
            if held_by is None:
                _check_code(key)
            yield held_by

    def holder(self, key: str) -> str | None:
        """Who has the work of a key under way, or None."""
        return None if self.cache is None else holder(self._claim(key))

    def _records(self, key: str) -> list[dict[str, Any]]:
        """Records of a key, of each device that has one; without damaged ones."""
        if self.cache is None:
            return []
        return list(filter(None, (_read(self._record(key, device)) for device in self.devices)))

    def _whole(self, key: str) -> dict[str, Any] | None:
        """The first record of a key whose files are all there; their content is not looked at."""
        for record in self._records(key):
            objects = self._objects(record).values()
            if objects and all(path.is_file() for path in objects):
                return record
        return None

    def _objects(self, record: Mapping[str, Any]) -> dict[str, Path]:
        """The object of each file of a record."""
        return {name: self._object(str(md5)) for name, md5 in record["files"].items()}

    def _contents(self, record: Mapping[str, Any]) -> dict[str, bytes]:
        """The content of each file of a record; empty if one was taken away or altered."""
        contents, sums = {}, record.get("sha256", {})
        for name, path in self._objects(record).items():
            content = path.read_bytes() if path.is_file() else b""
            if _md5(content) != path.parent.name + path.name:
                return {}
            if sums and sums.get(name) != hashlib.sha256(content).hexdigest():
                return {}
            contents[name] = content
        return contents

    def _ready(self, path: Path) -> Path:
        """The path of a file; who may write to the cache may write to its folder, made if need be.

        A cache that a group shares (DVC's `cache.shared`) has folders that the group may write to.
        """
        above = [one for one in path.parents if one.is_relative_to(self.cache)]
        for folder in reversed([one for one in above if not one.is_dir()]):
            folder.mkdir(parents=True, exist_ok=True)
            if folder != self.cache:
                with suppress(OSError):  # another process made it
                    os.chmod(folder, stat.S_IMODE(folder.parent.stat().st_mode))
        return path

    def _object(self, md5: str) -> Path:
        return object_path(self.cache, md5)

    def _record(self, key: str, device: str, suffix: str = ".json") -> Path:
        of_device = "" if device == "cpu" else f".{device}"
        return self.cache / "finished" / key[:2] / f"{key[2:]}{of_device}{suffix}"

    def _claim(self, key: str) -> Path:
        return self._record(key, self.device, ".claim")


def object_path(cache: Path, md5: str) -> Path:
    """Path of an object in DVC's cache."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def project_store(device: str | None = None) -> Store:
    """The store of the project in the working directory.

    Args:
        device: Type of the device whose work it holds; None: that of this machine, and the one
            accepted here.
    """
    if device:
        return Store(runtime.dvc_cache(), device)
    return Store(runtime.dvc_cache(), runtime.device_type(), runtime.accepted_device())


def training_files(slot: str, seed: int) -> dict[str, Path]:
    """Files that a training writes, by the names under which the store has them."""
    if block := paths.encoder_of_slot(slot):
        weights = paths.encoder(block, seed)
        return {"weights": weights, "history": weights.with_suffix(".csv")}
    return {
        "weights": paths.weights(slot, seed),
        "validation": paths.validation_predictions(slot, seed),
        "history": paths.history(slot, seed),
    }


def training_inputs(slot: str) -> dict[str, Any]:
    """What the training of a slot depends on, as stage `code` has written it.

    Raises:
        ValueError: Stage `code` has not run, or not for this slot.
    """
    content, block = read_json(paths.training_inputs(slot)), paths.encoder_of_slot(slot)
    if block is None:
        return content
    if block not in content["encoders"]:
        raise ValueError(f"{block} is no encoder of the last run: run `dvc repro`.")
    return content["encoders"][block]


def training_key(slot: str, seed: int) -> Key:
    """Hash of all that a training rests on: settings, code, images, folds, groups, encoder, seed.

    Raises:
        ValueError: An input is missing: the stages before `train` have not run.
    """
    groups = paths.TRAIN / "group.npy"
    of_images = [
        paths.TRAIN / "meta.json",  # has the checksum of images and labels
        paths.TRAIN / "fold.npy",
        *[groups] * groups.is_file(),
    ]
    if not paths.encoder_of_slot(slot):
        inputs = [paths.training_inputs(slot), paths.encoder_of(slot, seed)]
        return key_of("train", str(seed), *inputs, *of_images)
    rests_on = training_inputs(slot)
    key = key_of("pretrain", str(seed), json.dumps(rests_on, sort_keys=True), *of_images)
    key.code = [rests_on]
    return key


def note_encoder(slot: str, seed: int, block: str | None, checksum: str | None = None) -> None:
    """Note for a training which encoder it begins with.

    Args:
        slot: Slot of the training.
        seed: Its seed.
        block: Block of the encoder; None: it begins with none.
        checksum: SHA-256 of the encoder; None: that of the file in its place.
    """
    of_encoder = {block: checksum or sha256(paths.encoder(block, seed))} if block else {}
    write_json(paths.encoder_of(slot, seed), of_encoder)


def key_of(*parts: str | Path) -> Key:
    """Hash of strings and of the content of files, in this order.

    Raises:
        ValueError: A file is missing.
    """
    digest, code = hashlib.sha256(), []
    for part in parts:
        try:
            content = part.read_bytes() if isinstance(part, Path) else part.encode()
        except FileNotFoundError:
            raise ValueError(f"{part} is missing: run `dvc repro`.") from None
        digest.update(hashlib.sha256(content).digest())
        if isinstance(part, Path) and part.is_relative_to(paths.INPUTS):
            code.append(read_json(part))
    key = Key(digest.hexdigest())
    key.code = [content for content in code if "modules" in content]
    return key


def _check_code(key: str) -> None:
    """Refuse work by code that was changed after stage `code` had read it.

    Raises:
        ValueError: It was.
    """
    if isinstance(key, Key) and (names := changed(key.code, paths.SOURCE)):
        raise ValueError(
            f"{listed(names, 3)}: changed since stage `code` ran, so what it does "
            "would be kept as work of other code: run the same command again."
        )


def _read(path: Path) -> dict[str, Any]:
    """A record; empty if there is none, or a damaged one."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        maps = (record["files"], record.get("sha256", {}), record.get("about", {}))
        whole = record["format"] == _FORMAT and all(isinstance(one, dict) for one in maps)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return record if whole else {}


def _digest(found: object) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
