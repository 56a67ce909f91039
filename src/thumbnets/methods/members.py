"""Several networks of one architecture that predict as one."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from thumbnets.data.arrays import Meta
from thumbnets.methods.base import Method
from thumbnets.models.patches import build
from thumbnets.training.settings import ModelSettings

# From the members' logits [M, N, K] to those of the ensemble [N, K].
Combination = Callable[[Tensor], Tensor]


def soft_vote(logits: Tensor) -> Tensor:
    """The logarithm of the mean of the members' probabilities, finite even where those vanish."""
    return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))


def mean_of_logits(logits: Tensor) -> Tensor:
    """The mean of the members' logits: up to scale, a geometric mean of their probabilities."""
    return logits.mean(0)


class Members(nn.Module):
    """An ensemble as one network, from images to logits.

    Args:
        networks: The members.
        combine: Function from the members' logits to those of the ensemble.

    Attributes:
        finished: Number of finished members, the first ones. They predict together with the last.
            While members are trained one after the other, the last is the one in training, and
            those in between are left out; otherwise all but the last are finished: all predict.
    """

    def __init__(self, networks: list[nn.Module], combine: Combination) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)
        self.combine = combine
        self.finished = len(networks) - 1

    def forward(self, images: Tensor) -> Tensor:
        members = [*self.members[: self.finished], self.members[-1]]
        return self.combine(torch.stack([member(images) for member in members]))


class Ensemble(Method):
    """A method whose network has members, each with first weights of its own.

    Args:
        settings: The model block; the architecture is that of a member.
        meta: Shape, classes and normalisation of the images.
        members: Number of members.
        combine: Function from the members' logits to those of the ensemble.
    """

    def __init__(
        self,
        settings: ModelSettings,
        meta: Meta,
        members: int,
        combine: Combination = soft_vote,
    ) -> None:
        super().__init__(settings, meta)
        self.members, self.combine = members, combine

    def network(self) -> nn.Module:
        networks = [build(self.settings, **self.meta.shape) for _ in range(self.members)]
        return Members(networks, self.combine)
