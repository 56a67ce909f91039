"""Courses of the learning rate against worked values and closed forms."""

import copy
import math

import numpy as np
import pytest
from torch import nn

from thumbnets.registry import OPTIMIZERS, SCHEDULES
from thumbnets.training.optimizers import build_optimizer
from thumbnets.training.schedules import Schedule


def three_layers() -> nn.Module:
    """The least that every optimizer takes."""
    return nn.Sequential(*[nn.Linear(1, 1) for _ in range(3)])


@pytest.fixture
def course(train_settings):
    """Runs a schedule and returns learning rate and momentum at every step."""

    def run(epochs: int, steps: int, losses: list[float] | None = None, **changes):
        settings = train_settings(epochs=epochs, **changes)
        optimizer = build_optimizer(three_layers(), settings)
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
    assert max(rates) > 0.03
    assert rise * steps != 1 or rates[0] == pytest.approx(0.1, rel=1e-5)  # torch divides by 0


@pytest.mark.parametrize("name", ["onecycle", "triangular"])
def test_a_single_step_has_the_whole_rate(course, name):
    assert course(1, 1, lr=0.1, schedule=name)[0] == [0.1]
    with pytest.raises(ValueError, match="triangular: 3 cycles need two steps each, got 4"):
        course(1, 4, schedule={"name": "triangular", "cycles": 3})


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


def test_multi_step_falls_after_each_milestone(course):
    schedule = {"name": "multi_step", "milestones": [1, 4], "gamma": 0.5}
    rates, _ = course(6, 2, lr=1.0, schedule=schedule)
    assert rates == [1.0] * 2 + [0.5] * 6 + [0.25] * 4


@pytest.mark.parametrize("power", [1.0, 0.5, 3.0])
def test_polynomial_is_a_power_of_what_is_left(course, power):
    rates, _ = course(4, 25, lr=0.3, schedule={"name": "polynomial", "power": power})
    assert rates == pytest.approx([0.3 * (1 - step / 100) ** power for step in range(100)])


@pytest.mark.parametrize(("rise", "cycles"), [(0.3, 1), (0.5, 2), (0.25, 3)])
def test_triangular_goes_up_and_down_along_lines(course, rise, cycles):
    schedule = {"name": "triangular", "rise": rise, "cycles": cycles}
    rates, momenta = course(5, 20, lr=0.4, schedule=schedule)
    length = 100 / cycles
    corners = [(k + at) * length for k in range(cycles) for at in (0, rise)] + [100]
    heights = [0, 0.4] * cycles + [0]
    assert rates == pytest.approx(np.interp(range(100), corners, heights), abs=1e-9)
    assert set(momenta) == {0.9}


@pytest.mark.parametrize(
    "name", [name for name, e in OPTIMIZERS.entries.items() if e.metadata.has_momentum]
)
def test_onecycle_cycles_the_momentum_of_every_optimizer_that_has_one(course, name):
    _, momenta = course(2, 10, optimizer=name, schedule="onecycle")
    assert momenta[0] == pytest.approx(0.95) and min(momenta) == pytest.approx(0.85, abs=1e-3)


@pytest.mark.parametrize("name", SCHEDULES.entries)
def test_groups_of_other_rates_keep_their_ratio(train_settings, name):
    settings = train_settings(optimizer={"name": "muon", "adam_factor": 0.3}, schedule=name)
    optimizer = build_optimizer(three_layers(), settings)
    schedule = Schedule(optimizer, settings, 5)
    for _ in range(9):
        optimizer.step()
        schedule.after_step()
        one, other = (group["lr"] for group in optimizer.param_groups)
        assert other == pytest.approx(0.3 * one)


# Warm-up.


@pytest.mark.parametrize("name", SCHEDULES.entries)
def test_warmup_multiplies_any_schedule(course, name):
    plain, momenta = course(3, 10, lr=0.2, schedule=name)
    warm, same = course(3, 10, lr=0.2, schedule=name, warmup=1.5)
    shares = np.minimum(1, np.arange(1, 31) / 15)
    assert warm == pytest.approx(plain * shares, rel=1e-12)
    assert momenta == same


def test_warmup_rounds_to_steps_and_none_changes_no_bit(course):
    assert course(2, 4, lr=0.1, warmup=0.1)[0] == [0.1] * 8
    assert course(1, 4, lr=0.4, warmup=1.0)[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])


# Going on.


@pytest.mark.parametrize("warmup", [0.0, 1.5])
@pytest.mark.parametrize("saved_at", [0, 1, 4, 7, 12, 20])
@pytest.mark.parametrize("name", SCHEDULES.entries)
def test_every_schedule_goes_on_where_its_state_was_saved(train_settings, name, saved_at, warmup):
    options = {"multi_step": {"milestones": [1, 2]}, "step": {"every": 2}}.get(name, {})
    schedule = {"name": name, **options}
    settings = train_settings(epochs=5, schedule=schedule, warmup=warmup, optimizer="adamw")

    def build():
        optimizer = build_optimizer(three_layers(), settings)
        return optimizer, Schedule(optimizer, settings, 5)

    optimizer, schedule = build()
    whole, resumed = [], None
    for step in range(25):
        if step == saved_at:
            saved = copy.deepcopy((optimizer.state_dict(), schedule.state_dict()))
            resumed = build()
            for part, state in zip(resumed, saved, strict=True):
                part.load_state_dict(state)
        pairs = [(optimizer, schedule), *([resumed] if resumed else [])]
        whole.append([(o.param_groups[0]["lr"], o.param_groups[0]["betas"]) for o, _ in pairs])
        for each, course in pairs:
            each.step()
            course.after_step()
            if step % 5 == 4:
                course.after_epoch(1.0)
    assert all(len(set(row)) == 1 for row in whole)
    assert len(whole[-1]) == 2 and (len({row[0] for row in whole}) > 1 or name == "constant")


@pytest.mark.parametrize("name", SCHEDULES.entries)
def test_the_end_raises_nothing_and_leaves_the_last_rate(train_settings, name):
    settings = train_settings(epochs=1, schedule=name)
    optimizer = build_optimizer(three_layers(), settings)
    schedule = Schedule(optimizer, settings, 3)
    rates = []
    for _ in range(3):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.after_step()
    schedule.after_epoch(1.0)
    assert optimizer.param_groups[0]["lr"] == rates[-1] > 0
