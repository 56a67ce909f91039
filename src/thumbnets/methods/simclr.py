"""SimCLR: learning, without labels, features that two views of an image have in common."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from thumbnets.data.arrays import Meta, Split
from thumbnets.methods.base import Method, autocast
from thumbnets.methods.encoder import build_encoder
from thumbnets.options import Count, Positive
from thumbnets.registry import METHODS
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.classifier import normalise
from thumbnets.training.imagenet import IMAGENET
from thumbnets.training.method import Validation
from thumbnets.training.settings import ModelSettings

_VALIDATED_AT_ONCE = 500  # validation images, each compared with the views of the others


@METHODS.register(
    pretrains=True,
    whole_batch=True,
    excludes=("class_weights", "label_smoothing", "mix", "refit", "sampling"),
)
def simclr(
    settings: ModelSettings,
    meta: Meta,
    *,
    temperature: Positive = 0.5,
    projection: Count = 128,
    hidden: Count | None = None,
) -> Method:
    """Tell the other view of an image from the views of all other images of the batch.

    The network is saved without its last linear layer; the projection head is discarded. The views
    are made by `augment`, each by draws of its own. Accuracies of the learning curve are shares of
    views whose nearest other view is of the same image. Labels are not used.

    Args:
        temperature: Divisor of the similarities; the lower, the more the nearest ones count.
        projection: Number of values by which views are compared: the outputs of a head with one
            hidden layer.
        hidden: Number of units of that layer; None: as many as features, as in the paper.

    Raises:
        ValueError: It begins with published weights, or something looks at validation images of an
            averaged encoder.

    Source: Chen et al. 2020, arXiv:2002.05709, with a head of two layers with biases, as there.
    """
    train, where = settings.train, f"models.{settings.name}: method simclr"
    if train.weights == IMAGENET:
        raise ValueError(
            f"{where} can't have weights: {IMAGENET}: probes would not have their normalisation."
        )
    if train.average and train.watches:
        raise ValueError(
            f"{where}: {train.average.name} averages the encoder and not the projection head, so "
            "that validation can't decide: leave out early_stopping and schedule: plateau."
        )
    return SimCLR(settings, meta, temperature, projection, hidden)


def pretraining_images(
    split: Split, settings: ModelSettings, seed: int, device: torch.device
) -> tuple[Images, Images]:
    """Images that an encoder learns from, and those that validate it.

    It learns from the unlabelled images of a data set that has them, else from all training
    images but those that validate the run of that seed.

    Raises:
        ValueError: That fold has one image, which has no other to be compared with.
    """
    validates = settings.validates(split.fold, seed)
    validation = Images.of(split, device, validates)
    if len(validation) < 2:
        raise ValueError(
            f"models.{settings.name}: simclr compares an image with others, but the fold that "
            f"validates has {len(validation)}: lower split.folds."
        )
    if split.unlabelled is None:
        return Images.of(split, device, ~validates), validation
    nothing = np.zeros(len(split.unlabelled), np.int64)
    return Images.of(Split(split.unlabelled, nothing, split.meta), device), validation


class SimCLR(Method):
    """See `simclr`."""

    def __init__(
        self,
        settings: ModelSettings,
        meta: Meta,
        temperature: float,
        projection: int,
        hidden: int | None,
    ) -> None:
        super().__init__(settings, meta)
        self.temperature, self.projection, self.hidden = temperature, projection, hidden

    def network(self) -> nn.Module:
        """The encoder, from images to features [N, D]."""
        encoder, last = build_encoder(self.settings, self.meta)
        self.features = last.in_features
        return encoder

    def training_module(self, network: nn.Module, seed: int) -> nn.Module:
        hidden = self.hidden or self.features
        self.head = nn.Sequential(
            nn.Linear(self.features, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, self.projection),
        )
        return nn.Sequential(super().training_module(network, seed), self.head)

    def batches(self, train: Images, streams: RandomStreams) -> Batches:
        if len(train) < 2:
            raise ValueError(
                f"models.{self.settings.name}: simclr compares an image with others, and needs 2 "
                f"or more to learn from, got {len(train)}."
            )
        return Views(train, self.train, self.meta, streams)

    def loss(self, module: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(images.device, self.train.precision):
            projected = module(images)
        return nt_xent(projected.float(), self.temperature)

    @torch.no_grad()
    def validate(self, network: nn.Module, data: Images) -> Validation:
        """Loss and accuracy on views of images, always the same ones, some images at a time."""
        fixed = torch.Generator(data.labels.device).manual_seed(0)
        some = self.train.model_copy(update={"batch_size": _VALIDATED_AT_ONCE})
        views = Views(data, some, self.meta, RandomStreams(0, fixed, fixed, fixed, dropout=[]))
        module = nn.Sequential(network, self.head)
        was_training = network.training
        module.eval()
        total, correct = 0.0, 0
        for images, _ in views.run(torch.arange(len(data), device=fixed.device), epoch=1):
            loss, found = nt_xent(module(images), self.temperature)
            total, correct = total + float(loss) * len(images), correct + int(found)
        module.train(was_training)
        return Validation(total / views.seen, correct / views.seen)


class Views(Batches):
    """Batches of two views per image: first one of each, then, in the same order, the other."""

    @property
    def seen(self) -> int:
        """Views per epoch."""
        return 2 * super().seen

    def run(self, order: Tensor, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for index in order.split(self.size)[first : len(self)]:
            index = torch.cat([index, index])
            images = self.augment(
                self.data.take(index), generator=self.streams.augment, epoch=epoch, index=index
            )
            images = normalise(images, self.mean, self.std)
            yield images, self.data.labels.index_select(0, index)


def nt_xent(projected: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The contrastive loss of two views per image: cross-entropy of finding the other view.

    Similarities are cosines, divided by the temperature; a view is compared with all 2N - 1 others.

    Args:
        projected: Outputs of the projection head, float32 [2N, P], row i and row N + i being of
            the same image.
        temperature: Divisor of the similarities, above 0.

    Returns:
        The mean over all 2N views, nats, and the number of views whose nearest is the other one.

    Raises:
        ValueError: There is only one image.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1 and algorithm 1 (normalised temperature-
    scaled cross-entropy); Google's code returns twice as much, a sum over the views of an image.
    """
    views = len(projected)
    if views < 4:
        raise ValueError(f"NT-Xent needs 2 images or more in a batch, got {views // 2}.")
    directions = nn.functional.normalize(projected, dim=1)
    similar = directions @ directions.mT / temperature
    similar = similar.masked_fill(
        torch.eye(views, dtype=torch.bool, device=similar.device), -torch.inf
    )
    other = torch.arange(views, device=similar.device).roll(views // 2)
    correct = (similar.detach().argmax(1) == other).sum()
    return nn.functional.cross_entropy(similar, other), correct
