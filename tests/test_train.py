"""The train stage: killed at any moment it ends with the same bytes; finished, it is stored."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from thumbnets import paths, runtime, trainings
from thumbnets.artifacts import read_arrays, read_csv, read_json, write_json
from thumbnets.data.arrays import Split, write_split
from thumbnets.fingerprint import fingerprint, forget
from thumbnets.inputs import stage_inputs
from thumbnets.launch import worker
from thumbnets.methods.base import build_method
from thumbnets.methods.weights import load_weights
from thumbnets.params import load_params
from thumbnets.store import project_store, training_key
from thumbnets.training.batches import Images
from thumbnets.training.loop import Epoch, Training, fit

OUTPUTS = (paths.weights, paths.validation_predictions, paths.history)


def outputs(model: str) -> list[bytes]:
    """The files of a training with seed 0."""
    return [path(model, 0).read_bytes() for path in OUTPUTS]


def ahead(slot: str, seed: int) -> None:
    """As a job of `thumbnets train` does."""
    worker.train_ahead(slot, seed, training_key(slot, seed), project_store())


def remove_outputs(model: str) -> None:
    for path in OUTPUTS:
        path(model, 0).unlink(missing_ok=True)


# In this process, on toy images.


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """The stage itself, in an empty project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THUMBNETS_CHECKPOINT_SECONDS", "0")
    handler = signal.getsignal(signal.SIGINT)
    from stages import train

    signal.signal(signal.SIGINT, handler)
    monkeypatch.setattr(worker, "check_unchanged", lambda *_: None)  # there are no params
    yield train
    torch.set_deterministic_debug_mode("default")


@pytest.fixture
def split(toy_images, meta) -> Split:
    """90 training images in three folds, a fifth of the labels wrong."""
    data = toy_images(90)
    labels = data.labels.numpy().copy()
    labels[::5] = (labels[::5] + 1) % 3
    fold = (np.arange(90) // 3 % 3).astype(np.int16)
    return Split(data.images.numpy(), labels, meta, fold)


@pytest.fixture
def block(stage, split, model_settings):
    """Writes what the stage reads: images, and the block `toy` with the given settings."""

    def write(data: Split = split, code: str = "1", **changes):
        write_split(paths.TRAIN, data)
        paths.SOURCE.mkdir(exist_ok=True)
        changes = {"epochs": 3, "augment": ["shift"], **changes}
        settings = model_settings("mlp4", {"dropout": 0.3}, **changes)
        (paths.SOURCE / "code.py").write_text(f"code = {code}\n")
        forget()
        paths.REQUIREMENTS.touch()
        code = fingerprint([paths.SOURCE / "code.py"], paths.SOURCE, paths.REQUIREMENTS)
        about = {"settings": settings.model_dump(), **code}
        write_json(paths.training_inputs("toy"), about, exact=True)
        for seed in (0, 1):
            write_json(paths.encoder_of("toy", seed), {})
        return settings

    return write


def train_images(split: Split, chosen: np.ndarray) -> Images:
    return Images(torch.from_numpy(split.images[chosen]), torch.from_numpy(split.labels[chosen]))


class Silent:
    def start(self, *_) -> None: ...

    def batch(self) -> None: ...

    def epoch(self, row) -> None: ...


def bits(classifier) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in classifier.network.state_dict().items()}


def test_it_trains_on_all_folds_but_one_and_predicts_that_one(stage, block, split):
    settings = block()
    stage.main("toy", "0")
    held_out = split.fold == 0
    parts = [train_images(split, chosen) for chosen in (~held_out, held_out)]
    classifier, curve = fit(build_method(settings, split.meta), *parts, seed=0, watcher=Silent())
    assert bits(load_weights(paths.weights("toy", 0), torch.device("cpu"))) == bits(classifier)
    predicted = read_arrays(paths.validation_predictions("toy", 0))
    np.testing.assert_array_equal(predicted["indices"], np.flatnonzero(held_out))
    np.testing.assert_array_equal(predicted["labels"], split.labels[held_out])
    np.testing.assert_array_equal(predicted["logits"], classifier.logits(parts[1].images))
    rows = read_csv(paths.history("toy", 0))
    assert [float(row["train_loss"]) for row in rows] == [round(r.train_loss, 6) for r in curve]


def test_after_success_no_checkpoint_is_left(stage, block):
    block(refit=True)
    file = paths.checkpoint(training_key("toy", 0), "folds")
    file.parent.mkdir(parents=True)
    (file.parent / f".{file.name}.4711.tmp").write_bytes(b"of a kill")
    stage.main("toy", "0")
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("changes", [{}, {"early_stopping": {"patience": 2}, "epochs": 20}])
def test_a_refit_learns_from_all_images_for_as_many_epochs(stage, block, split, changes):
    settings = block(**changes)
    stage.main("toy", "0")
    weights, predictions, history = outputs("toy")
    block(refit=True, **changes)
    stage.main("toy", "0")
    refitted, *others = outputs("toy")
    assert others == [predictions, history]  # of the first network, as without
    assert refitted != weights

    losses = [float(row["validation_loss"]) for row in read_csv(paths.history("toy", 0))]
    epochs = int(np.argmin(losses)) + 1 if changes else 3
    assert not changes or 1 < epochs < len(losses) < 20
    fixed = settings.train.model_copy(update={"epochs": epochs, "early_stopping": None})
    everything = train_images(split, np.full(90, True))
    expected, curve = fit(
        build_method(settings.model_copy(update={"train": fixed}), split.meta),
        everything,
        None,
        seed=0,
        watcher=Silent(),
    )
    assert bits(load_weights(paths.weights("toy", 0), torch.device("cpu"))) == bits(expected)
    assert len(curve) == epochs and curve[0].validation_loss is None


@pytest.mark.parametrize(
    ("changes", "best", "epochs"),
    [
        ({}, 4, 4),
        ({"warmup": 2.5}, 1, 3),
        ({"warmup": 9.0}, 10, 10),
        ({"method": {"name": "finetune", "frozen": 3}, "weights": "w.npz"}, 2, 4),
    ],
)
def test_a_refit_has_room_for_its_warmup_and_method(model_settings, meta, changes, best, epochs):
    stopping = {"patience": 2, "metric": "loss"}
    settings = model_settings(epochs=10, early_stopping=stopping, **changes)
    losses = [1.0 if number == best else 2.0 for number in range(1, best + 3)]
    curve = [Epoch(number, 0.1, 1.0, 0.5, loss, 0.5) for number, loss in enumerate(losses, 1)]
    refit = trainings._refit_settings(settings, meta, curve).train
    assert (refit.epochs, refit.early_stopping) == (epochs, None)


def test_a_gpu_without_memory_left_names_the_training(stage, block, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")

    block()
    monkeypatch.setattr(trainings, "fit", full)
    with pytest.raises(ValueError, match=r"^toy, seed 0: the memory of the GPU has ended"):
        stage.main("toy", "0")


def test_a_refit_has_no_images_for_the_plateau_schedule(train_settings):
    with pytest.raises(ValueError, match="refit leaves no images for schedule: plateau to look at"):
        train_settings(refit=True, schedule="plateau")


@pytest.fixture
def store():
    """A cache of DVC, in which finished trainings are stored."""
    Path(".dvc").mkdir()


@pytest.mark.parametrize("refit", [False, True])
def test_ahead_writes_nothing_and_the_stage_then_trains_nothing(stage, block, capsys, refit):
    block(refit=refit)
    stage.main("toy", "0")  # without a store
    expected = outputs("toy")
    remove_outputs("toy")
    Path(".dvc").mkdir()
    ahead("toy", 0)
    assert "toy, seed 0: epoch 3/3" in capsys.readouterr().out
    assert not any(path("toy", 0).exists() for path in OUTPUTS)
    assert list(paths.CHECKPOINTS.iterdir()) == []
    ahead("toy", 0)
    stage.main("toy", "0")
    assert capsys.readouterr().out == "toy, seed 0: trained before, found by its inputs\n" * 2
    assert outputs("toy") == expected


def test_without_a_cache_of_dvc_nothing_is_found(stage, block, capsys):
    block()
    for _ in range(2):
        ahead("toy", 0)
        assert "epoch 1/3" in capsys.readouterr().out


def test_the_headline_is_found_as_the_block_of_the_pool(stage, block, store, capsys):
    """A slot is no input of a training; lines carry the name of the block."""
    block()
    inputs = paths.training_inputs("toy").read_bytes()
    paths.training_inputs(paths.HEADLINE).write_bytes(inputs)
    write_json(paths.encoder_of(paths.HEADLINE, 0), {})
    stage.main(paths.HEADLINE, "0")
    assert "toy, seed 0: epoch 1/3" in capsys.readouterr().out
    stage.main("toy", "0")
    assert "epoch" not in capsys.readouterr().out
    assert outputs("toy") == outputs(paths.HEADLINE)


def _lighter(split: Split) -> Split:
    return replace(split, meta=replace(split.meta, mean=[0.3]))


def _other_images(split: Split) -> Split:
    return replace(split, images=255 - split.images, meta=replace(split.meta, sha256="1" * 64))


def _other_folds(split: Split) -> Split:
    return replace(split, fold=(split.fold + 1) % 3)


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"lr": 0.04}, None),
        ({"epochs": 4}, None),
        ({"code": "2"}, None),
        ({}, _lighter),
        ({}, _other_images),
        ({}, _other_folds),
    ],
)
def test_what_is_stored_of_other_inputs_is_not_found(
    stage, block, store, split, capsys, changes, data
):
    block()
    ahead("toy", 0)
    changes = {**changes, "data": data(split)} if data else changes
    block(**changes)
    capsys.readouterr()
    stage.main("toy", "0")
    assert "epoch 1/" in capsys.readouterr().out
    found = outputs("toy")
    stage.main("toy", "0")
    assert outputs("toy") == found


def test_what_another_process_has_under_way_is_waited_for(stage, block, store, capsys):
    """The stage takes the result of a job; a second job leaves it to the first."""
    block()
    ahead("toy", 0)
    key, store = training_key("toy", 0), project_store()
    (record,) = (store.cache / "finished").rglob(f"{key[2:]}.json")
    hidden = record.rename(record.with_suffix(".hidden"))
    capsys.readouterr()

    def finish(seconds: float) -> None:
        hidden.rename(record)
        claim.close()

    with contextlib.ExitStack() as claim, pytest.MonkeyPatch.context() as patched:
        patched.setattr("thumbnets.store.time.sleep", finish)
        assert claim.enter_context(store.claim(key)) is None
        ahead("toy", 0)
        stage.main("toy", "0")
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == f"toy, seed 0: under way in {_me()}"
    assert second == f"toy, seed 0: under way in {_me()}, waiting"
    assert third == "toy, seed 0: trained before, found by its inputs"


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def test_a_state_of_another_kind_of_device_is_not_taken(stage, block, store, capsys, monkeypatch):
    block()
    monkeypatch.setattr(runtime, "machine", lambda: {"device": "cuda", "kind": "H100"})
    worker.train_ahead("toy", 0, training_key("toy", 0), project_store("cuda"))
    capsys.readouterr()
    stage.main("toy", "0")
    assert "epoch 1/3" in capsys.readouterr().out  # trained here, on a CPU
    remove_outputs("toy")
    monkeypatch.setenv("THUMBNETS_ACCEPT", "cuda")
    stage.main("toy", "0")
    assert capsys.readouterr().out == "toy, seed 0: trained before, found by its inputs\n"
    assert project_store().about(training_key("toy", 0))["machine"]["kind"] == "H100"
    assert project_store("cpu").about(training_key("toy", 0))["seconds"] > 0


def test_what_a_training_was_computed_on_is_in_no_output(stage, block, store, monkeypatch):
    block()
    stage.main("toy", "0")
    expected = outputs("toy")
    remove_outputs("toy")
    monkeypatch.setenv("THUMBNETS_RETRAIN", "1")
    monkeypatch.setattr(runtime, "machine", lambda: {"device": "cpu", "kind": "another"})
    stage.main("toy", "0")
    assert outputs("toy") == expected
    assert project_store().about(training_key("toy", 0))["machine"]["kind"] == "another"


def test_another_seed_is_another_training(stage, block, store, capsys):
    block()
    ahead("toy", 1)
    capsys.readouterr()
    stage.main("toy", "0")
    assert "epoch 1/3" in capsys.readouterr().out


class Killed(Exception):
    """Stands for kill -9."""


@pytest.mark.parametrize("writer", ["save_weights", "write_arrays", "write_csv"])
def test_a_kill_between_the_outputs_costs_no_training(stage, block, monkeypatch, capsys, writer):
    block(refit=True)
    stage.main("toy", "0")
    expected = outputs("toy")
    remove_outputs("toy")

    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(trainings, writer, die)
        stage.main("toy", "0")
    capsys.readouterr()
    stage.main("toy", "0")
    assert capsys.readouterr().out == "" and outputs("toy") == expected


def test_a_kill_in_the_refit_does_not_train_the_first_again(stage, block, monkeypatch, capsys):
    block(refit=True)
    stage.main("toy", "0")
    expected = outputs("toy")
    real = Training._step

    def die(self, images, targets):
        if self.validation is None and len(self.curve) == 1:
            raise Killed
        real(self, images, targets)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Training, "_step", die)
        stage.main("toy", "0")
    capsys.readouterr()
    stage.main("toy", "0")
    said = capsys.readouterr().out
    assert "toy, seed 0, refit: epoch 2/3" in said and "toy, seed 0: epoch" not in said
    assert outputs("toy") == expected


def test_halvings_reach_the_weights_and_the_metrics(stage, block, copied, split, monkeypatch):
    """A refit goes on with the rate of its first training; evaluate adds up over seeds."""
    real = Training._step

    def lose(self, images, targets):
        real(self, images, targets)
        limit = 0.03 if self.order.numel() == 60 else 0.015  # of the first, and of the refit
        if self.settings.lr > limit:
            self.losses[0] = np.nan

    monkeypatch.setattr(Training, "_step", lose)
    monkeypatch.chdir(copied)
    inputs = stage_inputs(load_params(), "evaluate")
    inputs["params"]["seeds"] = [0, 1]
    write_json(paths.stage_inputs("evaluate"), inputs, exact=True)
    block(lr=0.08, on_divergence="retry", refit=True)
    write_split(paths.TEST, replace(split, fold=None))
    for seed in ("0", "1"):
        stage.main("toy", seed)
        found = load_weights(paths.weights("toy", seed), torch.device("cpu"))
        assert found.halvings == 3  # 0.08 -> 0.02 in the first, and once more in the refit
        assert float(read_csv(paths.history("toy", seed))[0]["lr"]) == 0.02
    from stages import evaluate

    evaluate.main("toy")
    assert read_json(paths.metrics("toy"))["lr_halvings"] == 6


# kill -9, on digits.


# Imports once, prepares the data, and forks a child for each training: so an attempt that is killed
# costs milliseconds, and not the seconds of importing torch.
DRIVER = """
import json, os, signal, sys, time
from pathlib import Path
from stages import code, download, preprocess, pretrain, train
from thumbnets import paths, trainings  # so that no child imports torch
from thumbnets.stage import run_stage
from thumbnets.params import load_params
from thumbnets.store import training_key

def fork(main):
    child = os.fork()
    if not child:
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1), os.dup2(said, 2)
        run_stage(main)
    return child

def exit_code(child, flags=0):
    process, status = os.waitpid(child, flags)
    return os.waitstatus_to_exitcode(status) if process else None

def version(file):
    return file.stat().st_mtime_ns if file.exists() else None

def killed(child, file, before, delay):
    # Wait until it has trained and saved something, a little longer, and kill.
    while version(file) == before:
        if (code := exit_code(child, os.WNOHANG)) is not None:
            return code
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return exit_code(child)

def prepare():
    for stage in (code, download, preprocess, pretrain):
        stage.main()

print(exit_code(fork(prepare)), flush=True)
file = paths.checkpoint(training_key("headline", 0), "folds")
for line in sys.stdin:
    seconds, delay = json.loads(line)
    os.environ["THUMBNETS_CHECKPOINT_SECONDS"] = str(seconds)
    before, began = version(file), time.monotonic()
    child = fork(lambda: train.main("headline", "0"))
    code = exit_code(child) if delay is None else killed(child, file, before, delay)
    print(json.dumps([code, time.monotonic() - began]), flush=True)
"""

HARD = """
hard:
  {arch: cnn_c, dropout: 0.2, epochs: 40, batch_size: 128, lr: 0.2, mix: mixup, clip: 1.0,
  augment: [{name: shift, pixels: 1}, alternating_flip], average: {name: ema, decay: 0.9},
  early_stopping: {patience: 2}, threads: 2}
"""


@pytest.fixture
def driver(copied):
    """Trains `hard` on digits in a copy of the project; returns exit code and seconds."""
    (copied / "zoo" / "hard.yaml").write_text(HARD)
    params = (copied / "params.yaml").read_text()
    changes = {"model: mlp4": "model: hard", "name: fashion_mnist": "name: digits"}
    for before, after in {**changes, "folds: 12": "folds: 2"}.items():
        assert before in params
        params = params.replace(before, after, 1)
    (copied / "params.yaml").write_text(params)
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=copied,
        env={**os.environ, "PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "0\n", (copied / "said.txt").read_text()

            def train(seconds: float, delay: float | None = None) -> tuple[int, float]:
                print(json.dumps([seconds, delay]), file=process.stdin, flush=True)
                return tuple(json.loads(process.stdout.readline()))

            yield train
        finally:
            process.kill()


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_ends_with_the_same_bytes(driver, copied, monkeypatch):
    monkeypatch.chdir(copied)
    code, duration = driver(seconds=30)
    assert code == 0, Path("said.txt").read_text()
    expected = outputs(paths.HEADLINE)
    assert len(expected[2].splitlines()) - 1 < 40  # stopped early
    remove_outputs(paths.HEADLINE)
    rng, kills = random.Random(0), 0
    while kills < 20:
        delay = rng.uniform(0, duration / 8)
        code, _ = driver(seconds=rng.choice([0, 0.02]), delay=delay)
        assert code in (0, -signal.SIGKILL), Path("said.txt").read_text()
        if code == 0:  # came to its end before it was to be killed: anew
            assert outputs(paths.HEADLINE) == expected
            remove_outputs(paths.HEADLINE)
        else:
            kills += 1
    assert driver(seconds=30)[0] == 0
    assert outputs(paths.HEADLINE) == expected
    assert list(paths.CHECKPOINTS.iterdir()) == []
