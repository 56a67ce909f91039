"""Averages of the weights along a training, by name, that are used in place of the last weights."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thumbnets.options import Count, Probability
from thumbnets.registry import AVERAGES
from thumbnets.training.settings import TrainSettings


class Average:
    """A running average of a network's weights; the training does not depend on it.

    torch's AveragedModel gives the same numbers, but walks over the parameters in Python.

    Args:
        network: Network with its first weights, on the device that computes; trained in place.
        share: Function from the number of weights averaged before to the share of the newest ones.
        start: Steps before the first one that is averaged.
        every: Steps from one that is averaged to the next.
        average_statistics: Whether the statistics of batch norms are averaged as weights are. If
            not, call `refresh_statistics` before the average is used.
    """

    def __init__(
        self,
        network: nn.Module,
        share: Callable[[int], float],
        *,
        start: int,
        every: int,
        average_statistics: bool,
    ) -> None:
        self._live, self._share = network, share
        self._start, self._every = start, every
        self._average_statistics = average_statistics
        self._steps = self._count = 0
        self._average = copy.deepcopy(network).requires_grad_(False).eval()
        self._floats = [_tensors(n, floating=True) for n in (self._average, network)]
        self._counters = [_tensors(n, floating=False) for n in (self._average, network)]

    @property
    def network(self) -> nn.Module:
        """The averaged network, in eval mode; before the first average, the network in training."""
        return self._average if self._count else self._live

    @torch.no_grad()
    def update(self) -> None:
        """Call after every optimizer step."""
        self._steps += 1
        late = self._steps - self._start
        if late <= 0 or late % self._every:
            return
        torch._foreach_lerp_(*self._floats, self._share(self._count))
        if self._counters[0]:  # torch refuses empty lists
            torch._foreach_copy_(*self._counters)
        self._count += 1

    @torch.no_grad()
    def refresh_statistics(self, batches: Iterable[Tensor]) -> None:
        """Compute the statistics of batch norms anew for the averaged weights, if not averaged.

        As torch's update_bn, but without dropout: so it draws no random numbers, and the statistics
        are those of the network as it is used. Each image counts alike, in a short last batch too;
        one image alone has no variance, and is left out as in training.

        Args:
            batches: Normalised training images without augmentation, float32 [N, C, H, W] or in
                bags, in a fixed order; left unread if nothing needs them.
        """
        norms = [m for m in self._average.modules() if isinstance(m, _BatchNorm)]
        if self._average_statistics or not self._count or not norms:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        seen = 0
        for images in batches:
            count = len(getattr(images, "images", images))
            if seen and count == 1:
                continue
            seen += count
            for norm in norms:
                norm.momentum = count / seen
            self._average(images)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval().momentum = momentum

    def state_dict(self) -> dict[str, Any]:
        """All that changes, for `load_state_dict` of an average built with the same settings."""
        return {
            "steps": self._steps,
            "count": self._count,
            "network": self._average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was called."""
        self._steps, self._count = state["steps"], state["count"]
        self._average.load_state_dict(state["network"])


def _tensors(network: nn.Module, *, floating: bool) -> list[Tensor]:
    tensors = [*network.parameters(), *network.buffers()]
    return [tensor for tensor in tensors if tensor.is_floating_point() == floating]


def build_average(
    network: nn.Module, settings: TrainSettings, steps_per_epoch: int
) -> Average | None:
    """The average that `settings` names, or None; `network` as for `Average`."""
    choice = settings.average
    if choice is None:
        return None
    steps = settings.epochs * steps_per_epoch
    return AVERAGES.load(choice.name)(network, steps=steps, **choice.options)


@AVERAGES.register()
def ema(network: nn.Module, *, steps: int, decay: Probability = 0.999, every: Count = 1) -> Average:
    """Exponential moving average of weights and of the statistics of batch norms.

    The decay of average n (0, 1, …) is the lesser of `decay` and (1 + n) / (10 + n), so that the
    first weights don't linger in a short run.

    Source: Polyak and Juditsky 1992; the rise of the decay is that of TensorFlow's
    ExponentialMovingAverage.
    """

    def share(count: int) -> float:
        return 1 - min(decay, (1 + count) / (10 + count))

    return Average(network, share, start=0, every=every, average_statistics=True)


@AVERAGES.register()
def swa(network: nn.Module, *, steps: int, start: Probability = 0.75, every: Count = 1) -> Average:
    """Plain mean of the weights from the share `start` of the run on; batch norms are refreshed.

    With early stopping at or before `start` nothing is averaged: the weights are those of the
    training itself.

    Source: Izmailov et al. 2018, arXiv:1803.05407; there one step per epoch is averaged.
    """

    def share(count: int) -> float:
        return 1 / (count + 1)

    first = round(start * steps)
    return Average(network, share, start=first, every=every, average_statistics=False)
