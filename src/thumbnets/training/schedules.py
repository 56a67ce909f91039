"""Courses of the learning rate by name; all are torch's own."""

from typing import Annotated

from pydantic import Field
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from thumbnets.options import Count, Fraction, Positive
from thumbnets.registry import SCHEDULES
from thumbnets.training.settings import TrainSettings


class Schedule:
    """A scheduler of torch with the moment at which it steps.

    Args:
        optimizer: Whose learning rate it sets.
        settings: Names the schedule.
        steps_per_epoch: Batches an epoch.
    """

    def __init__(self, optimizer: Optimizer, settings: TrainSettings, steps_per_epoch: int) -> None:
        choice = settings.schedule
        self._steps_left = settings.epochs * steps_per_epoch
        self._every = SCHEDULES[choice.name].facts["every"]
        self._scheduler = SCHEDULES.load(choice.name)(
            optimizer,
            lr=settings.lr,
            epochs=settings.epochs,
            steps_per_epoch=steps_per_epoch,
            **choice.options,
        )

    def after_step(self) -> None:
        """Call after every optimizer step."""
        self._steps_left -= 1
        if self._every == "step" and self._steps_left > 0:  # torch refuses a step past the end
            self._scheduler.step()

    def after_epoch(self, validation_loss: float) -> None:
        """Call after every epoch."""
        if self._every == "plateau":
            self._scheduler.step(validation_loss)
        elif self._every == "epoch":
            self._scheduler.step()


@SCHEDULES.register(every="epoch")
def constant(optimizer: Optimizer, *, lr: float, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """The same learning rate throughout."""
    return ConstantLR(optimizer, factor=1.0)


@SCHEDULES.register(every="step")
def cosine(optimizer: Optimizer, *, lr: float, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """Half a cosine from `lr` to 0. Source: Loshchilov and Hutter 2017, arXiv:1608.03983."""
    return CosineAnnealingLR(optimizer, T_max=epochs * steps_per_epoch)


@SCHEDULES.register(every="epoch")
def step(
    optimizer: Optimizer,
    *,
    lr: float,
    epochs: int,
    steps_per_epoch: int,
    every: Count = 10,
    gamma: Fraction = 0.1,
) -> LRScheduler:
    """Multiply the learning rate by `gamma` after every `every` epochs."""
    return StepLR(optimizer, every, gamma)


@SCHEDULES.register(every="plateau")
def plateau(
    optimizer: Optimizer,
    *,
    lr: float,
    epochs: int,
    steps_per_epoch: int,
    patience: Count = 3,
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1,
) -> LRScheduler:
    """Multiply by `gamma` when the validation loss has not improved for `patience` epochs."""
    return ReduceLROnPlateau(optimizer, factor=gamma, patience=patience - 1)  # torch: one more


@SCHEDULES.register(every="step")
def onecycle(
    optimizer: Optimizer,
    *,
    lr: float,
    epochs: int,
    steps_per_epoch: int,
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3,
    start_factor: Positive = 25.0,
    end_factor: Positive = 1e4,
    cycle_momentum: bool = True,
) -> LRScheduler:
    """Rise to `lr` over the share `rise` of the run, then fall; momentum runs against it.

    Args:
        start_factor: The run begins at lr / start_factor …
        end_factor: … and ends at that / end_factor.
        cycle_momentum: Replace the optimizer's momentum by 0.95 -> 0.85 -> 0.95.

    Source: Smith and Topin 2018, arXiv:1708.07120; cosine as in torch.
    """
    steps = epochs * steps_per_epoch
    if rise * steps == 1:  # torch divides by the difference
        rise *= 1 + 1e-6
    return OneCycleLR(
        optimizer,
        max_lr=lr,
        total_steps=steps,
        pct_start=rise,
        div_factor=start_factor,
        final_div_factor=end_factor,
        cycle_momentum=cycle_momentum,
    )
