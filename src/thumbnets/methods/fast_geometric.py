"""Fast geometric ensembles: short walks from one low of the loss to the next."""

from typing import Annotated

from pydantic import Field
from torch.optim import Optimizer

from thumbnets.data.arrays import Meta
from thumbnets.methods.base import Method
from thumbnets.methods.members import mean_of_logits
from thumbnets.methods.sequential import SequentialEnsemble, reset_optimizer, settings_of
from thumbnets.options import Positive, Several
from thumbnets.registry import METHODS
from thumbnets.training.schedules import Schedule
from thumbnets.training.settings import ModelSettings, TrainSettings


@METHODS.register(
    excludes=("average", "early_stopping", "lookahead", "weights"), walk=("members", "cycle")
)
def fast_geometric(
    settings: ModelSettings,
    meta: Meta,
    *,
    members: Several = 5,
    cycle: Annotated[int, Field(ge=2, multiple_of=2)] = 4,
    high: Positive = 0.5,
    low: Positive = 0.001,
) -> Method:
    """A usual training; then the rate falls and rises linearly, and each low gives a member.

    The walk takes (members - 1) * cycle + cycle / 2 of the epochs, up to the last low, and begins
    with a reset optimizer; the schedule and its warm-up take the rest. The prediction is the mean
    of the members' logits.

    Args:
        members: Number of members.
        cycle: Epochs from one high of the learning rate to the next, half of which lead to a low.
        high: Highest rate of the walk, as a share of `lr`.
        low: Lowest rate of the walk, likewise.

    Source: Garipov et al. 2018, arXiv:1802.10026; the logits and the new optimizer as in
    TorchEnsemble, which has these rates for lr 0.1.

    Raises:
        ValueError: The lowest rate of the walk is not below the highest.
    """
    return FastGeometric(settings, meta, members, cycle, high, low)


class FastGeometric(SequentialEnsemble):
    """See `fast_geometric`."""

    def __init__(
        self,
        settings: ModelSettings,
        meta: Meta,
        members: int,
        cycle: int,
        high: float,
        low: float,
    ) -> None:
        super().__init__(settings, meta, members, mean_of_logits)
        self.cycle, self.high, self.low = cycle, high, low
        if low >= high:
            raise ValueError(
                f"models.{settings.name}.method.low must be less than high, {high:g}, got {low:g}."
            )

    @property
    def walk(self) -> int:
        """Epochs after those of the schedule."""
        return self.train.epochs - self.train.schedule_epochs

    def ends(self) -> list[int]:
        first = self.train.epochs - self.walk + self.cycle // 2
        return list(range(first, self.train.epochs, self.cycle))

    def schedule(
        self, optimizer: Optimizer, settings: TrainSettings, steps_per_epoch: int
    ) -> Schedule:
        return Walk(optimizer, settings, steps_per_epoch, self)


class Walk(Schedule):
    """The schedule of the usual training, and after it the lines of the walk.

    Args:
        optimizer: Optimizer whose rates are set, before its first step.
        settings: What controls the training.
        steps_per_epoch: Batches per epoch.
        method: Method that gives the rates and the cycle of the walk.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        settings: TrainSettings,
        steps_per_epoch: int,
        method: FastGeometric,
    ) -> None:
        self._fresh, self._method = settings_of(optimizer), method
        self._cycle = method.cycle * steps_per_epoch
        usual = settings.model_copy(update={"epochs": settings.epochs - method.walk})
        super().__init__(optimizer, usual, steps_per_epoch)

    def after_step(self) -> None:
        super().after_step()
        if self._steps > self._total:
            self._set_rates()

    def after_epoch(self, validation_loss: float) -> None:
        if self._steps <= self._total:
            super().after_epoch(validation_loss)
        if self._steps == self._total:
            reset_optimizer(self._optimizer, self._fresh, clears_state=True)
            self._set_rates()

    def _set_rates(self) -> None:
        """Set the rates at the share t of a cycle: from high to low while t < 1/2, then back."""
        t = (self._steps - self._total) % self._cycle / self._cycle
        down = abs(1 - 2 * t)
        share = self._method.high * down + self._method.low * (1 - down)
        for group, fresh in zip(self._optimizer.param_groups, self._fresh, strict=True):
            group["lr"] = fresh["lr"] * share
