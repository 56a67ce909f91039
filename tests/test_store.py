"""Finished work is found by its inputs, whole and unchanged, or not at all."""

import json
import stat
from pathlib import Path

import pytest

from thumbnets import paths, runtime
from thumbnets.artifacts import sha256, write_json
from thumbnets.fingerprint import fingerprint, forget
from thumbnets.store import Store, key_of, training_key

KEY, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Two files of a finished training."""
    found = {"weights": tmp_path / "w", "history": tmp_path / "h"}
    found["weights"].write_bytes(b"\0weights")
    found["history"].write_bytes(b"epoch\n1\n")
    return found


@pytest.fixture
def store(tmp_path: Path, files) -> Store:
    """A store that has them."""
    store = Store(tmp_path / "cache")
    store.put(KEY, files)
    return store


def elsewhere(tmp_path: Path) -> dict[str, Path]:
    return {"weights": tmp_path / "there/w", "history": tmp_path / "there/h"}


def objects(store: Store) -> list[Path]:
    return sorted(path for path in (store.cache / "files").rglob("*") if path.is_file())


def test_who_may_write_to_the_cache_may_write_to_all_its_folders(files, tmp_path):
    cache = tmp_path / "shared"
    cache.mkdir()
    cache.chmod(0o2775)
    store = Store(cache)
    with store.claim(KEY):
        store.put(KEY, files)
    store.remember("costs", KEY, dict)
    folders = [path for path in cache.rglob("*") if path.is_dir()]
    assert len(folders) == 8 and {path.stat().st_mode & 0o7777 for path in folders} == {0o2775}


def test_what_was_put_is_taken_under_other_paths(store, files, tmp_path):
    assert store.has(KEY) and store.take(KEY, elsewhere(tmp_path))
    for name, path in elsewhere(tmp_path).items():
        assert path.read_bytes() == files[name].read_bytes()


def test_objects_are_those_of_dvc_by_md5_and_read_only(store):
    names = {path.parent.name + path.name for path in objects(store)}
    # as md5sum prints them
    assert names == {"0aa1d9dee1fee2d25fef0a31723fe695", "bdfa9e574729c9b418354bf0cb657e78"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in objects(store)} == {0o444}


def test_another_key_other_files_and_no_cache_find_nothing(store, files, tmp_path):
    assert not store.has(OTHER) and not store.take(OTHER, elsewhere(tmp_path))
    assert not store.take(KEY, {"weights": tmp_path / "there/w"})
    nothing = Store(None)
    nothing.put(KEY, files)
    assert not nothing.has(KEY) and not nothing.take(KEY, elsewhere(tmp_path))
    assert not (tmp_path / "there").exists()


def test_what_was_taken_away_or_altered_is_not_found(store, tmp_path):
    path = objects(store)[0]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"!")
    assert not store.take(KEY, elsewhere(tmp_path))
    path.unlink()
    assert not store.has(KEY) and not store.take(KEY, elsewhere(tmp_path))
    assert not (tmp_path / "there").exists()


def test_a_damaged_object_is_mended_by_the_same_work(store, files, tmp_path):
    path = objects(store)[0]
    path.chmod(0o644)
    path.write_bytes(b"")
    store.put(KEY, files)
    assert store.take(KEY, elsewhere(tmp_path)) and stat.S_IMODE(path.stat().st_mode) == 0o444


def test_what_is_not_of_its_sha256_is_not_taken(store, files, tmp_path):
    """MD5, by which DVC names its objects, can be met by other content on purpose."""
    (path,) = (store.cache / "finished").rglob("*.json")
    record = json.loads(path.read_text())
    assert record["sha256"] == {name: sha256(file) for name, file in files.items()}
    record["sha256"]["weights"] = "0" * 64
    path.write_text(json.dumps(record))
    assert not store.take(KEY, elsewhere(tmp_path))
    del record["sha256"]  # of an earlier release
    path.write_text(json.dumps(record))
    assert store.take(KEY, elsewhere(tmp_path))


def test_of_each_kind_of_device_there_is_one(store, files, tmp_path):
    gpu = Store(store.cache, "cuda")
    assert not gpu.has(KEY) and not gpu.take(KEY, elsewhere(tmp_path))
    gpu.put(KEY, files, {"machine": {"device": "cuda"}, "seconds": 3.0})
    assert gpu.has(KEY) and gpu.about(KEY)["seconds"] == 3.0
    assert store.has(KEY) and store.about(KEY) == {}
    with gpu.claim(KEY) as other:
        assert other is None and gpu.holder(KEY) and store.holder(KEY) is None


def test_work_of_an_accepted_device_is_found_first_and_ones_own_kept_apart(store, files, tmp_path):
    gpu, both = Store(store.cache, "cuda"), Store(store.cache, "cpu", accepted="cuda")
    assert both.take(KEY, elsewhere(tmp_path))  # of the CPU, as long as no GPU has it
    of_gpu = {name: tmp_path / f"gpu-{name}" for name in files}
    for name, path in of_gpu.items():
        path.write_text(name)
    gpu.put(KEY, of_gpu, {"seconds": 3.0})
    assert both.take(KEY, elsewhere(tmp_path)) and both.about(KEY) == {"seconds": 3.0}
    assert elsewhere(tmp_path)["weights"].read_text() == "weights"
    both.put(OTHER, files)  # by this CPU, whatever it accepts
    assert both.has(OTHER) and store.has(OTHER) and not gpu.has(OTHER)


def test_what_is_put_meanwhile_can_be_undone(store, files, tmp_path):
    before = {name: path.read_bytes() for name, path in files.items()}
    files["weights"].write_text("other")
    with store.kept(KEY), store.kept(OTHER):
        store.put(KEY, files)
        store.put(OTHER, files)
    assert store.take(KEY, elsewhere(tmp_path))
    assert elsewhere(tmp_path)["weights"].read_bytes() == before["weights"]
    assert store.take(OTHER, elsewhere(tmp_path))  # what nobody had is new, and stays


@pytest.mark.parametrize("record", ["", "{", "[]", '{"format": 2, "files": {}}', '{"format": 1}'])
def test_a_damaged_record_is_none(store, tmp_path, record):
    (path,) = (store.cache / "finished").rglob("*.json")
    path.write_text(record)
    assert not store.has(KEY) and not store.take(KEY, elsewhere(tmp_path))


def test_it_can_be_asked_to_train_all_the_same(store, tmp_path, monkeypatch):
    monkeypatch.setenv("THUMBNETS_RETRAIN", "1")
    assert not store.take(KEY, elsewhere(tmp_path))


def test_the_cache_is_where_dvc_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    assert runtime.dvc_cache() is None
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    assert runtime.dvc_cache() == Path(".dvc/cache")
    (tmp_path / "home/dvc").mkdir(parents=True)
    (tmp_path / "home/dvc/config").write_text("[cache]\n    dir = /shared/cache\n")
    assert runtime.dvc_cache() == Path("/shared/cache")
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    type = copy\n    dir = ../store\n")
    assert runtime.dvc_cache() == Path(".dvc/../store")


def test_a_training_has_another_key_for_each_of_its_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = [
        paths.training_inputs("a"),
        paths.encoder_of("a", 0),
        paths.TRAIN / "meta.json",
        paths.TRAIN / "fold.npy",
    ]
    for path in inputs:
        write_json(path, {"content": 0})
    write_json(paths.training_inputs("headline"), {"content": 0})
    for slot, seed in (("headline", 0), ("a", 1), ("headline", 1)):
        write_json(paths.encoder_of(slot, seed), {"content": 0})
    keys = [training_key("a", 0)]
    assert training_key("headline", 0) == keys[0]  # the slot is no input
    keys.append(training_key("a", 1))
    for path in inputs:
        write_json(path, {"content": 1})
        keys.append(training_key("a", 0))
    write_json(paths.TRAIN / "group.npy", {"content": 0})
    keys.append(training_key("a", 0))
    assert len(set(keys)) == len(keys)
    inputs[-1].unlink()
    with pytest.raises(ValueError, match="fold.npy is missing: run `dvc repro`"):
        training_key("a", 0)


def test_parts_of_a_key_do_not_run_into_each_other():
    assert key_of("ab", "c") != key_of("a", "bc")


def test_work_by_code_that_was_changed_is_not_kept(store, files, tmp_path, monkeypatch):
    """Though this process has read the code before."""
    monkeypatch.chdir(tmp_path)
    names = {"package": "src/package/__init__.py", "package.main": "src/package/main.py"}
    names |= {"stages.train": "stages/train.py"}
    for number, name in enumerate(names.values()):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(f"a = {number}\n")
    forget()
    paths.REQUIREMENTS.touch()
    roots = [Path(file) for file in names.values()]
    inputs = paths.training_inputs("a")
    write_json(inputs, fingerprint(roots, paths.SOURCE, paths.REQUIREMENTS))
    key = key_of("train", inputs)
    store.put(key, files)
    for name, file in names.items():
        other, code = key_of("other", inputs), Path(file).read_text()
        for damaged in (f"{code}b = 1\n", "a = \n", None):
            Path(file).unlink() if damaged is None else Path(file).write_text(damaged)
            with pytest.raises(ValueError, match=f"^{name}: changed since stage"):
                store.put(other, files)
            with pytest.raises(ValueError, match="run the same command again"):
                with store.claim(other):
                    pass
            assert store.holder(other) is None
            Path(file).write_text(code)
        assert not store.has(other)
    Path("src/package/main.py").write_text("a = 1  # a comment\n")
    store.put(other, files)
    assert store.has(other)
