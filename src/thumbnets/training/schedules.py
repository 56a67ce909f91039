"""Courses of the learning rate by name; all are torch's own."""

import copy
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CyclicLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    StepLR,
)

from thumbnets.options import Count, Counts, Fraction, Positive, Share
from thumbnets.registry import SCHEDULES
from thumbnets.training.settings import TrainSettings


class Schedule:
    """A scheduler of torch with the moment at which it steps, and a warm-up that multiplies it.

    Args:
        optimizer: Optimizer whose learning rate is set.
        settings: What controls the training, with the name of the schedule.
        steps_per_epoch: Batches per epoch.
    """

    def __init__(self, optimizer: Optimizer, settings: TrainSettings, steps_per_epoch: int) -> None:
        choice = settings.schedule
        self._optimizer = optimizer
        self._total = settings.epochs * steps_per_epoch
        self._warmup = round(settings.warmup * steps_per_epoch)
        self._steps = 0
        self._every = SCHEDULES[choice.name].metadata.every
        self._scheduler = SCHEDULES.load(choice.name)(
            optimizer,
            epochs=settings.epochs,
            steps_per_epoch=steps_per_epoch,
            **choice.options,
        )
        self._keep_rates()

    def after_step(self) -> None:
        """Call after every optimizer step."""
        self._steps += 1
        if self._every == "step" and self._steps < self._total:  # torch refuses a step past the end
            self._advance()
        self._warm_up()

    def after_epoch(self, validation_loss: float) -> None:
        """Call after every epoch."""
        if self._every == "plateau":
            self._advance(validation_loss)
        elif self._every == "epoch":
            self._advance()

    def state_dict(self) -> dict[str, Any]:
        """All that changes, besides what the optimizer's state holds (its rates and momenta)."""
        scheduler = copy.deepcopy(self._scheduler.state_dict())
        return {"steps": self._steps, "rates": self._rates, "scheduler": scheduler}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was called.

        A new schedule sets the optimizer's rates, so: build both, load the optimizer, then this.
        """
        self._steps, self._rates = state["steps"], list(state["rates"])
        self._scheduler.load_state_dict(copy.deepcopy(state["scheduler"]))
        self._optimizer._opt_called = self._steps > 0  # else torch may warn of a step left out

    def _advance(self, *validation_loss: float) -> None:
        """Step the scheduler, which goes on from its own rates, not from the warm-up's."""
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate
        self._scheduler.step(*validation_loss)
        self._keep_rates()

    def _keep_rates(self) -> None:
        self._rates = _rates(self._optimizer)
        self._warm_up()

    def _warm_up(self) -> None:
        """Scale the scheduler's rates: step t (1, 2, …) of W warm-up steps has the share t / W."""
        share = min(1.0, (self._steps + 1) / self._warmup) if self._warmup else 1.0
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share


@SCHEDULES.register(every="epoch")
def constant(optimizer: Optimizer, *, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """The same learning rate throughout."""
    return ConstantLR(optimizer, factor=1.0)


@SCHEDULES.register(every="step")
def cosine(optimizer: Optimizer, *, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """Half a cosine from `lr` to 0. Source: Loshchilov and Hutter 2017, arXiv:1608.03983."""
    return CosineAnnealingLR(optimizer, T_max=epochs * steps_per_epoch)


@SCHEDULES.register(every="epoch")
def step(
    optimizer: Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    every: Count = 10,
    gamma: Fraction = 0.1,
) -> LRScheduler:
    """Multiply the learning rate by `gamma` after every `every` epochs."""
    return StepLR(optimizer, every, gamma)


@SCHEDULES.register(every="epoch")
def multi_step(
    optimizer: Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    milestones: Counts = (10, 15),
    gamma: Fraction = 0.1,
) -> LRScheduler:
    """Multiply the learning rate by `gamma` after each of the epochs `milestones`."""
    return MultiStepLR(optimizer, milestones, gamma)


@SCHEDULES.register(every="step")
def polynomial(
    optimizer: Optimizer, *, epochs: int, steps_per_epoch: int, power: Positive = 1.0
) -> LRScheduler:
    """Fall to 0 as (the share of the run that is left) ** power; linear with power 1."""
    return PolynomialLR(optimizer, epochs * steps_per_epoch, power)


@SCHEDULES.register(every="step")
def triangular(
    optimizer: Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    rise: Share = 0.3,
    cycles: Count = 1,
) -> LRScheduler:
    """Rise linearly from 0 to `lr` and fall back to 0, `cycles` times.

    Args:
        rise: Share of a cycle that rises.

    Source: Smith 2017, arXiv:1506.01186.
    """
    steps = epochs * steps_per_epoch
    if steps == 1:  # the only one would be at 0
        return ConstantLR(optimizer, factor=1.0)
    length = steps / cycles
    if length < 2:
        raise ValueError(f"schedule triangular: {cycles} cycles need two steps each, got {steps}.")
    return CyclicLR(
        optimizer,
        base_lr=0.0,
        max_lr=_rates(optimizer),
        step_size_up=rise * length,
        step_size_down=(1 - rise) * length,
        cycle_momentum=False,
    )


@SCHEDULES.register(every="plateau")
def plateau(
    optimizer: Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    patience: Count = 3,
    gamma: Share = 0.1,
) -> LRScheduler:
    """Multiply by `gamma` when the validation loss has not improved for `patience` epochs."""
    return ReduceLROnPlateau(optimizer, factor=gamma, patience=patience - 1)  # torch: one more


@SCHEDULES.register(every="step")
def onecycle(
    optimizer: Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    rise: Share = 0.3,
    start_factor: Positive = 25.0,
    end_factor: Positive = 1e4,
    cycle_momentum: bool = True,
) -> LRScheduler:
    """Rise to `lr` over the share `rise` of the run, then fall; momentum moves the opposite way.

    Args:
        start_factor: The run begins at lr / start_factor …
        end_factor: … and ends at that / end_factor.
        cycle_momentum: Replace the optimizer's momentum by 0.95 -> 0.85 -> 0.95.

    Source: Smith and Topin 2018, arXiv:1708.07120; cosine as in torch.
    """
    steps = epochs * steps_per_epoch
    if steps == 1:  # which torch takes for the last, near 0
        return ConstantLR(optimizer, factor=1.0)
    if rise * steps == 1:  # torch divides by the difference; so the first step is the peak
        rise *= 1 - 1e-6
    return OneCycleLR(
        optimizer,
        max_lr=_rates(optimizer),
        total_steps=steps,
        pct_start=rise,
        div_factor=start_factor,
        final_div_factor=end_factor,
        cycle_momentum=cycle_momentum,
    )


def _rates(optimizer: Optimizer) -> list[float]:
    """The learning rate of each group of parameters; Muon's groups differ."""
    return [group["lr"] for group in optimizer.param_groups]
