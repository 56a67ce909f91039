"""What is to be trained, how long it may take, and what goes into one job."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from thumbnets import paths
from thumbnets.artifacts import read_json, write_json
from thumbnets.launch import plan
from thumbnets.launch.plan import (
    bundled,
    device_hours,
    missing_trainings,
    note_seconds,
    with_seconds,
)
from thumbnets.store import Store, training_key


@pytest.fixture
def params(model_settings):
    """Params with the blocks `cnn_c`, of two epochs, and `mine`, of three and a refit."""
    blocks = {"cnn_c": model_settings(), "mine": model_settings(epochs=3, refit=True)}
    names = {"cnn_c": "cnn_c", "my_net_2": "mine", paths.HEADLINE: "mine"}
    return SimpleNamespace(settings=blocks, block_of=names.get)


def dvc(monkeypatch, said: str = "{}", fails: str = "nothing") -> list[list[str]]:
    """Let DVC say something; returns the commands that it is given."""
    commands = []

    def run(command, **kwargs):
        commands.append(command)
        return subprocess.CompletedProcess(command, int(fails in command), said)

    monkeypatch.setattr(plan.subprocess, "run", run)
    monkeypatch.setattr(plan, "run_to_end", lambda command, **_: run(command).returncode)
    return commands


def test_missing_are_those_of_dvc_once_each(tmp_path, monkeypatch, params):
    monkeypatch.chdir(tmp_path)
    stale = ["train@cnn_c-1", "train@cnn_c-2", "train@my_net_2-0", "train-headline@headline-0"]
    dvc(monkeypatch, json.dumps({name: ["changed"] for name in stale}))
    for name in ("meta.json", "fold.npy"):
        write_json(paths.TRAIN / name, {})
    for slot, block in {"cnn_c": "cnn_c", "my_net_2": "mine", "headline": "mine"}.items():
        write_json(paths.training_inputs(slot), {"settings": block})
        for seed in range(3):
            write_json(paths.encoder_of(slot, seed), {})
    found = missing_trainings(params, Store(tmp_path / "cache"))
    assert [(one.slot, one.seed, one.title, one.epochs) for one in found] == [
        ("cnn_c", 1, "cnn_c, seed 1", 2),
        ("cnn_c", 2, "cnn_c, seed 2", 2),
        ("my_net_2", 0, "mine, seed 0", 6),
    ]
    assert found[2].key == training_key("headline", 0)


@pytest.mark.parametrize(("fails", "message"), [("repro", "encoders"), ("status", "dvc status")])
def test_a_failure_of_dvc_is_one_line(monkeypatch, params, fails, message):
    dvc(monkeypatch, fails=fails)
    with pytest.raises(ValueError, match=message):
        missing_trainings(params, Store(None))


def test_encoders_are_not_trained_if_they_are_not_asked_for(tmp_path, monkeypatch, params):
    monkeypatch.chdir(tmp_path)
    params.settings["probe"] = SimpleNamespace(encoder="simclr")
    params.block_of = {"cnn_c": "cnn_c", "probe": "probe"}.get
    commands = dvc(monkeypatch, json.dumps({"train@cnn_c-1": [], "train@probe-1": []}))
    for path in (
        paths.TRAIN / "meta.json",
        paths.TRAIN / "fold.npy",
        Path("build/inputs/cnn_c.json"),
    ):
        write_json(path, {})
    [found] = missing_trainings(params, Store(None), encoders=False)
    assert not any("repro" in command for command in commands)
    assert found.slot == "cnn_c" and read_json(paths.encoder_of("cnn_c", 1)) == {}


def test_seconds_of_the_last_training_of_a_block_tell_those_of_the_next(tmp_path, training):
    store = Store(tmp_path / "cache")
    assert with_seconds(training(), store).seconds is None
    (tmp_path / "file").touch()
    store.put(training().key, {"weights": tmp_path / "file"}, {"seconds": 8.0})
    note_seconds([training(), training("other")], store)
    longer = training(seed=1, epochs=20)
    assert with_seconds(longer, store).seconds == 80.0  # 4 s an epoch
    assert with_seconds(training("other"), store).seconds is None
    assert with_seconds(longer, Store(tmp_path / "cache", "cuda")).seconds is None
    Store(tmp_path / "cache", "cuda").put(
        training("other").key, {"weights": tmp_path / "file"}, {"seconds": 0.1}
    )
    note_seconds([training("other")], Store(tmp_path / "cache", accepted="cuda"))
    assert with_seconds(training("other", seed=1), store).seconds is None  # a CPU takes longer
    (tmp_path / "cache/finished/seconds.json").write_text("[]")
    assert with_seconds(longer, store).seconds is None


@pytest.mark.parametrize(
    ("seconds", "jobs", "bundle", "lengths"),
    [
        ([None] * 4, 2, None, [1, 1, 1, 1]),  # nothing is known
        ([10.0] * 12, 2, None, [6, 6]),  # no fewer jobs than run at once
        ([50.0] * 12, 2, None, [3, 3, 3, 3]),  # three minutes
        ([1.0, 1.0, 400.0, 1.0, 1.0], 1, None, [2, 1, 2]),
        ([None] * 5, 2, 2, [2, 2, 1]),  # as asked for
        ([1.0] * 3, 8, None, [1, 1, 1]),
    ],
)
def test_jobs_take_minutes(training, seconds, jobs, bundle, lengths):
    trainings = [training(seed=k, seconds=of) for k, of in enumerate(seconds)]
    bundles = bundled(trainings, jobs, bundle)
    assert [len(one) for one in bundles] == lengths
    assert [one for of_job in bundles for one in of_job] == trainings


def test_hours_count_what_is_known(training):
    trainings = [training(seconds=1800.0), training(seconds=900.0), training()]
    assert device_hours(trainings, each=2) == (1.5, 1)
