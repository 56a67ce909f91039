"""Probes: how well the features of a pre-trained encoder tell classes apart."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from thumbnets.data.arrays import Meta
from thumbnets.methods.base import Method, validation
from thumbnets.methods.encoder import build_encoder, load_encoder
from thumbnets.options import Count
from thumbnets.registry import METHODS
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.classifier import Classifier
from thumbnets.training.method import Validation
from thumbnets.training.replicas import Gradients, ReplicaPool
from thumbnets.training.settings import ModelSettings, TrainSettings


@METHODS.register(excludes=("weights",))
def probe(
    settings: ModelSettings,
    meta: Meta,
    *,
    encoder: str,
    kind: Literal["linear", "knn", "finetune"] = "linear",
    labels: Count | None = None,
    neighbours: Count = 200,
    temperature: Annotated[float, Field(ge=0.02)] = 0.5,
) -> Method:
    """Learn classes from what another block has learned without labels.

    Args:
        encoder: The block that stage `pretrain` trains, for each seed.
        kind: linear: a linear layer on the features of the encoder, which stays as it is, its batch
            norms in evaluation mode. finetune: the whole network is trained. knn: nothing is
            trained; the nearest training images vote, and the training accuracy leaves out in turn
            each of a batch of them.
        labels: Number of training images to learn from, equally many of each class, drawn by the
            seed; None: all.
        neighbours: Number of neighbours that vote (knn).
        temperature: Temperature of their weights, exp(cosine similarity / temperature).

    Raises:
        ValueError: A setting makes no sense for the kind.

    Source: Chen et al. 2020, arXiv:2002.05709, section 4.2 (linear, finetune); Wu et al. 2018,
    arXiv:1805.01978, section 3.4 (knn).
    """
    train, where = settings.train, f"models.{settings.name}"
    if kind == "finetune":
        return Probe(settings, meta, encoder, labels)
    if train.average and train.average.name == "swa":
        raise ValueError(f"{where}: swa would change a frozen encoder's batch norms: take ema.")
    if kind == "linear":
        return LinearProbe(settings, meta, encoder, labels)
    if train.epochs > 1 or train.threads > 1 or train.augment or train.mix:
        raise ValueError(
            f"{where}: knn trains nothing: write epochs: 1, threads: 1, augment: [], mix: null."
        )
    return NearestNeighbours(settings, meta, encoder, labels, neighbours, temperature)


class Probe(Method):
    """Fine-tuning: a network that begins with a pre-trained encoder. See `probe`."""

    def __init__(
        self, settings: ModelSettings, meta: Meta, encoder: str, labels: int | None
    ) -> None:
        super().__init__(settings, meta)
        self.encoder, self.labels = encoder, labels

    def network(self) -> nn.Module:
        encoder, last = build_encoder(self.settings, self.meta)
        return nn.Sequential(OrderedDict(encoder=encoder, head=last))

    def training_module(self, network: nn.Module, seed: int) -> nn.Module:
        load_encoder(network.encoder, self.encoder, seed, self.meta)
        self.whole = network
        return super().training_module(network, seed)

    def batches(self, train: Images, streams: RandomStreams) -> Batches:
        return super().batches(self.labelled(train, streams.seed), streams)

    def labelled(self, train: Images, seed: int) -> Images:
        """The images whose labels are used."""
        index = torch.from_numpy(self.chosen(train.labels.cpu().numpy(), seed))
        if self.labels is None:
            return train
        on_device = index.to(train.labels.device)
        rows = index if train.rows is None else train.rows[index]
        images = train.images if train.mapped is not None else train.images[on_device]
        return replace(train, images=images, labels=train.labels[on_device], rows=rows)

    def chosen(self, labels: np.ndarray, seed: int) -> np.ndarray:
        """Which labels are used.

        Args:
            labels: Labels of the training images, int64 [N].
            seed: Seed of the run.

        Returns:
            int64 [number], places in `labels`, ascending.

        Raises:
            ValueError: There are too few labels, or too few are wanted.
        """
        if self.labels is None:
            return np.arange(len(labels))
        try:
            return draw(labels, self.labels, len(self.meta.classes), seed)
        except ValueError as error:
            raise ValueError(f"models.{self.settings.name}: {error}") from None


def draw(labels: np.ndarray, number: int, classes: int, seed: int) -> np.ndarray:
    """Draw images, equally many of each class; the remainder goes to classes drawn at random.

    Args:
        labels: Labels of the images, int64 [N].
        number: Number of images to draw.
        classes: Number of classes.
        seed: Seed of the draw.

    Returns:
        int64 [number], places in `labels`, ascending.

    Raises:
        ValueError: There are fewer labels than classes, or than are wanted of a class.
    """
    if number < classes:
        raise ValueError(f"labels must be at least one per class, {classes}, got {number}.")
    rng = np.random.default_rng(seed)
    share = np.full(classes, number // classes)
    share[rng.permutation(classes)[: number % classes]] += 1
    found = []
    for label, wanted in enumerate(share):
        places = np.flatnonzero(labels == label)
        if len(places) < wanted:
            raise ValueError(
                f"labels: {number} asks for {wanted} training images of class {label}, which has "
                f"{len(places)}: take fewer, or null for all."
            )
        found.append(rng.permutation(places)[:wanted])
    return np.sort(np.concatenate(found))


class LinearProbe(Probe):
    """A linear layer on frozen features, which alone is trained. See `probe`."""

    validation: np.ndarray | None = None  # features of the images that validate

    def network(self) -> nn.Module:
        network = super().network()
        network.encoder.requires_grad_(False)
        return network

    def training_module(self, network: nn.Module, seed: int) -> nn.Module:
        super().training_module(network, seed)
        return network.head

    def batches(self, train: Images, streams: RandomStreams) -> Batches:
        images = super().batches(train, streams).data
        return Features(images, self.train, self.meta, streams, self.whole.encoder)

    @torch.no_grad()
    def validate(self, network: nn.Module, data: Images) -> Validation:
        """As `Method.validate`; the features of the images are computed only once."""
        if self.validation is None:
            self.validation = Classifier(network.encoder, self.meta).logits(data)
        features = torch.from_numpy(self.validation).to(data.labels.device)
        return validation(network.head(features), data.labels)


class Features(Batches):
    """Batches of a frozen encoder's features; without augmentation computed only once.

    Args:
        data: The images.
        settings: Batch size, augmentation and mix.
        meta: Normalisation and classes.
        streams: Order of the images and draws of the augmentation.
        encoder: Module from images to features [N, D].
    """

    def __init__(
        self,
        data: Images,
        settings: TrainSettings,
        meta: Meta,
        streams: RandomStreams,
        encoder: nn.Module,
    ) -> None:
        super().__init__(data, settings, meta, streams)
        self.encoder = encoder
        self.known = None if settings.augment or settings.mix else encoded(encoder, self.plain())

    def run(self, order: Tensor, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        if self.known is None:
            for images, targets in super().run(order, epoch, first):
                yield encoded(self.encoder, [images]), targets
        else:
            for index in order.split(self.size)[first : len(self)]:
                yield self.known.index_select(0, index), self.data.labels.index_select(0, index)


@torch.no_grad()
def encoded(encoder: nn.Module, images: Iterable[Tensor]) -> Tensor:
    """Features float32 [N, D] of normalised images that come in parts.

    The encoder stays in evaluation mode: its batch norms' statistics are used, and not updated.
    """
    encoder.eval()
    return torch.cat([encoder(part) for part in images])


class NearestNeighbours(Probe):
    """The vote of the nearest training images: nothing to train. See `probe`."""

    def __init__(
        self,
        settings: ModelSettings,
        meta: Meta,
        encoder: str,
        labels: int | None,
        neighbours: int,
        temperature: float,
    ) -> None:
        super().__init__(settings, meta, encoder, labels)
        self.neighbours, self.temperature = neighbours, temperature

    def network(self) -> nn.Module:
        encoder, head = build_encoder(self.settings, self.meta)
        return Voters(encoder, head, self.neighbours, self.temperature).requires_grad_(False)

    def batches(self, train: Images, streams: RandomStreams) -> Batches:
        images = super().batches(train, streams).data
        batches = OneSample(images, self.train, self.meta, streams)
        self.whole.set_voters(encoded(self.whole.encoder, batches.plain()), images.labels)
        return batches

    def chosen(self, labels: np.ndarray, seed: int) -> np.ndarray:
        found = super().chosen(labels, seed)
        if self.neighbours > len(found):
            raise ValueError(
                f"models.{self.settings.name}: neighbours must be at most the {len(found):,} "
                f"labelled images, got {self.neighbours}."
            )
        return found

    def replicas(self, module: nn.Module, streams: RandomStreams) -> ReplicaPool:
        return Untrained(module, streams.dropout)

    @torch.no_grad()
    def loss(self, module: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and correct votes, each image left out in turn. `images` are indices."""
        logits = module.vote(module.bank[images], without=images)
        return self.cross_entropy(logits, targets), (logits.argmax(1) == targets).sum()

    def gradients(
        self, module: nn.Module, images: Tensor, targets: Tensor, share: float
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """No gradients: see `Untrained`."""
        return [], *self.loss(module, images, targets)


class Untrained(ReplicaPool):
    """Leaves parameters without gradients, so that no optimizer moves or decays them."""

    def backward(
        self, gradients: Gradients, images: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        _, loss, correct = gradients(self.networks[0], images, targets, 1.0)
        return loss, correct


class OneSample(Batches):
    """A single batch per epoch, of places of images instead of images."""

    def __len__(self) -> int:
        return 1

    def run(self, order: Tensor, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for index in order.split(self.size)[first : len(self)]:
            yield index, self.data.labels.index_select(0, index)


class Voters(nn.Module):
    """Nearest-neighbour classifier: features are compared by cosine similarity.

    Logits are logarithms of the sums of weights by class, so that their softmax is each class's
    share of the votes. Each class has one more vote, of weight 1, as from a neighbour at right
    angles: a class without votes then has a finite loss.

    Args:
        encoder: Module from images to features [N, D].
        head: Layer from features to classes that the votes replace.
        neighbours: Number of neighbours that vote.
        temperature: Temperature of their weights, exp(cosine similarity / temperature).
    """

    def __init__(
        self, encoder: nn.Module, head: nn.Linear, neighbours: int, temperature: float
    ) -> None:
        super().__init__()
        self.encoder, self.classes = encoder, head.out_features
        self.neighbours, self.temperature = neighbours, temperature
        # No images yet; float32 [M, D], of length 1, and int64 [M].
        self.register_buffer("bank", torch.zeros(neighbours, head.in_features))
        self.register_buffer("labels", torch.zeros(neighbours, dtype=torch.int64))

    def set_voters(self, features: Tensor, labels: Tensor) -> None:
        """Set the images that vote: features float32 [M, D] and labels int64 [M]."""
        self.bank, self.labels = nn.functional.normalize(features, dim=1), labels

    def forward(self, images: Tensor) -> Tensor:
        return self.vote(nn.functional.normalize(self.encoder(images), dim=1))

    def vote(self, directions: Tensor, without: Tensor | None = None) -> Tensor:
        """Logits [N, K] of directions [N, D]; `without`, int64 [N]: the image left out for each."""
        similar = directions @ self.bank.mT
        if without is not None:
            similar.scatter_(1, without[:, None], -torch.inf)
        least = similar.topk(self.neighbours).values[:, -1:]
        # By threshold, not by index: whatever is as near as the last neighbour votes as well.
        weights = torch.exp(similar / self.temperature) * (similar >= least)
        return torch.log1p(weights @ nn.functional.one_hot(self.labels, self.classes).float())

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: object) -> None:
        for name in ("bank", "labels"):  # of the length that the state has
            device = getattr(self, name).device  # a checkpoint is read into CPU memory first
            setattr(self, name, torch.empty_like(state_dict[prefix + name], device=device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
