"""A training that is killed and resumed ends with the bits of one that ran through."""

import copy
import math

import pytest
import torch

from thumbnets import runtime
from thumbnets.methods.base import build_method
from thumbnets.registry import AUGMENTATIONS, AVERAGES, METHODS, MIXES, OPTIMIZERS, SCHEDULES
from thumbnets.training.batches import Images
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.loop import Training, fit

EPOCHS, STEPS = 3, 4  # 50 images in batches of 16: the last has 2

# Batch in which a run is killed. The state was kept after the batch before it: 1 has nothing to go
# on with, 5 the end of an epoch that was not judged yet, 7 the middle of one.
KILLS = [1, 2, 5, 5, 7, 9, 12]


class Killed(Exception):
    """Stands for kill -9: nothing is written on the way out."""


class Killer:
    """A watcher that ends a run in the batch of that number, or at the end of that epoch."""

    def __init__(self, batch: float = math.inf, epoch: float = math.inf) -> None:
        self.last_batch, self.last_epoch = batch, epoch

    def start(self, epochs: int, steps: int, done: int) -> None:
        self.done = self.began = done

    def batch(self) -> None:
        self.done += 1
        if self.done >= self.last_batch:
            raise Killed

    def epoch(self, row) -> None:
        if row.epoch >= self.last_epoch:
            raise Killed


@pytest.fixture
def run(toy_images, meta):
    """Trains with some settings; returns bits of the weights, the curve, and number of halvings."""
    images, validation = toy_images(50), toy_images(30, 1)

    def train(settings, watcher=None, checkpoint=None, train=images):
        watcher = watcher or Killer()
        classifier, curve = fit(
            build_method(settings, meta),
            train,
            validation,
            seed=3,
            watcher=watcher,
            checkpoint=checkpoint,
        )
        weights = classifier.network.state_dict()
        bits = {name: tensor.numpy().tobytes() for name, tensor in weights.items()}
        return bits, curve, classifier.halvings

    return train


@pytest.fixture
def check(model_settings, run, tmp_path):
    """Compares a run that is killed again and again with one that is not."""

    def compare(**changes):
        arch, epochs = changes.pop("arch", "cnn_c"), changes.setdefault("epochs", EPOCHS)
        options = {"dropout": 0.3} if arch in ("cnn_c", "mlp4", "mlp") else {}
        options |= {"width": 64} if arch == "mlp" else {}
        settings = model_settings(arch, options, **{"augment": ["shift"], **changes})
        through = run(settings)
        checkpoint = Checkpoint(tmp_path / "0.pt", "key", every=0)
        for batch in KILLS:
            killer = Killer(batch)
            with pytest.raises(Killed):
                run(settings, killer, checkpoint)
            assert killer.done == batch
        for epoch in (epochs - 1, epochs):
            with pytest.raises(Killed):
                run(settings, Killer(epoch=epoch), checkpoint)
        last = Killer()
        assert run(settings, last, checkpoint) == through
        assert last.began == last.done == epochs * STEPS  # the end was kept, but not judged
        again = Killer(batch=1)
        assert run(settings, again, checkpoint) == through  # a finished training trains no more
        return through

    return compare


@pytest.mark.parametrize("name", OPTIMIZERS.entries)
@pytest.mark.slow
def test_every_optimizer(check, name):
    check(optimizer=name, weight_decay=1e-3, decay_norms=False)


@pytest.mark.parametrize("name", SCHEDULES.entries)
@pytest.mark.slow
def test_every_schedule(check, name):
    options = {
        "multi_step": {"milestones": [1, 2], "gamma": 0.5},
        "step": {"every": 1, "gamma": 0.5},
        "plateau": {"patience": 1, "gamma": 0.5},
        "triangular": {"cycles": 2},
    }
    _, curve, _ = check(schedule={"name": name, **options.get(name, {})}, warmup=0.6, lr=0.5)
    assert len({row.lr for row in curve[1:]}) > 1 or name in ("constant", "plateau")


@pytest.mark.parametrize(
    "average", [*AVERAGES.entries, {"name": "ema", "every": 3}, {"name": "swa", "start": 0.4}]
)
@pytest.mark.slow
def test_every_average(check, average):
    check(average=average)


@pytest.mark.parametrize(
    "name", [name for name, entry in METHODS.entries.items() if "members" in entry.parameters]
)
@pytest.mark.slow
def test_every_ensemble(check, name):
    """If members end in turn, they end after epochs 1 and 2, or 2: kills fall before and after."""
    walk = name == "fast_geometric"
    method = {"name": name, "members": 2, "cycle": 2} if walk else {"name": name, "members": 3}
    epochs = 4 if walk else EPOCHS
    check(method=method, epochs=epochs, schedule="onecycle", optimizer="adam", lr=0.01)


@pytest.mark.parametrize("name", MIXES.entries)
def test_every_mix(check, name):
    check(mix=name, label_smoothing=0.1)


def test_every_augmentation(check):
    check(augment=list(AUGMENTATIONS.entries))


def test_alternating_flips(check):
    """They go by the number of the epoch, not by draws."""
    check(augment=["alternating_flip"])


@pytest.mark.parametrize("arch", ["mlp4", "cnn_a", "cnn_b", "lenet_300_100"])
@pytest.mark.slow
def test_other_networks(check, arch):
    check(arch=arch)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.slow
def test_any_number_of_threads(check, threads):
    check(threads=threads, mix="mixup")


@pytest.mark.parametrize("bio", [False, True])
def test_local_losses(check, bio):
    method = {"name": "local", "bio": bio}
    check(arch="mlp", method=method, threads=1, optimizer="adam", lr=0.001, average="ema")


def test_lookahead(check):
    check(lookahead={"steps": 3, "alpha": 0.5}, optimizer="adamw", lr=0.01)


def test_clipping(check):
    check(clip=0.1)


def test_bf16(check):
    if not runtime.computes_bf16(torch.device("cpu")):
        pytest.skip("no bfloat16 on this CPU")
    check(precision="bf16", average="swa", mix="mixup")


EVERYTHING = {
    "augment": ["alternating_flip", "shift", "erasing"],
    "mix": "mixup",
    "optimizer": "adamw",
    "schedule": "onecycle",
    "warmup": 1.5,
    "average": {"name": "ema", "decay": 0.6},
    "lookahead": {"steps": 3, "alpha": 0.5},
    "early_stopping": {"patience": 3},
    "clip": 1.0,
    "lr": 0.01,
}


def test_everything_at_once(check):
    check(**EVERYTHING)


@pytest.fixture
def misleading(toy_images) -> Images:
    """Images under wrong labels: what is learned of them makes the validation loss worse."""
    data = toy_images(50)
    return Images(data.images, (data.labels + 1) % 3)


@pytest.mark.parametrize("average", [None, "ema", {"name": "swa", "start": 0.0}])
@pytest.mark.parametrize("batch", [2, 5, 8, 9, 11])
def test_early_stopping_counts_on(model_settings, run, misleading, tmp_path, batch, average):
    """The best weights lie before the kill, and the waiting goes over it."""
    settings = model_settings(epochs=20, lr=0.01, early_stopping={"patience": 4}, average=average)
    through = run(settings, train=misleading)
    losses = [row.validation_loss for row in through[1]]
    assert losses.index(min(losses)) + 1 + 4 == len(losses) < 20
    checkpoint = Checkpoint(tmp_path / "0.pt", "key", every=0)
    for number in (batch, batch + STEPS, len(losses) * STEPS):
        with pytest.raises(Killed):
            run(settings, Killer(number), checkpoint, misleading)
    assert run(settings, Killer(), checkpoint, misleading) == through


def test_a_state_may_lie_batches_back(model_settings, run, tmp_path, monkeypatch):
    settings = model_settings("cnn_c", {"dropout": 0.3}, epochs=EPOCHS, augment=["shift"])
    through = run(settings)
    now = [0.0]
    monkeypatch.setattr("thumbnets.training.checkpoint.time.monotonic", lambda: now[0])

    class Slow(Killer):
        def batch(self) -> None:
            super().batch()
            now[0] += 1

    for batch, began in [(3, 0), (6, 0), (9, 3), (12, 6), (99, 9)]:
        killer = Slow(batch)
        checkpoint = Checkpoint(tmp_path / "0.pt", "key", every=3)  # kept after 3, 6 and 9 batches
        if batch < 99:
            with pytest.raises(Killed):
                run(settings, killer, checkpoint)
        else:
            assert run(settings, killer, checkpoint) == through
        assert killer.began == began


def test_other_draws_before_resuming_do_not_matter(model_settings, run, tmp_path):
    settings = model_settings("mlp4", {"dropout": 0.3}, epochs=EPOCHS, augment=["shift"])
    through = run(settings)
    checkpoint = Checkpoint(tmp_path / "0.pt", "key", every=0)
    with pytest.raises(Killed):
        run(settings, Killer(6), checkpoint)
    torch.manual_seed(1)
    torch.rand(5)
    assert run(settings, checkpoint=checkpoint) == through


def _parts() -> list[tuple[str, ...]]:
    streams = [("streams", name) for name in ("order", "augment", "dropout")]
    names = ("module", "optimizer", "schedule", "average", "best", "curve")
    return [*streams, *((name,) for name in (*names, "order", "losses", "correct", "rates"))]


@pytest.mark.parametrize("part", _parts(), ids=".".join)
def test_every_part_of_the_state_is_needed(model_settings, misleading, toy_images, meta, part):
    """With that part as it was at the beginning the training ends otherwise."""
    settings = model_settings("mlp4", {"dropout": 0.3}, **EVERYTHING, epochs=EPOCHS)
    data = misleading, toy_images(30, 1)

    def end(state=None):
        training = Training(build_method(settings, meta), *data, seed=3)
        if state:
            training.load_state_dict(state)
        training.run(Killer())
        weights = training.classifier().network.state_dict()
        return {k: v.numpy().tobytes() for k, v in weights.items()}, training.curve

    training = Training(build_method(settings, meta), *data, seed=3)
    fresh = copy.deepcopy(training.state_dict())
    with pytest.raises(Killed):
        training.run(Killer(batch=7))
    kept = copy.deepcopy(training.state_dict())
    assert end(copy.deepcopy(kept)) == end()
    within, fresh_within = kept, fresh
    for name in part[:-1]:
        within, fresh_within = within[name], fresh_within[name]
    within[part[-1]] = fresh_within[part[-1]]
    assert end(kept) != end()
