"""The training loop: one gather, one augmentation and one step per batch, no synchronisation."""

import copy
import math
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from thumbnets.training.averaging import build_average
from thumbnets.training.batches import Images, RandomStreams
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.classifier import Classifier
from thumbnets.training.initialisation import initialise
from thumbnets.training.method import LearningMethod, Validation
from thumbnets.training.optimizers import build_optimizer
from thumbnets.training.pretrained import first_weights
from thumbnets.training.settings import EarlyStopping

_GREATEST_HALVINGS = 3  # of the learning rate under `on_divergence: retry`


@dataclass(frozen=True)
class Epoch:
    """A row of the learning curve; accuracies are fractions, losses nats.

    The training figures are those of the augmented batches as they were trained on, in train mode.
    The validation figures are of the weights that would be used if the training ended here (the
    average, if there is one), and None if no images validate; the macro F1 is known where early
    stopping looks at it.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    validation_macro_f1: float | None = None

    @property
    def to_improve(self) -> float:
        """What early stopping looks at, the lower the better."""
        f1 = self.validation_macro_f1
        return self.validation_loss if f1 is None else -f1

    def as_row(self) -> dict[str, float | None]:
        """The epoch as a row of a table, without a column for a macro F1 that is not computed."""
        row = asdict(self)
        if self.validation_macro_f1 is None:
            del row["validation_macro_f1"]
        return row


class Watcher(Protocol):
    """Observer of every batch and epoch; `done` is the number of batches before a resumption."""

    def start(self, epochs: int, steps: int, done: int) -> None: ...

    def batch(self) -> None: ...

    def epoch(self, row: Epoch) -> None: ...


class Diverged(ValueError):
    """The loss is no longer finite."""


@dataclass
class Best:
    """The weights of the epoch that validated best, and when to stop waiting."""

    patience: int
    least: float = math.inf
    waited: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: EarlyStopping | None) -> "Best | None":
        return cls(settings.patience) if settings else None

    def should_stop(self, score: float, network: nn.Module) -> bool:
        """Note an epoch; True once `patience` epochs in a row have brought no lower score."""
        if score < self.least:
            self.least, self.waited = score, 0
            self.weights = copy.deepcopy(network.state_dict())
        else:
            self.waited += 1
        return self.waited >= self.patience


def fit(
    method: LearningMethod,
    train: Images,
    validation: Images | None,
    *,
    seed: int,
    watcher: Watcher,
    checkpoint: Checkpoint | None = None,
    halvings: int = 0,
) -> tuple[Classifier, list[Epoch]]:
    """Train a network from scratch, or resume from the last checkpoint.

    Args:
        method: The way in which the network of a block learns.
        train: Images to learn from.
        validation: Images that the plateau schedule and early stopping look at, and that the curve
            shows; None for none of these.
        seed: Seed of every generator.
        watcher: Observer that shows progress.
        checkpoint: File that the state is saved to every so often, and at the end.
        halvings: Number of times that the learning rate is halved to begin with.

    Returns:
        The classifier (of the best epoch if stopping early, else of the last), and its curve.

    Raises:
        ValueError: The loss is no longer finite, or the network does not fit the images.
    """
    saved = checkpoint.load() if checkpoint else None
    halvings = saved["halvings"] if saved else halvings
    while True:
        training = Training(method, train, validation, seed=seed, halvings=halvings)
        if saved:
            training.load_state_dict(saved)
        try:
            with closing(training.replicas):
                training.run(watcher, checkpoint)
        except Diverged as error:
            if checkpoint:
                checkpoint.remove()
            if method.settings.train.on_divergence == "stop":
                raise
            if halvings == _GREATEST_HALVINGS:
                raise Diverged(f"{error} Halving the rate {halvings} times did not help.") from None
            halvings, saved = halvings + 1, None
        else:
            return training.classifier(), training.curve


class Training:
    """One training with all that changes on its way, so that it can be saved and resumed.

    Args:
        method: The way in which the network of a block learns.
        train: Images to learn from.
        validation: Images that are not trained on, or None.
        seed: Seed of every generator.
        halvings: Number of times that the learning rate of the settings is halved.
    """

    def __init__(
        self,
        method: LearningMethod,
        train: Images,
        validation: Images | None,
        *,
        seed: int,
        halvings: int = 0,
    ) -> None:
        settings = method.settings.train
        self.name = f"{method.settings.name}, seed {seed}"
        self.settings = settings.model_copy(update={"lr": settings.lr / 2**halvings})
        self.method, self.validation, self.halvings = method, validation, halvings
        self.device = train.labels.device
        threads = self.settings.threads if self.device.type == "cpu" else 1
        self.streams = RandomStreams.of(seed, self.device, threads)
        self.network = method.network()
        initialise(self.network, self.settings.init, self.streams.init)
        if told := first_weights(method.settings, self.network):
            print(f"{self.name}: {told}", file=sys.stderr)
        module = method.training_module(self.network.to(self.device), seed)
        self.module = module.to(self.device)
        self.replicas = method.replicas(self.module, self.streams)
        self.optimizer = build_optimizer(self.module, self.settings)
        self.batches = method.batches(train, self.streams)
        self.schedule = method.schedule(self.optimizer, self.settings, len(self.batches))
        self.average = build_average(self.network, self.settings, len(self.batches))
        self.best = Best.of(self.settings.early_stopping)
        self.curve: list[Epoch] = []
        self.finished = False
        self._begin_epoch()

    def run(self, watcher: Watcher, checkpoint: Checkpoint | None = None) -> None:
        """Train to the end.

        Raises:
            Diverged: The loss is no longer finite.
        """
        done = len(self.curve) * len(self.batches) + len(self.rates)
        watcher.start(self.settings.epochs, len(self.batches), done)
        while not self.finished:
            self.module.train()
            number = len(self.curve) + 1
            for images, targets in self.batches.run(self.order, number, first=len(self.rates)):
                self._step(images, targets)
                watcher.batch()
                if checkpoint:
                    checkpoint.offer(self.state_dict)
            watcher.epoch(self._end_epoch())
        if checkpoint:
            checkpoint.save(self.state_dict())

    def classifier(self) -> Classifier:
        """The trained network."""
        network = self._current_network()
        if self.best:
            network.load_state_dict(self.best.weights)
        return Classifier(network, self.method.example_meta, self.halvings)

    def _begin_epoch(self) -> None:
        """Draw the order of the images, and reset what is recorded of the epoch's steps."""
        self.order = self.batches.shuffled()
        self.losses = torch.zeros(len(self.batches), device=self.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=self.device)
        self.rates: list[float] = []

    def _step(self, images: Tensor, targets: Tensor) -> None:
        """Loss and gradients of a batch, and a step of the optimizer; nothing is read back."""
        loss, correct = self.replicas.backward(self.method.gradients, images, targets)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip)
        self.optimizer.step()
        if self.average:
            self.average.update()
        self.losses[len(self.rates)] = loss * len(images)
        self.correct += correct
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.schedule.after_step()

    def _end_epoch(self) -> Epoch:
        """Validate, add the epoch to the curve, and begin the next unless this was the last."""
        seen = self.batches.seen
        train = float(self.losses.sum()) / seen, float(self.correct) / seen
        network, validated = self._current_network(), Validation(None, None)
        if self.validation:
            validated = self.method.validate(network, self.validation)
        stopping = self.settings.early_stopping
        known = 3 if stopping and stopping.metric == "macro_f1" else 2
        row = Epoch(len(self.curve) + 1, self.rates[0], *train, *validated[:known])
        self._check_finite(row)
        self.curve.append(row)
        self.method.after_epoch(len(self.curve))
        self.schedule.after_epoch(row.validation_loss)
        stop = bool(self.best and self.best.should_stop(row.to_improve, network))
        self.finished = stop or len(self.curve) == self.settings.epochs
        if not self.finished:
            self._begin_epoch()
        return row

    def _current_network(self) -> nn.Module:
        """The network as it would be used if the training ended here."""
        if not self.average:
            return self.network
        self.average.refresh_statistics(self.batches.plain())
        return self.average.network

    def _check_finite(self, row: Epoch) -> None:
        lost = (~self.losses.isfinite()).nonzero().flatten().tolist()
        if lost or not math.isfinite(row.validation_loss or 0.0):
            step = lost[0] if lost else len(self.rates) - 1
            retries = self.settings.on_divergence == "retry"
            raise Diverged(
                f"{self.name}: the loss is no longer finite at step {step + 1} of epoch "
                f"{row.epoch} (learning rate {self.rates[step]:g}). Try a smaller lr, clip: 1 or "
                f"a warmup{'' if retries else ', or on_divergence: retry'}."
            )

    def state_dict(self) -> dict[str, Any]:
        """All that changes, for `load_state_dict` of a training with the same arguments."""
        return {
            "halvings": self.halvings,
            "streams": self.streams.state_dict(),
            "module": self.module.state_dict(),
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average and self.average.state_dict(),
            "best": self.best and vars(self.best),
            "curve": [asdict(row) for row in self.curve],
            "finished": self.finished,
            "order": self.order,
            "losses": self.losses,
            "correct": self.correct,
            "rates": self.rates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was called."""
        self.module.load_state_dict(state["module"])
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average:
            self.average.load_state_dict(state["average"])
        if self.best:
            self.best = Best(**state["best"])
        self.curve = [Epoch(**row) for row in state["curve"]]
        self.finished = state["finished"]
        self.order = state["order"].to(self.device)
        self.losses = state["losses"].to(self.device)
        self.correct = state["correct"].to(self.device)
        self.rates = state["rates"]
        self.streams.load_state_dict(state["streams"])  # last: what is built above may draw
