"""Averages of weights: recomputed with numpy and with torch's, and unfelt by the training."""

import copy

import numpy as np
import pytest
import torch
from torch import Generator, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from thumbnets.choices import Choice
from thumbnets.models.layers import Dropout
from thumbnets.registry import AVERAGES
from thumbnets.training.averaging import build_average
from thumbnets.training.initialisation import initialise
from thumbnets.training.optimizers import build_optimizer

EPOCHS, STEPS = 2, 10
ALWAYS = {"ema": {"name": "ema"}, "swa": {"name": "swa", "start": 0.0}}


@pytest.fixture
def watched(train_settings):
    """A network and its average."""

    def make(average):
        network = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), Dropout(0.3), nn.Flatten()
        ).append(nn.Linear(108, 3))
        network[3].random = np.random.Generator(np.random.SFC64(5))
        initialise(network, Choice(name="he", options={}), Generator().manual_seed(0))
        return network, build_average(
            network, train_settings(epochs=EPOCHS, average=average), STEPS
        )

    return make


@pytest.fixture
def train(train_settings, toy_images):
    """Trains a network for steps `first` to `last`, calling `after_step` after each."""
    data = toy_images(30)
    images = data.images.float() / 100

    def run(network, after_step=lambda: None, first=0, last=EPOCHS * STEPS):
        optimizer = build_optimizer(network, train_settings(momentum=0.0))
        for step in range(first, last):
            batch = slice(step % 3, None, 3)
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), data.labels[batch]).backward()
            optimizer.step()
            after_step()
        return network

    return run


def flat(network: nn.Module, floats: bool = True) -> np.ndarray:
    """All weights and floating-point statistics as one float64 vector (or the counters)."""
    tensors = [t for t in network.state_dict().values() if t.is_floating_point() == floats]
    return torch.cat([t.flatten() for t in tensors]).double().numpy()


def bits(network: nn.Module) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in network.state_dict().items()}


def follow(train, network, average) -> list[np.ndarray]:
    """Trains with the average; returns all weights, the first ones included, step by step."""
    path = [flat(network)]

    def after_step():
        average.update()
        path.append(flat(network))

    train(network, after_step)
    return path


@pytest.mark.parametrize(("decay", "every"), [(0.999, 1), (0.5, 1), (0.3, 3), (0.0, 1)])
def test_ema_of_weights_and_statistics(watched, train, decay, every):
    network, average = watched({"name": "ema", "decay": decay, "every": every})
    first, *path = follow(train, network, average)
    mean = first
    for n, weights in enumerate(path[every - 1 :: every]):
        d = min(decay, (1 + n) / (10 + n))
        mean = d * mean + (1 - d) * weights
    assert np.allclose(flat(average.network), mean, rtol=1e-4, atol=1e-6)
    assert np.array_equal(flat(average.network, False), flat(network, False) // every * every)


def test_ema_is_torchs_once_the_decay_is_reached(watched, train):
    network, average = watched({"name": "ema", "decay": 0.1})
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.1), use_buffers=True)
    theirs.update_parameters(network)  # which copies, the first time

    def after_step():
        average.update()
        theirs.update_parameters(network)

    train(network, after_step)
    assert np.array_equal(flat(average.network), flat(theirs.module))


@pytest.mark.parametrize(
    ("start", "every", "counted"),
    [(0.75, 1, [16, 17, 18, 19, 20]), (0.5, 4, [14, 18]), (0.0, 10, [10, 20]), (0.97, 1, [20])],
)
def test_swa_is_the_mean_of_the_steps_that_count(watched, train, start, every, counted):
    network, average = watched({"name": "swa", "start": start, "every": every})
    path = follow(train, network, average)
    mean = np.mean([path[step] for step in counted], axis=0)
    assert np.allclose(flat(average.network), mean, rtol=1e-4, atol=1e-6)


def test_before_the_first_average_the_network_itself_is_used(watched, train):
    network, average = watched({"name": "swa", "start": 0.5})
    assert average.network is network
    train(network, average.update, last=10)
    assert average.network is network
    train(network, average.update, first=10, last=11)
    assert average.network is not network and not average.network.training
    assert np.array_equal(flat(average.network), flat(network))


@pytest.mark.parametrize("name", AVERAGES.entries)
def test_the_training_does_not_feel_it(watched, train, toy_images, name):
    alone = bits(train(watched(None)[0]))
    network, average = watched(ALWAYS[name])
    images = toy_images(30, 1).images.float() / 100

    def after_step():
        average.update()
        average.refresh_statistics(images.split(10))
        average.network(images)

    assert bits(train(network, after_step)) == alone
    assert bits(average.network) != alone


def test_no_average_is_none(watched):
    assert watched(None)[1] is None


def test_swa_computes_the_statistics_of_batch_norm_anew(watched, train, toy_images):
    network, average = watched({"name": "swa", "start": 0.0})
    train(network, average.update)
    images = toy_images(24, 3).images.float() / 100
    average.refresh_statistics(images.split(8))
    convolution, norm = average.network[:2]
    maps = convolution(images).unflatten(0, (3, 8)).transpose(1, 2).flatten(2)  # [3, C, pixels]
    assert torch.allclose(norm.running_mean, maps.mean(2).mean(0), atol=1e-5)
    assert torch.allclose(norm.running_var, maps.var(2).mean(0), rtol=1e-4)
    assert norm.momentum == 0.1 and not norm.training
    theirs = copy.deepcopy(average.network)  # its dropout is after the norm
    update_bn(images.split(8), theirs)
    assert bits(theirs) == bits(average.network)


def test_each_image_counts_alike_in_the_statistics(train_settings):
    """Batches of 8, 8, 3 and 1: the last has no variance."""
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4))
    average = build_average(network, train_settings(average=ALWAYS["swa"]), STEPS)
    average.update()
    images = torch.rand(20, 1, 2, 2, generator=Generator().manual_seed(1))
    average.refresh_statistics(images.split([8, 8, 3, 1]))
    norm, values = average.network[1], images.flatten(1).numpy()
    assert np.allclose(norm.running_mean, values[:19].mean(0), atol=1e-6)
    parts = values[:8], values[8:16], values[16:19]
    variances = [part.var(0, ddof=1) for part in parts]
    assert np.allclose(norm.running_var, np.average(variances, axis=0, weights=[8, 8, 3]))


def test_statistics_are_without_dropout_and_draw_nothing(train_settings, toy_images):
    network = nn.Sequential(Dropout(0.5), nn.BatchNorm2d(1))
    average = build_average(network, train_settings(average=ALWAYS["swa"]), STEPS)
    average.update()
    images = toy_images(12).images.float()
    drawn = str(average.network[0].random.bit_generator.state)
    average.refresh_statistics([images])
    assert average.network[1].running_mean.item() == pytest.approx(images.mean().item(), rel=1e-5)
    assert str(average.network[0].random.bit_generator.state) == drawn


def test_ema_and_networks_without_batch_norm_leave_the_images_unread(watched, train_settings):
    def unread():
        raise AssertionError
        yield

    _, average = watched("ema")
    average.update()
    average.refresh_statistics(unread())
    settings = train_settings(average=ALWAYS["swa"])
    average = build_average(nn.Linear(2, 2), settings, STEPS)
    average.update()
    average.refresh_statistics(unread())


@pytest.mark.parametrize("saved_at", [0, 7, 16])
@pytest.mark.parametrize("name", AVERAGES.entries)
def test_every_average_goes_on_where_its_state_was_saved(watched, train, name, saved_at):
    choice = {"name": name, "every": 2}
    network, average = watched(choice)
    train(network, average.update, last=saved_at)
    saved = copy.deepcopy((network.state_dict(), network[3].random, average.state_dict()))
    train(network, average.update, first=saved_at)
    again, resumed = watched(choice)
    again.load_state_dict(saved[0])
    again[3].random = saved[1]
    resumed.load_state_dict(saved[2])
    train(again, resumed.update, first=saved_at)
    assert bits(again) == bits(network)
    assert bits(resumed.network) == bits(average.network) != bits(network)


def test_the_average_keeps_the_memory_format(watched, train):
    means = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        network = watched(None)[0].to(memory_format=memory_format)
        network[3].p = 0.0  # whose masks go by the layout
        average = AVERAGES.load("ema")(network, steps=STEPS, decay=0.9)
        train(network, average.update, last=5)
        assert average.network[0].weight.stride() == network[0].weight.stride()
        means.append(flat(average.network))
    assert np.allclose(*means, atol=1e-5)
