"""Broken and odd states of a project, made by hand."""

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML

from thumbnets.doctor import commands, files, machine, state
from thumbnets.doctor.findings import Finding
from thumbnets.git import git
from thumbnets.params import load_params
from thumbnets.store import object_path

LOCK = "schema: '2.0'\nstages:\n  train@one-0:\n    cmd: work\n    outs:\n"


def entry(path: str, content: bytes) -> str:
    return f"    - path: {path}\n      hash: md5\n      md5: {hashlib.md5(content).hexdigest()}\n"


def write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project with one committed state."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "someone")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "someone@example.org")
    write(tmp_path / ".dvc" / "tmp" / "rwlock", "{}")
    write(tmp_path / "params.yaml", "a: 1\n")
    write(tmp_path / "metrics" / "summary.json", "{}\n")
    write(tmp_path / "weights" / "one" / "0.safetensors", b"weights")
    write(
        tmp_path / "dvc.lock",
        LOCK
        + entry("weights/one/0.safetensors", b"weights")
        + entry("metrics/summary.json", b"{}\n"),
    )
    for command in (["init", "-q"], ["add", "params.yaml", "dvc.lock"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def said(found: list[Finding]) -> str:
    return "; ".join(finding.problem for finding in found)


def test_nothing_is_found_where_nothing_is_wrong(root):
    cache = root / ".dvc" / "cache"
    checks = (state.rwlock, state.lock_file, state.metrics, state.params)
    assert not [found for check in checks for found in check(root)]
    assert not files.artifacts(root, cache)
    [room] = files.room(root, cache)
    assert not room.broken and "cache holds 0 MB" in room.problem


def test_a_lock_that_is_cut_off_anywhere_is_mended(root):
    whole = (root / "dvc.lock").read_text()
    for end in range(1, len(whole)):
        (root / "dvc.lock").write_text(whole[:end])
        [finding] = state.lock_file(root)
        assert "is cut off" in finding.problem
        finding.mend()
        assert (root / "dvc.lock").read_text() == whole


def test_a_lock_that_was_being_changed_is_damaged_where_it_is_cut_off(root):
    whole = (root / "dvc.lock").read_text().replace("cmd: work", "cmd: walk")
    taken = []
    for end in range(whole.index("walk") + 4, len(whole)):
        (root / "dvc.lock").write_text(whole[:end])
        for finding in (found := state.lock_file(root)):
            assert "is damaged" in finding.problem
        if not found:  # between two lines, and DVC takes it, too
            COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(whole[:end]))
            taken.append(end)
    assert all(whole[end - 1] == "\n" for end in taken) and len(taken) < 9


@pytest.mark.parametrize("content", ["", '{"write": {"a": {"pi'])
def test_a_lock_that_is_cut_off_is_removed(root, content):
    write(root / ".dvc/tmp/rwlock", content)
    [found] = state.rwlock(root)
    assert found.remedy == "rm .dvc/tmp/rwlock"
    found.mend()
    assert not (root / ".dvc/tmp/rwlock").exists() and not state.rwlock(root)


def test_a_lock_that_a_live_run_writes_is_left(root):
    write(root / ".dvc/tmp/rwlock", "")
    [found] = state.rwlock(root)
    with (root / ".dvc/tmp/rwlock.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="being written by a run"):
            found.mend()
    assert (root / ".dvc/tmp/rwlock").exists()


@pytest.mark.parametrize("content", ["", "schema: '2.0'\nsta"])
def test_a_dvc_lock_that_is_cut_off_is_taken_from_git(root, content):
    whole = (root / "dvc.lock").read_bytes()
    write(root / "dvc.lock", content)
    [found] = state.lock_file(root)
    assert found.remedy == "git checkout HEAD -- dvc.lock && dvc repro"
    found.mend()
    assert (root / "dvc.lock").read_bytes() == whole


def test_a_stage_of_several_commands_is_whole(root):
    lock = (root / "dvc.lock").read_text().replace("cmd: work\n", "cmd:\n    - work\n    - rest\n")
    COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(lock))
    write(root / "dvc.lock", lock)
    assert not state.lock_file(root)


def test_a_dvc_lock_that_no_commit_has_is_removed(root):
    subprocess.run(["git", "rm", "-q", "--cached", "dvc.lock"], cwd=root, check=True)
    subprocess.run(["git", "commit", "-qm", "without"], cwd=root, check=True)
    write(root / "dvc.lock", "")
    [found] = state.lock_file(root)
    found.mend()
    assert not (root / "dvc.lock").exists()


def holds(root: Path, process: int, command: str) -> None:
    """Write a lock as a run of DVC does."""
    info = {"pid": process, "cmd": command}
    write(root / ".dvc/tmp/rwlock", json.dumps({"write": {"a": info}, "read": {"b": [info]}}))


def test_the_lock_of_a_dead_run_whose_process_number_is_taken_is_removed(root):
    holds(root, os.getpid(), "/somewhere/dvc repro")
    [found] = state.rwlock(root)
    assert f"killed run, `/somewhere/dvc repro`: process {os.getpid()} has ended" in found.problem
    found.mend()
    assert not (root / ".dvc/tmp/rwlock").exists()


def test_the_lock_of_a_zombie_is_removed(root):
    with subprocess.Popen([sys.executable, "-c", "", "repro"], stdout=subprocess.PIPE) as killed:
        holds(root, killed.pid, "-c  repro")
        killed.stdout.read()  # it has ended, and nobody has asked how
        while psutil.Process(killed.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        commands.mend_locks(root)
    assert not (root / ".dvc/tmp/rwlock").exists()


@pytest.mark.parametrize(
    ("started_by", "argv"),
    [
        (["-c", "input()", "repro"], "-c input() repro"),
        (["-m", "dvc", "repro"], "/somewhere/dvc/__main__.py repro"),
    ],
)
def test_the_lock_of_a_live_run_stays_and_nothing_that_it_writes_is_mended(
    root, tmp_path, started_by, argv
):
    write(tmp_path / "modules/dvc/__init__.py", "")
    write(tmp_path / "modules/dvc/__main__.py", "input()")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "modules")}
    command = [sys.executable, *started_by]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, cwd=tmp_path) as live:
        while not psutil.Process(live.pid).cmdline():  # nor has one that has just begun
            time.sleep(0.01)
        holds(root, live.pid, argv)
        write(root / "dvc.lock", "")
        assert not state.rwlock(root)
        [found] = state.lock_file(root)
        assert found.mend is None and f"runs, process {live.pid}" in found.problem
        with pytest.raises(ValueError, match="wait until it ends"):
            commands.mend_locks(root)
        live.communicate(b"\n")
    assert not state.rwlock(root)  # DVC passes over the lock of a process that ended
    commands.mend_locks(root)
    assert "stages:" in (root / "dvc.lock").read_text()


def test_a_dvc_lock_that_a_live_run_is_writing_is_waited_for(root, monkeypatch):
    whole = (root / "dvc.lock").read_bytes()
    write(root / "dvc.lock", "")
    with (root / ".dvc/tmp/lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        naps = []
        monkeypatch.setattr(state.time, "sleep", naps.append)
        with pytest.raises(ValueError, match="while a run of DVC is alive: wait until it ends"):
            commands.mend_locks(root)
        assert len(naps) == 20
        monkeypatch.setattr(state.time, "sleep", lambda _: write(root / "dvc.lock", whole))
        assert not state.lock_file(root)
        write(root / "dvc.lock", "")
    [found] = state.lock_file(root)
    assert found.mend


def test_a_dvc_lock_with_a_conflict_is_left_to_a_person(root):
    text = (root / "dvc.lock").read_text()
    write(root / "dvc.lock", text + "<<<<<<< HEAD\n=======\n>>>>>>> other\n")
    [found] = state.lock_file(root)
    assert "conflict" in found.problem and found.mend is None
    assert found.remedy == "git checkout HEAD -- dvc.lock && dvc repro"  # a branch that is whole
    (root / "dvc.lock").unlink()
    assert not state.lock_file(root)[0].broken


def test_each_remedy_for_conflict_marks_in_dvc_lock_takes_them_away(root):
    def run(*command: str) -> None:
        subprocess.run(["git", *command], cwd=root, capture_output=True)

    mine, other = (f"\n    cmd: {name}\n".join(["schema: '2.0'", ""]) for name in ("a", "b"))
    run("checkout", "-qb", "other")
    write(root / "dvc.lock", other)
    run("commit", "-qam", "other")
    run("checkout", "-q", "-")
    write(root / "dvc.lock", mine)
    run("commit", "-qam", "mine")
    run("merge", "other")
    [found] = state.lock_file(root)
    assert found.remedy == "git checkout --ours -- dvc.lock && dvc repro"
    run("commit", "-qam", "marks and all")
    [found] = state.lock_file(root)
    assert found.remedy == "rm dvc.lock && dvc repro"  # no commit at hand is without


def test_params_with_a_conflict_are_told_once_and_as_that(root, monkeypatch):
    monkeypatch.chdir(root)
    write(root / "params.yaml", "<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n")
    problems = said(commands.examine(root, root / ".dvc/cache"))
    assert "params.yaml has unresolved merge conflicts" in problems and "YAML" not in problems


def test_metrics_of_another_run(root):
    write(root / "metrics/summary.json", '{"a": 1}\n')
    assert "metrics/summary.json: not from the run" in said(state.metrics(root))
    (root / "metrics/summary.json").unlink()
    assert "metrics/summary.json, named in dvc.lock, is missing" in said(state.metrics(root))


def test_params_that_were_not_run(root):
    lock = "schema: '2.0'\nstages:\n  code:\n    params:\n      params.yaml:\n        a: {}\n"
    write(root / "dvc.lock", lock.format(1) + "  later:\n    cmd: x\n")
    assert not state.params(root)
    write(root / "params.yaml", "# a word\na:   1\n")
    assert not state.params(root)
    write(root / "params.yaml", "a: 2\n")
    [found] = state.params(root)
    assert not found.broken and "dvc repro, or to drop" in found.remedy
    subprocess.run(["git", "commit", "-qam", "not run"], cwd=root, check=True)
    [found] = state.params(root)
    assert found.remedy == "dvc repro"
    write(root / "dvc.lock", lock.format(2))
    assert not state.params(root)


def test_a_run_that_did_not_come_to_its_end(root, monkeypatch, capsys):
    run = "    params:\n      params.yaml: {a: 1, model: one, pool: [one], seeds: [0]}\n"
    made = f"  code:\n    cmd: x\n{run}    outs:\n{entry('build/inputs', b'other')}"
    seen = f"  train@one-0:\n    cmd: x\n    deps:\n{entry('build/inputs/one.json', b'one')}"
    write(root / "params.yaml", "a: 1\nmodel: one\npool: [one]\nseeds: [0]\n")
    write(root / "dvc.lock", f"schema: '2.0'\nstages:\n{made}{seen}")
    [found] = state.params(root)
    assert "did not finish" in found.problem
    assert found.remedy == "dvc repro" and not found.broken
    monkeypatch.chdir(root)
    state.warn_of_other_run(root / "weights/one/0.safetensors")
    assert "note: the run in dvc.lock did not finish" in capsys.readouterr().err


def test_altered_weights_and_cache_objects(root):
    cache = root / ".dvc" / "cache"
    object_ = object_path(cache, hashlib.md5(b"weights").hexdigest())
    write(object_, b"weights")
    assert not files.artifacts(root, cache)
    write(object_, b"weighty")
    place = object_.relative_to(root)
    [found] = files.artifacts(root, cache)
    assert str(place) in found.problem
    assert found.remedy == f"cp -f weights/one/0.safetensors {object_}"  # the tree has the bytes
    write(root / "weights/one/0.safetensors", b"weighty")
    both = files.artifacts(root, cache)
    assert len(both) == 2 and all("dvc pull" in found.remedy for found in both)


def test_whole_objects_are_never_to_be_removed(root):
    cache, weights = root / ".dvc" / "cache", root / "weights/one/0.safetensors"
    write(object_path(cache, hashlib.md5(b"weights").hexdigest()), b"weights")
    write(weights, b"damaged")
    [found] = files.artifacts(root, cache)
    assert "is altered" in found.problem
    assert (
        found.remedy == "rm -f weights/one/0.safetensors && dvc checkout weights/one/0.safetensors"
    )
    # As after a git checkout of another branch: the bytes are those of another run.
    write(object_path(cache, hashlib.md5(b"other").hexdigest()), b"other")
    write(weights, b"other")
    [found] = files.artifacts(root, cache)
    assert "not from the run" in found.problem and found.remedy == "dvc checkout, or else dvc repro"


@pytest.mark.parametrize(("key", "said"), [("a key", "not from the run"), (None, "is altered")])
def test_weights_are_whole_by_their_own_checksum_where_there_is_no_cache(
    root, monkeypatch, key, said
):
    monkeypatch.setattr("thumbnets.methods.weights.read_key", lambda path: key)
    write(root / "weights/one/0.safetensors", b"other")
    [found] = files.artifacts(root, root / "nowhere")
    assert said in found.problem


def test_predictions_are_whole_if_each_member_is(root):
    """Those of another run, and one with a byte altered, where DVC's cache is elsewhere."""
    name, lock = "predictions/test/one.npz", root / "dvc.lock"
    write(lock, lock.read_text() + entry(name, b"those of the run"))
    (root / name).parent.mkdir(parents=True)
    np.savez(root / name, logits=np.arange(100.0))
    assert "not from the run" in said(files.artifacts(root, root / "nowhere"))
    content = bytearray((root / name).read_bytes())
    content[200] ^= 1
    write(root / name, bytes(content))
    assert f"{name} is altered" in said(files.artifacts(root, root / "nowhere"))
    write(root / name, bytes(content[:50]))
    [found] = files.artifacts(root, root / "nowhere")
    assert "is altered" in found.problem and "make it again: dvc repro" in found.remedy


def test_a_command_that_answers_from_another_run_says_so(root, capsys, monkeypatch):
    monkeypatch.chdir(root)
    weights = Path("weights/one/0.safetensors")
    state.warn_of_other_run(weights, Path("missing"))
    assert capsys.readouterr().err == ""
    write(root / weights, b"other")
    state.warn_of_other_run(weights)
    assert f"note: {weights}: not from the run in dvc.lock" in capsys.readouterr().err


def test_room_tells_what_other_runs_take(root):
    cache = root / ".dvc" / "cache"
    listed = b'[{"md5": "' + b"a" * 32 + b'", "relpath": "x"}]'
    folder = "f" * 32 + ".dir"
    write(object_path(cache, folder), listed)
    write(object_path(cache, "a" * 32), b"x" * 5_000_000)  # in the folder
    write(object_path(cache, "b" * 32), b"x" * 3_000_000)  # of another run
    lock = f"{LOCK}    - path: data\n      hash: md5\n      md5: {folder}\n"
    write(root / "dvc.lock", lock)
    [room] = files.room(root, cache)
    assert "holds 8 MB, of which 3 MB are from other runs" in room.problem and not room.broken


@pytest.mark.parametrize(("spare", "remedy"), [(2**30, "dvc gc"), (2**20, "make room on the disk")])
def test_an_almost_full_disk_is_cleared_by_what_frees_enough(root, monkeypatch, spare, remedy):
    cache = root / ".dvc" / "cache"
    write(file := object_path(cache, "b" * 32), b"")
    os.truncate(file, spare)
    disk = SimpleNamespace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: disk)
    [room] = files.room(root, cache)
    assert room.broken and room.remedy.startswith(remedy)


def test_other_libraries_than_pinned(root):
    write(root / "requirements.lock", "torch==1.0 \\\nnumpy==0.9 ; x\nnumpy==0.8 ; y\n")
    problems = said(machine.libraries(root))
    assert "requirements.lock pins 1.0" in problems and "pins 0.9 or 0.8" in problems


def test_a_check_that_fails_is_a_finding_and_the_others_are_made(root, monkeypatch):
    def no_torch(params):
        raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.setattr(machine, "arithmetic", no_torch)
    monkeypatch.setattr(commands, "load_params", lambda: None)
    monkeypatch.setattr(commands, "check_watched", lambda params: None)
    monkeypatch.setattr(files, "missing", lambda root, params: [])
    write(root / "requirements.lock", "torch==1.0\n")
    problems = said(commands.examine(root, root / ".dvc/cache"))
    assert "params can't be examined: ModuleNotFoundError: No module named 'torch'" in problems
    assert "requirements.lock pins 1.0" in problems


def test_weights_that_were_taken_away(tmp_path, monkeypatch):
    project = Path(__file__).parents[2]
    monkeypatch.chdir(tmp_path)
    for name in ("zoo", "params.yaml", "dvc.lock"):
        (tmp_path / name).symlink_to(project / name)
    assert not files.missing(tmp_path, load_params())  # a fresh clone
    write(tmp_path / "weights/cnn_c/0.safetensors", "")
    assert re.search(
        r"safetensors and \d+ more are missing", said(files.missing(tmp_path, load_params()))
    )


def test_a_folder_without_git(tmp_path):
    assert said(state.repository(tmp_path)).startswith("this is no git repository")
    assert machine.remote(tmp_path) == []
    assert state.repository(Path(__file__).parent) == []
    with pytest.raises(ValueError, match="lies in no git repository: clone one"):
        git(tmp_path, "log")


def test_a_remote_that_refuses(root, monkeypatch):
    def configure(text: str) -> None:
        write(root / ".dvc" / "config", text)

    configure("[core]\n")
    assert not machine.remote(root)
    url = "['remote \"r\"']\n    url = {}\n[core]\n    remote = r\n"
    configure(url.format(root / "store"))
    assert not machine.remote(root)
    assert not [path for path in (root / "store").rglob("*") if path.is_file()]
    write(root / "file", "")
    configure(url.format(root / "file" / "store"))
    assert "DVC remote failed" in said(machine.remote(root))


def test_the_command(root, capsys, monkeypatch):
    broken = Finding("x is broken", "mend x", mend=lambda: None)
    note = Finding("y is odd", "look at y", broken=False)
    monkeypatch.chdir(root)
    monkeypatch.setattr(commands, "examine", lambda *places: [broken, note])
    parser = argparse.ArgumentParser()
    commands.add_doctor(parser)
    with pytest.raises(SystemExit) as error:
        commands.doctor(parser.parse_args([]))
    assert error.value.code == 1
    assert (
        capsys.readouterr().out
        == "broken: x is broken\n    mend x\nnote: y is odd\n    look at y\n"
    )
    commands.doctor(parser.parse_args(["--fix"]))
    assert capsys.readouterr().out.startswith("repaired: x is broken\n")


def test_outside_of_a_project_the_command_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="No project here"):
        commands.doctor(argparse.Namespace(fix=False))
