"""What the training loop needs of a method: that decides how a network learns, the loop when."""

from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from thumbnets.data.arrays import Meta
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.replicas import ReplicaPool
from thumbnets.training.schedules import Schedule
from thumbnets.training.settings import ModelSettings, TrainSettings


class Validation(NamedTuple):
    """Scores on images that are not trained on; the macro F1 is None without classes."""

    loss: float
    accuracy: float
    macro_f1: float | None = None


class LearningMethod(Protocol):
    """A way of learning, as `methods.base.Method` describes it; called in this order.

    Attributes:
        settings: The model block.
    """

    settings: ModelSettings

    @property
    def example_meta(self) -> Meta:
        """Shape, classes and normalisation of what the network sees."""

    def network(self) -> nn.Module:
        """What predicts and is saved."""

    def training_module(self, network: nn.Module, seed: int) -> nn.Module:
        """All that is trained."""

    def replicas(self, module: nn.Module, streams: RandomStreams) -> ReplicaPool:
        """How the threads of a training divide a batch."""

    def batches(self, train: Images, streams: RandomStreams) -> Batches:
        """What is learned from, batch after batch."""

    def schedule(
        self, optimizer: Optimizer, settings: TrainSettings, steps_per_epoch: int
    ) -> Schedule:
        """The course of the learning rate."""

    def gradients(
        self, module: nn.Module, images: Tensor, targets: Tensor, share: float
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Gradients and loss of a share of a batch, and how many of its images are correct."""

    def validate(self, network: nn.Module, data: Images) -> Validation:
        """Scores on images that are not trained on."""

    def after_epoch(self, epochs: int) -> None:
        """Called after each epoch, with the number of epochs so far."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes besides the module in training."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was called."""
