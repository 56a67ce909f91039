"""The training loop: uint8 images in memory, one gather and one augmentation a batch."""

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor, nn

from thumbnets.data import augment, mix
from thumbnets.data.arrays import Meta
from thumbnets.models.layers import Dropout
from thumbnets.models.patches import build
from thumbnets.training.initialisation import initialise
from thumbnets.training.optimizers import build_optimizer
from thumbnets.training.schedules import Schedule
from thumbnets.training.settings import Choice, EarlyStopping, ModelSettings
from thumbnets.training.weights import Classifier, normalise


@dataclass(frozen=True)
class Images:
    """Labelled images on the device that computes: uint8 [N, C, H, W] and int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Epoch:
    """A row of the learning curve; accuracies are fractions, losses nats.

    The training figures are those of the augmented batches as they were trained on, in train mode.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


class Watcher(Protocol):
    """Told of every batch and epoch."""

    def start(self, epochs: int, steps: int) -> None: ...

    def batch(self) -> None: ...

    def epoch(self, row: Epoch) -> None: ...


@dataclass
class Streams:
    """One independent stream of random numbers for each use, all from one seed."""

    init: Generator
    order: Generator
    augment: Generator
    dropout: np.random.SFC64

    @classmethod
    def of(cls, seed: int, device: torch.device) -> "Streams":
        """The streams of a run. Also seeds torch's global generator, which layers draw from."""
        states = np.random.SeedSequence(seed).generate_state(5, np.uint64)
        numbers = [int(state >> 1) for state in states]  # torch takes signed 64 bits
        torch.manual_seed(numbers[0])
        return cls(
            init=Generator().manual_seed(numbers[1]),
            order=Generator(device).manual_seed(numbers[2]),
            augment=Generator(device).manual_seed(numbers[3]),
            dropout=np.random.SFC64(numbers[4]),
        )


@dataclass
class Best:
    """The weights of the epoch with the least validation loss, and when to stop waiting."""

    patience: int
    loss: float = math.inf
    waited: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: EarlyStopping | None) -> "Best | None":
        return cls(settings.patience) if settings else None

    def should_stop(self, loss: float, network: nn.Module) -> bool:
        """Note an epoch; True once `patience` epochs in a row have brought no improvement."""
        if loss < self.loss:
            self.loss, self.waited = loss, 0
            self.weights = copy.deepcopy(network.state_dict())
        else:
            self.waited += 1
        return self.waited >= self.patience


def fit(
    settings: ModelSettings,
    train: Images,
    validation: Images,
    meta: Meta,
    *,
    seed: int,
    watcher: Watcher,
) -> tuple[Classifier, list[Epoch]]:
    """Train a network from scratch.

    Args:
        settings: The model block.
        train: Images to learn from.
        validation: Images that the plateau schedule and early stopping look at.
        meta: Shape and normalisation of the images.
        seed: Seeds every generator.
        watcher: Shows progress.

    Returns:
        The classifier (of the best epoch if stopping early, else of the last), and its curve.

    Raises:
        ValueError: The loss is no longer finite, or the network does not fit the images.
    """
    device = train.images.device
    streams = Streams.of(seed, device)
    network = build(settings, **meta.shape)
    initialise(network, settings.train.init, streams.init)
    network.to(device)
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.bits = streams.dropout
    classifier = Classifier(network, meta)
    optimizer = build_optimizer(network, settings.train)
    choices, mixing = settings.train.augment, settings.train.mix
    batches = Batches(train, settings.train.batch_size, choices, meta, streams, mixing)
    schedule = Schedule(optimizer, settings.train, len(batches))
    best = Best.of(settings.train.early_stopping)
    watcher.start(settings.train.epochs, len(batches))
    curve: list[Epoch] = []
    for number in range(1, settings.train.epochs + 1):
        lr = optimizer.param_groups[0]["lr"]
        loss, accuracy = train_epoch(
            network,
            batches.epoch(number),
            optimizer,
            schedule,
            watcher,
            settings.train.label_smoothing,
        )
        row = Epoch(number, lr, loss, accuracy, *evaluate(classifier, validation))
        if not math.isfinite(row.train_loss + row.validation_loss):
            raise ValueError(
                f"{settings.name}, seed {seed}: the loss is no longer finite in epoch {number} "
                f"(learning rate {lr:g}). Try a smaller models.{settings.name}.lr."
            )
        curve.append(row)
        watcher.epoch(row)
        schedule.after_epoch(row.validation_loss)
        if best and best.should_stop(row.validation_loss, network):
            break
    if best:
        network.load_state_dict(best.weights)
    return classifier, curve


class Batches:
    """The training images in a new random order each epoch, augmented, normalised and mixed.

    Whole batches are gathered by index from uint8 arrays in memory; no Python call is made for a
    single image.
    """

    def __init__(
        self,
        data: Images,
        size: int,
        choices: list,
        meta: Meta,
        streams: Streams,
        mixing: Choice | None = None,
    ) -> None:
        device = data.images.device
        self.data, self.size, self.streams = data, size, streams
        self.augment = augment.pipeline(choices)
        self.mix = mix.mixer(mixing, len(meta.classes))
        self.mean = torch.tensor(meta.mean, device=device)
        self.std = torch.tensor(meta.std, device=device)

    def __len__(self) -> int:
        full, rest = divmod(len(self.data), self.size)
        return full + (rest > 1)  # batch norm can't train on a single image

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch: images, and labels int64 [N] or, mixed, targets [N, K]."""
        generator = self.streams.augment
        order = torch.randperm(
            len(self.data), generator=self.streams.order, device=self.data.labels.device
        )
        for index in order.split(self.size)[: len(self)]:
            images = self.augment(
                self.data.images[index], generator=generator, epoch=number, index=index
            )
            images = normalise(images, self.mean, self.std)
            yield self.mix(images, self.data.labels[index], generator)


def train_epoch(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    watcher: Watcher,
    label_smoothing: float,
) -> tuple[float, float]:
    """One pass over the batches; returns mean loss and accuracy of the batches as trained on.

    A mixed image counts as right if it is taken for the label with the greater share.
    """
    network.train()
    total_loss = total_right = 0.0  # become tensors: nothing is read back before the epoch's end
    seen = 0
    for images, targets in batches:
        logits = network(images)
        loss = nn.functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.after_step()
        watcher.batch()
        labels = targets.argmax(1) if targets.ndim == 2 else targets
        seen += len(labels)
        total_loss += loss.detach() * len(labels)
        total_right += (logits.detach().argmax(1) == labels).sum()
    return float(total_loss) / seen, float(total_right) / seen


def evaluate(classifier: Classifier, data: Images) -> tuple[float, float]:
    """Mean cross-entropy and accuracy on images without augmentation."""
    logits = torch.from_numpy(classifier.logits(data.images))
    labels = data.labels.cpu()
    loss = nn.functional.cross_entropy(logits, labels)
    return float(loss), float((logits.argmax(1) == labels).float().mean())
