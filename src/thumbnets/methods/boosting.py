"""Gradient boosting: every member learns the residual of those before it."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from thumbnets.data.arrays import Meta
from thumbnets.data.constants import one_hot
from thumbnets.methods.base import Method, autocast
from thumbnets.methods.members import Ensemble
from thumbnets.methods.sequential import Restarts, SequentialEnsemble
from thumbnets.options import Portion, Several
from thumbnets.registry import METHODS
from thumbnets.training.schedules import Schedule
from thumbnets.training.settings import ModelSettings, TrainSettings


@METHODS.register(
    excludes=("average", "class_weights", "early_stopping", "lookahead", "weights"),
    parts="members",
)
def gradient_boosting(
    settings: ModelSettings, meta: Meta, *, members: Several = 5, shrinkage: Portion = 1.0
) -> Method:
    """Members learn one after the other, each in its part of the epochs, from earlier residuals.

    The residual is the target minus the softmax of `shrinkage` times the sum of the earlier members
    (of none: 0), which are in evaluation mode and are not changed. The loss is the squared distance
    to it, a sum over classes and a mean over images. For each member the schedule begins again,
    with a new optimizer state. The prediction is `shrinkage` times the sum of all members.

    Source: Friedman 2001, Annals of Statistics 29; for networks GradientBoostingClassifier of
    TorchEnsemble, where the loss is a sum over images and earlier members stay in train mode.
    """
    return GradientBoosting(settings, meta, members, shrinkage)


@METHODS.register(excludes=("class_weights", "clip", "weights"), refuses={"optimizer": "muon"})
def soft_gradient_boosting(
    settings: ModelSettings, meta: Meta, *, members: Several = 5, shrinkage: Portion = 1.0
) -> Method:
    """As `gradient_boosting`, but all members learn at once, from the current residuals.

    No gradient goes through a residual.

    Source: Feng et al. 2020, arXiv:2006.04059; TorchEnsemble lets gradients through.
    """
    return SoftGradientBoosting(settings, meta, members, shrinkage)


def shrunken_sum(logits: Tensor, shrinkage: float) -> Tensor:
    """`shrinkage` times the sum of the members' logits."""
    return shrinkage * logits.sum(0)


class Boosting(Ensemble):
    """What both kinds of gradient boosting have in common."""

    def __init__(self, settings: ModelSettings, meta: Meta, members: int, shrinkage: float) -> None:
        super().__init__(settings, meta, members, partial(shrunken_sum, shrinkage=shrinkage))
        self.shrinkage = shrinkage

    def output(self, member: nn.Module, images: Tensor) -> Tensor:
        """Output of one member, float32 [N, K]."""
        with autocast(images.device, self.train.precision):
            return member(images).float()

    def shares(self, targets: Tensor) -> Tensor:
        """Targets as shares of the classes, float32 [N, K], with the block's label smoothing."""
        classes = len(self.meta.classes)
        if targets.ndim == 1:
            targets = one_hot(targets, classes)
        return targets.lerp(torch.full_like(targets, 1 / classes), self.train.label_smoothing)

    def error(self, output: Tensor, total: Tensor, shares: Tensor) -> Tensor:
        """Mean squared distance of a member's output to its residual; arguments [N, K].

        Args:
            output: Output of the member.
            total: Sum of the outputs of the members before it.
            shares: Targets from `shares`.
        """
        residual = shares - (self.shrinkage * total).softmax(1)
        return (output - residual).square().sum(1).mean()


class GradientBoosting(Boosting, SequentialEnsemble):
    """See `gradient_boosting`."""

    def schedule(
        self, optimizer: Optimizer, settings: TrainSettings, steps_per_epoch: int
    ) -> Schedule:
        return Restarts(optimizer, settings, steps_per_epoch, parts=self.members, clears_state=True)

    def finish(self, member: nn.Module) -> None:
        """Finish a member; the last takes its first weights in exchange, and starts anew."""
        last = self.ensemble.members[-1]
        first = {name: tensor.clone() for name, tensor in member.state_dict().items()}
        super().finish(member)
        last.load_state_dict(first)

    def loss(self, module: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        shares = self.shares(targets)
        total = torch.zeros_like(shares)
        with torch.no_grad():
            for member in self.ensemble.members[: self.ensemble.finished]:
                total += self.output(member, images)
        output = self.output(module, images)
        correct = ((total + output.detach()).argmax(1) == shares.argmax(1)).sum()
        return self.error(output, total, shares), correct


class SoftGradientBoosting(Boosting):
    """See `soft_gradient_boosting`."""

    def gradients(
        self, module: nn.Module, images: Tensor, targets: Tensor, share: float
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        shares = self.shares(targets)
        total, losses, found = torch.zeros_like(shares), [], []
        for member in module.members:  # the graph of each is freed before the next
            output = self.output(member, images)
            losses.append(self.error(output, total, shares) * share)
            found += torch.autograd.grad(losses[-1], list(member.parameters()))
            total += output.detach()
        correct = (total.argmax(1) == shares.argmax(1)).sum()
        return found, torch.stack(losses).detach().sum(), correct
