"""Courses of the learning rate against worked values and closed forms."""

import math

import pytest
import torch

from thumbnets.training.optimizers import build_optimizer
from thumbnets.training.schedules import Schedule


@pytest.fixture
def course(train_settings):
    """Runs a schedule and returns learning rate and momentum at every step."""

    def run(epochs: int, steps: int, losses: list[float] | None = None, **changes):
        settings = train_settings(epochs=epochs, **changes)
        optimizer = build_optimizer([torch.zeros(1, requires_grad=True)], settings)
        schedule = Schedule(optimizer, settings, steps)
        rates, momenta = [], []
        for epoch in range(epochs):
            for _ in range(steps):
                group = optimizer.param_groups[0]
                rates.append(group["lr"])
                momenta.append(group.get("momentum", group.get("betas", [None])[0]))
                optimizer.step()
                schedule.after_step()
            schedule.after_epoch(losses[epoch] if losses else 1.0)
        return rates, momenta

    return run


# Step of 7,035 (15 epochs of 469): learning rate, momentum.
ONE_CYCLE = {
    0: (0.0008, 0.95),
    1: (0.00080001065, 0.94999994),
    100: (0.00090626, 0.94944655),
    469: (0.00304802, 0.93829158),
    1000: (0.00961811, 0.90407233),
    2110: (0.02, 0.85),
    3000: (0.01842928, 0.85785365),
    5000: (0.00730188, 0.91349084),
    7034: (8e-8, 0.95),
}


def test_onecycle_of_the_tiny_cnn(course):
    rates, momenta = course(15, 469, lr=0.02, schedule="onecycle")
    for step, (rate, momentum) in ONE_CYCLE.items():
        assert rates[step] == pytest.approx(rate, rel=1e-5, abs=5e-9), step
        assert momenta[step] == pytest.approx(momentum, abs=6e-9), step
    assert max(rates) <= 0.02 and min(rates) == rates[-1]


def test_onecycle_options(course):
    schedule = {"name": "onecycle", "rise": 0.5, "start_factor": 10.0, "end_factor": 2.0}
    rates, momenta = course(2, 50, lr=1.0, schedule={**schedule, "cycle_momentum": False})
    assert rates[0] == pytest.approx(0.1) and rates[-1] == pytest.approx(0.05)
    assert rates.index(max(rates)) == 49 and max(rates) == pytest.approx(1.0)
    assert set(momenta) == {0.9}


def test_onecycle_moves_the_first_beta_of_adam(course):
    _, momenta = course(2, 10, optimizer="adam", schedule="onecycle")
    assert momenta[0] == pytest.approx(0.95) and min(momenta) == pytest.approx(0.85, abs=1e-3)


@pytest.mark.parametrize(
    ("rise", "steps"),
    [(0.3, 1), (0.3, 2), (0.3, 3), (0.5, 2), (0.25, 4), (0.1, 10)],
)
def test_onecycle_of_very_few_steps(course, rise, steps):
    rates, _ = course(1, steps, lr=0.1, schedule={"name": "onecycle", "rise": rise})
    assert all(0 < rate <= 0.1 for rate in rates)


def test_cosine_is_half_a_cosine_over_the_run(course):
    rates, _ = course(4, 25, lr=0.3, schedule="cosine")
    for step, rate in enumerate(rates):
        closed = 0.3 / 2 * (1 + math.cos(math.pi * step / 100))
        assert rate == pytest.approx(closed, abs=1e-9)


def test_constant_stays(course):
    assert set(course(8, 3, lr=0.07, schedule="constant")[0]) == {0.07}


def test_step_falls_after_every_so_many_epochs(course):
    rates, _ = course(7, 2, lr=1.0, schedule={"name": "step", "every": 3, "gamma": 0.5})
    assert rates == [1.0] * 6 + [0.5] * 6 + [0.25] * 2


def test_plateau_falls_when_the_loss_stands_still(course):
    plateau = {"name": "plateau", "patience": 2, "gamma": 0.1}
    falling = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    assert set(course(8, 1, falling, lr=1.0, schedule=plateau)[0]) == {1.0}
    rates, _ = course(8, 1, [1.0, 0.9] + [0.95] * 6, lr=1.0, schedule=plateau)
    fall = next(epoch for epoch, rate in enumerate(rates) if rate < 1)
    assert fall in (4, 5)  # best in epoch 2, then two or (as torch counts) three without a gain
    assert rates[fall] == pytest.approx(0.1)


def test_plateau_waits_as_long_as_it_says(course):
    plateau = {"name": "plateau", "patience": 2, "gamma": 0.1}
    rates, _ = course(4, 1, [1.0, 1.0, 1.0, 1.0], lr=1.0, schedule=plateau)
    assert rates[3] == pytest.approx(0.1)  # epochs 2 and 3 brought nothing


@pytest.mark.parametrize("name", ["constant", "cosine", "step", "plateau", "onecycle"])
def test_the_end_raises_nothing_and_leaves_the_last_rate(train_settings, name):
    settings = train_settings(epochs=1, schedule=name)
    optimizer = build_optimizer([torch.zeros(1, requires_grad=True)], settings)
    schedule = Schedule(optimizer, settings, 3)
    rates = []
    for _ in range(3):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.after_step()
    schedule.after_epoch(1.0)
    assert optimizer.param_groups[0]["lr"] == rates[-1] > 0
