"""Processes share out the networks of the pool; the clone that trains is the project's."""

import shutil
import subprocess

import pytest

from benchmarks import peers, pool, project
from benchmarks.task import Task
from thumbnets.params import load_params
from thumbnets.yaml_files import read_yaml


def test_the_pool_is_that_of_the_project():
    assert list(pool.POOL) == load_params().pool
    assert set(pool.QUICK) < set(pool.POOL)


def test_each_network_is_trained_by_one_process(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(peers, "read", lambda *_: range(2_000))
    monkeypatch.setattr(
        peers,
        "usual",
        lambda settings, meta, data, **how: trained.append((settings.name, len(data))),
    )
    train = {"epochs": 1, "augment": []}
    tasks = [Task(model, "digits", 100, train).plain() for model in pool.QUICK]
    one, other = (
        peers.pool(tasks, workers=0, autocast=False, taken=str(tmp_path)) for _ in range(2)
    )
    trained.clear()  # the warm-ups
    (tmp_path / "0").touch()  # taken by a third
    one()
    other()
    assert trained == [(pool.QUICK[1], 100)]


def test_processes_at_once_have_a_thread_each(tmp_path):
    tasks = [Task("mlp4", "digits")]
    at_once = pool.usual(tasks, (2, 0), tmp_path, autocast=True)
    alone = pool.usual(tasks, (1, 2), tmp_path, autocast=False)
    assert [job.environment for job in at_once.jobs] == [{"OMP_NUM_THREADS": "1"}] * 2
    assert [job.environment for job in alone.jobs] == [{}]
    assert (at_once.name, alone.name) == ("usual loop, bf16", "usual loop")
    assert alone.jobs[0].arguments["workers"] == 2


def test_the_best_way_is_the_quickest(tmp_path, monkeypatch):
    def compare(contenders, rounds):
        entries = contenders(0)
        assert [len(entry.jobs) for entry in entries] == [1, 1, 1, 2]
        return {e.name: [[{"began": 0, "ended": 9 - n}]] for n, e in enumerate(entries)}

    monkeypatch.setattr(pool.harness, "compare", compare)
    assert pool.best_way([Task("mlp4", "digits")], 100, tmp_path) == (2, 0)


def test_a_clone_has_the_run_that_is_asked_for_and_the_images(tmp_path, root, monkeypatch):
    source, clone = tmp_path / "source", tmp_path / "clone"
    source.mkdir()
    shutil.copy(root / "params.yaml", source)
    for command in ("init -q", "add params.yaml", "commit -qm params"):
        subprocess.run(["git", *command.split()], cwd=source, check=True)
    (source / "data/raw/toy").mkdir(parents=True)
    (source / "data/raw/toy/images.gz").touch()
    monkeypatch.setattr(project, "ROOT", source)
    project.cloned(clone, "toy", "model: cnn_a\npool: [cnn_a]\nseeds: [3, 5]\n")
    found, before = read_yaml(clone / "params.yaml"), read_yaml(root / "params.yaml")
    assert found == before | {"model": "cnn_a", "pool": ["cnn_a"], "seeds": [3, 5]}
    assert (clone / "data/raw/toy/images.gz").is_file()


def test_a_command_that_fails_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="-c raise SystemExit.* failed: wrong"):
        project.run(tmp_path, "-c", "raise SystemExit('wrong')")
