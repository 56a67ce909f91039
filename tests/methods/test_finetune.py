"""Fine-tuning: what learns when, in one thread and two, and after a kill."""

import pytest
import torch

from thumbnets.methods.base import build_method
from thumbnets.models import create_model
from thumbnets.training.loop import Training


@pytest.fixture
def settings(model_settings, tmp_path):
    """Settings of a network with batch norms, which begins with weights and has momentum."""
    torch.manual_seed(0)
    weights = create_model("cnn_a", in_channels=1, image_size=8, num_classes=3).state_dict()
    torch.save(weights, tmp_path / "w.pth")

    def make(frozen: int = 2, **train):
        method = {"name": "finetune", "frozen": frozen}
        changes = {"epochs": 3, "weights": str(tmp_path / "w.pth"), "weight_decay": 0.1, **train}
        return model_settings("cnn_a", method=method, **changes)

    return make


@pytest.mark.parametrize("threads", [1, 2])
def test_at_first_the_last_layer_alone_learns(settings, toy_images, meta, watcher, threads):
    method = build_method(settings(threads=threads), meta)
    training = Training(method, toy_images(32), None, seed=0)
    states = []
    watcher.epoch = lambda row: states.append(
        {name: value.clone() for name, value in training.network.state_dict().items()}
    )
    start = {name: value.clone() for name, value in training.network.state_dict().items()}
    training.run(watcher)
    head = list(start)[-2:]  # weight and bias
    for before, after in ((start, states[0]), (states[0], states[1])):
        changed = [name for name in before if not torch.equal(before[name], after[name])]
        assert changed == head
    assert all(not torch.equal(states[1][name], states[2][name]) for name in start)


@pytest.mark.parametrize("done", [1, 2])
def test_a_killed_one_goes_on_with_the_same_bytes(settings, toy_images, meta, watcher, done):
    def training():
        return Training(build_method(settings(), meta), toy_images(32), None, seed=0)

    def kill(row):
        if row.epoch == done:
            raise KeyboardInterrupt

    whole, killed, resumed = training(), training(), training()
    whole.run(watcher)
    watcher.epoch = kill
    with pytest.raises(KeyboardInterrupt):
        killed.run(watcher)
    watcher.epoch = lambda row: None
    resumed.load_state_dict(killed.state_dict())
    resumed.run(watcher)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_another_attempt_begins_with_the_last_layer_alone(settings, toy_images, meta, watcher):
    method = build_method(settings(), meta)
    Training(method, toy_images(32), None, seed=0).run(watcher)
    again = Training(method, toy_images(32), None, seed=0)  # as after a divergence
    start = {name: value.clone() for name, value in again.network.state_dict().items()}

    def stop(row):
        raise KeyboardInterrupt

    watcher.epoch = stop
    with pytest.raises(KeyboardInterrupt):
        again.run(watcher)
    state = again.network.state_dict()
    changed = [name for name in start if not torch.equal(start[name], state[name])]
    assert changed == list(start)[-2:]


def test_it_needs_weights_and_epochs(settings, meta):
    with pytest.raises(ValueError, match="method finetune needs `weights` to begin with"):
        build_method(settings(weights=None), meta)
    with pytest.raises(ValueError, match="method.frozen must be less than epochs, 3, got 3"):
        build_method(settings(frozen=3), meta)
