"""Trainings at once: how many, what is shown, and what becomes of those that fail."""

import json
import subprocess

import pytest

from thumbnets import paths
from thumbnets.artifacts import write_json
from thumbnets.launch import local
from thumbnets.launch.local import missing_trainings, train_ahead
from thumbnets.store import Store, training_key

# Stands for the stage: tells of two epochs, notes how many run at once, fails if asked to.
STAGE = """
import sys, time
from pathlib import Path
model, seed, flag = sys.argv[1:]
assert flag == "--ahead"
mine = Path(f"{model}-{seed}.running")
mine.touch()
for epoch in (1, 2):
    print(f"{model}, seed {seed}: epoch {epoch}/2, loss 0.1", flush=True)
    time.sleep(0.15)
    with open("at_once", "a") as file:
        print(len(list(Path().glob("*.running"))), file=file)
mine.unlink()
if model == "bad":
    sys.exit("warning: odd\\nerror: bad, seed 0: the loss is no longer finite")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder whose stage `train` is the one above."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "__init__.py").touch()
    (tmp_path / "stages" / "train.py").write_text(STAGE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings(model_settings):
    return {name: model_settings(epochs=2) for name in ("good", "bad")}


def most_at_once(project) -> int:
    return max(map(int, (project / "at_once").read_text().split()))


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_so_many_run_at_once_and_each_says_how_it_ended(project, settings, capfd, jobs):
    trainings = [("good", str(seed)) for seed in range(4)]
    train_ahead(trainings, settings, jobs)
    lines = capfd.readouterr().out.splitlines()
    assert sorted(lines) == [f"good, seed {seed}: epoch 2/2, loss 0.1" for seed in range(4)]
    assert most_at_once(project) == jobs
    assert not list(project.glob("*.running"))


def test_one_that_fails_is_told_and_stops_no_other(project, settings, capfd):
    with pytest.raises(ValueError) as caught:
        train_ahead([("bad", "0"), ("good", "1"), ("good", "2")], settings, 1)
    expected = "1 of 3 failed: error: bad, seed 0: the loss is no longer finite"
    assert str(caught.value) == expected
    assert len(capfd.readouterr().out.splitlines()) == 2


def test_an_interruption_leaves_nothing_running(project, settings, monkeypatch):
    started = []
    start = local._Process.start

    def noted(training):
        started.append(start(training))
        return started[-1]

    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(local._Process, "start", noted)
    monkeypatch.setattr(local.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_ahead([("good", "0"), ("good", "1")], settings, 2)
    assert [process.process.wait() for process in started] == [-9, -9]


def test_nothing_to_train_is_silent(settings, capfd):
    train_ahead([], settings, 2)
    assert capfd.readouterr() == ("", "")


def test_missing_are_those_of_dvc_once_each_and_not_what_the_store_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stale = ["train@cnn_c-1", "train@cnn_c-2", "train@my_net_2-0", "train-headline@headline-0"]
    said = json.dumps({name: ["changed"] for name in stale})

    def run(command, **kwargs):
        return subprocess.CompletedProcess(command, 0, said if "status" in command else None)

    monkeypatch.setattr(local.subprocess, "run", run)
    for name in ("meta.json", "fold.npy"):
        write_json(paths.TRAIN / name, {})
    for slot, block in {"cnn_c": "cnn_c", "my_net_2": "mine", "headline": "mine"}.items():
        write_json(paths.training_inputs(slot), {"settings": block})
        for seed in range(3):
            write_json(paths.encoder_of(slot, seed), {})
    store = Store(tmp_path / "cache")
    store.put(training_key("cnn_c", 2), {"weights": paths.TRAIN / "meta.json"})
    assert missing_trainings(store) == [("cnn_c", "1"), ("my_net_2", "0")]


@pytest.mark.parametrize(("fails", "message"), [("repro", "encoders"), ("status", "dvc status")])
def test_a_failure_of_dvc_is_one_line(monkeypatch, fails, message):
    def run(command, **kwargs):
        return subprocess.CompletedProcess(command, int(fails in command), "{}")

    monkeypatch.setattr(local.subprocess, "run", run)
    with pytest.raises(ValueError, match=message):
        missing_trainings(Store(None))
