"""Ensembles whose members are states of one network in the course of a single training."""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from thumbnets.methods.members import Ensemble, Members
from thumbnets.training.schedules import Schedule
from thumbnets.training.settings import TrainSettings


class SequentialEnsemble(Ensemble):
    """The last member trains all the time; at times its weights are copied to another member.

    Meanwhile, the finished members predict together with the one in training.
    """

    ensemble: Members

    def training_module(self, network: Members, seed: int) -> nn.Module:
        self.ensemble = super().training_module(network, seed).eval()
        network.finished = 0
        return network.members[-1]

    def ends(self) -> list[int]:
        """After how many epochs each member but the last is finished."""
        part = self.train.epochs // self.members
        return [part * number for number in range(1, self.members)]

    def after_epoch(self, epochs: int) -> None:
        if epochs in self.ends():
            self.finish(self.ensemble.members[self.ensemble.finished])
            self.ensemble.finished += 1

    def finish(self, member: nn.Module) -> None:
        """Finish a member: it takes the weights of the last."""
        member.load_state_dict(self.ensemble.members[-1].state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {"finished": self.ensemble.finished, "ensemble": self.ensemble.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ensemble.finished = state["finished"]
        self.ensemble.load_state_dict(state["ensemble"])


class Restarts(Schedule):
    """A schedule, with its warm-up, that restarts in each of several equal parts.

    Args:
        optimizer: Optimizer whose learning rate is set.
        settings: `train` of the block.
        steps_per_epoch: Number of batches.
        parts: Number of parts; divides the epochs.
        clears_state: Whether a restart also clears the optimizer's state, its momenta.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        settings: TrainSettings,
        steps_per_epoch: int,
        *,
        parts: int,
        clears_state: bool,
    ) -> None:
        part = settings.model_copy(update={"epochs": settings.epochs // parts})
        super().__init__(optimizer, part, steps_per_epoch)
        self._clears_state = clears_state
        self._first = self.state_dict(), settings_of(optimizer)

    def after_epoch(self, validation_loss: float) -> None:
        super().after_epoch(validation_loss)
        if self._steps == self._total:
            state, groups = self._first
            self.load_state_dict(state)
            reset_optimizer(self._optimizer, groups, clears_state=self._clears_state)


def settings_of(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Rates, momenta and all else that an optimizer's groups hold besides the parameters."""
    return [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]


def reset_optimizer(
    optimizer: Optimizer, groups: list[dict[str, Any]], *, clears_state: bool
) -> None:
    """Set an optimizer's groups to what `settings_of` returned; optionally clear its state too."""
    for group, settings in zip(optimizer.param_groups, groups, strict=True):
        group.update(settings)
    if clears_state:
        optimizer.state.clear()
