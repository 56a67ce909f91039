"""A loss that is no longer finite: one line that says where and what to try, or half the rate."""

import math
import re

import pytest
import torch

from thumbnets.methods.base import Method, build_method
from thumbnets.methods.weights import load_weights, save_weights
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.loop import Diverged, Training, fit

STEPS = 4  # 50 images in batches of 16: the last has 2


class Killed(Exception):
    """Stands for kill -9."""


class Watcher:
    """Keeps what it is told, and ends the run in some batch, or at the start of some attempt."""

    def __init__(self, batch: int = 0, start: int = 0) -> None:
        self.kill_batch, self.kill_start = batch, start
        self.began: list[int] = []
        self.batches = 0

    def start(self, epochs: int, steps: int, done: int) -> None:
        self.began.append(done)
        if len(self.began) == self.kill_start:
            raise Killed

    def batch(self) -> None:
        self.batches += 1
        if self.batches == self.kill_batch:
            raise Killed

    def epoch(self, row) -> None: ...


@pytest.fixture
def run(toy_images, meta):
    """Trains with some settings; returns bits of the weights, the curve, and number of halvings."""
    data = toy_images(50), toy_images(30, 1)

    def train(settings, watcher=None, checkpoint=None, halvings=0):
        classifier, curve = fit(
            settings,
            *data,
            meta,
            seed=3,
            watcher=watcher or Watcher(),
            checkpoint=checkpoint,
            halvings=halvings,
        )
        weights = classifier.network.state_dict()
        bits = {name: tensor.numpy().tobytes() for name, tensor in weights.items()}
        return bits, curve, classifier.halvings

    return train


@pytest.fixture
def lost_above(monkeypatch):
    """Makes every training with a higher rate lose its loss in a step (counted from 1)."""
    real = Training._step

    def arrange(rate: float, step: int = STEPS + 2) -> None:
        def step_or_lose(self, images, targets):
            real(self, images, targets)
            if self.settings.lr > rate and len(self.curve) * STEPS + len(self.rates) >= step:
                self.losses[len(self.rates) - 1] = math.nan

        monkeypatch.setattr(Training, "_step", step_or_lose)

    return arrange


def settings_of(model_settings, lr: float = 0.08, **changes):
    options = {"epochs": 3, "augment": ["shift"], "on_divergence": "retry", **changes}
    return model_settings("mlp4", {"dropout": 0.2}, lr=lr, **options)


@pytest.mark.parametrize(
    ("step", "epoch", "of_epoch", "rate"),
    [(1, 1, 1, "0.01"), (4, 1, 4, "0.04"), (6, 2, 2, "0.06"), (12, 3, 4, "0.08")],
)
def test_the_line_names_model_epoch_step_and_rate(
    model_settings, run, lost_above, step, epoch, of_epoch, rate
):
    """The first step that is lost, with its own rate: here a warm-up of 8 steps."""
    lost_above(0, step)
    with pytest.raises(Diverged) as caught:
        run(settings_of(model_settings, warmup=2.0, on_divergence="stop"))
    assert str(caught.value) == (
        f"toy, seed 3: the loss is no longer finite at step {of_epoch} of epoch {epoch} "
        f"(learning rate {rate}). Try a smaller lr, clip: 1 or a warmup, or on_divergence: retry."
    )


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_validation_loss_that_is_lost_counts_as_well(model_settings, run, monkeypatch, lost):
    monkeypatch.setattr(Method, "judge", lambda *_: (lost, 0.5))
    with pytest.raises(Diverged, match=r"at step 4 of epoch 1 \(learning rate 0\.08\)\. Try"):
        run(settings_of(model_settings, on_divergence="stop"))


def test_it_stops_unless_told_to_retry(model_settings, run, lost_above, tmp_path):
    lost_above(0.05)
    watcher, checkpoint = Watcher(), Checkpoint(tmp_path / "0.pt", "key", every=0)
    with pytest.raises(Diverged):
        run(settings_of(model_settings, on_divergence="stop"), watcher, checkpoint)
    assert watcher.began == [0] and watcher.batches == 2 * STEPS
    assert checkpoint.load() is None  # nothing to go on with


@pytest.mark.parametrize(("bound", "halvings"), [(0.1, 0), (0.05, 1), (0.03, 2), (0.015, 3)])
def test_a_retry_is_the_training_with_half_the_rate(
    model_settings, run, lost_above, bound, halvings
):
    lost_above(bound)
    watcher = Watcher()
    bits, curve, recorded = run(settings_of(model_settings), watcher)
    assert recorded == halvings and watcher.began == [0] * (halvings + 1)
    assert watcher.batches == 3 * STEPS + halvings * 2 * STEPS  # lost in the second epoch
    small = 0.08 / 2**halvings
    assert (bits, curve, 0) == run(settings_of(model_settings, lr=small))
    assert curve[0].lr == small


def test_it_gives_up_after_three_halvings(model_settings, run, tmp_path):
    watcher, checkpoint = Watcher(), Checkpoint(tmp_path / "0.pt", "key", every=0)
    with pytest.raises(ValueError) as caught:
        run(settings_of(model_settings, lr=1e12), watcher, checkpoint)
    assert watcher.began == [0] * 4 and list(tmp_path.iterdir()) == []
    assert re.fullmatch(
        r"toy, seed 3: the loss is no longer finite at step \d of epoch 1 "
        r"\(learning rate 1\.25e\+11\)\. Try a smaller lr, clip: 1 or a warmup\. "
        r"Halving the rate 3 times did not help\.",
        str(caught.value),
    )


def test_halvings_that_were_needed_before_count(model_settings, run, lost_above):
    """A refit begins with the rate that its first training ended with."""
    lost_above(0.03)
    assert run(settings_of(model_settings), halvings=1) == run(settings_of(model_settings))
    lost_above(0.001)
    watcher = Watcher()
    with pytest.raises(Diverged, match="Halving the rate 3 times did not help"):
        run(settings_of(model_settings), watcher, halvings=2)
    assert len(watcher.began) == 2


# Killed on the way. With a rate of at most 0.05 needed, the first attempt ends after 8 batches.

LOST = 2 * STEPS


@pytest.mark.parametrize("batch", [3, STEPS + 1, STEPS + 3, LOST])
def test_a_kill_before_the_loss_is_noticed(model_settings, run, lost_above, tmp_path, batch):
    """Also after it was lost, which is batch 6."""
    lost_above(0.05)
    through = run(settings_of(model_settings))
    checkpoint = Checkpoint(tmp_path / "0.pt", "key", every=0)
    with pytest.raises(Killed):
        run(settings_of(model_settings), Watcher(batch), checkpoint)
    watcher = Watcher()
    assert run(settings_of(model_settings), watcher, checkpoint) == through
    assert watcher.began == [batch - 1, 0]


def test_the_state_of_an_attempt_that_diverged_is_not_taken_up(
    model_settings, run, lost_above, tmp_path
):
    lost_above(0.05)
    through = run(settings_of(model_settings))
    checkpoint = Checkpoint(tmp_path / "0.pt", "key", every=0)
    with pytest.raises(Killed):
        run(settings_of(model_settings), Watcher(start=2), checkpoint)
    assert checkpoint.load() is None
    watcher = Watcher()
    assert run(settings_of(model_settings), watcher, checkpoint) == through
    assert watcher.began == [0, 0]


@pytest.mark.parametrize("batch", [2, STEPS + 1, 2 * STEPS + 3])
def test_a_kill_in_the_second_attempt_keeps_the_halved_rate(
    model_settings, run, lost_above, tmp_path, batch
):
    lost_above(0.05)
    settings = settings_of(model_settings, schedule="onecycle", average="ema")
    through = run(settings)
    assert through[2] == 1
    checkpoint = Checkpoint(tmp_path / "0.pt", "key", every=0)
    with pytest.raises(Killed):
        run(settings, Watcher(LOST + batch), checkpoint)
    assert checkpoint.load()["halvings"] == 1
    watcher = Watcher()
    assert run(settings, watcher, checkpoint) == through
    assert watcher.began == [batch - 1]


def test_the_file_of_weights_says_how_often(model_settings, toy_images, meta, lost_above, tmp_path):
    lost_above(0.03)
    settings, data = settings_of(model_settings), (toy_images(50), toy_images(30, 1))
    classifier, _ = fit(build_method(settings, meta), *data, seed=3, watcher=Watcher())
    save_weights(tmp_path / "0.safetensors", classifier, settings)
    loaded = load_weights(tmp_path / "0.safetensors", torch.device("cpu"))
    assert loaded.halvings == classifier.halvings == 2
