"""Fine-tuning in two steps: the last layer alone, then the whole network."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from thumbnets.data.arrays import Meta
from thumbnets.methods.base import Method
from thumbnets.options import Count
from thumbnets.registry import METHODS
from thumbnets.training.batches import RandomStreams
from thumbnets.training.pretrained import last_layer
from thumbnets.training.replicas import ReplicaPool
from thumbnets.training.schedules import Schedule
from thumbnets.training.settings import ModelSettings, TrainSettings


@METHODS.register()
def finetune(settings: ModelSettings, meta: Meta, *, frozen: Count = 2) -> Method:
    """Train the last layer alone at first, then all layers with a fresh optimizer.

    So the first steps of a new last layer do not spoil the weights that the network begins with.
    For blocks with `weights`.

    Args:
        frozen: Epochs in which the other layers stay as they are, in evaluation mode.

    Raises:
        ValueError: There are no weights to begin with, or no epoch is left for all layers.

    Source: Kumar et al. 2022, arXiv:2202.10054 (linear probing, then fine-tuning).
    """
    if not settings.train.weights:
        raise ValueError(f"models.{settings.name}: method finetune needs `weights` to begin with.")
    if frozen >= settings.train.epochs:
        raise ValueError(
            f"models.{settings.name}.method.frozen must be less than epochs, "
            f"{settings.train.epochs}, got {frozen}."
        )
    return FineTuning(settings, meta, frozen)


class FineTuning(Method):
    """See `finetune`."""

    def __init__(self, settings: ModelSettings, meta: Meta, frozen: int) -> None:
        super().__init__(settings, meta)
        self.frozen, self.epochs = frozen, 0

    def replicas(self, module: nn.Module, streams: RandomStreams) -> ReplicaPool:
        self.pool = super().replicas(module, streams)
        self.after_epoch(0)  # also in a retry, whatever the previous attempt had reached
        return self.pool

    def schedule(
        self, optimizer: Optimizer, settings: TrainSettings, steps_per_epoch: int
    ) -> Schedule:
        self.optimizer = optimizer
        return super().schedule(optimizer, settings, steps_per_epoch)

    def gradients(
        self, module: nn.Module, images: Tensor, targets: Tensor, share: float
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        if self.epochs >= self.frozen:
            return super().gradients(module, images, targets, share)
        module.eval()  # the loop has set it to train mode
        loss, correct = self.loss(module, images, targets)
        loss = loss * share
        head = list(last_layer(module).parameters())
        return list(torch.autograd.grad(loss, head)), loss.detach(), correct

    def after_epoch(self, epochs: int) -> None:
        """Choose the layers that learn in the next epoch: the optimizer gets only their gradients.

        It leaves parameters without gradients alone: they neither decay nor have momentum.
        """
        self.epochs = epochs
        network, *_ = self.pool.networks
        learns = last_layer(network) if epochs < self.frozen else network
        self.pool.parameters = list(learns.parameters())
        for replica in self.pool.networks:
            replica.train(epochs >= self.frozen)
        if epochs == self.frozen:  # all layers begin alike, without momentum
            self.optimizer.state.clear()

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.after_epoch(state["epochs"])
