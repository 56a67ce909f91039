"""Batches of images of few classes, for losses that compare the images of a batch."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from thumbnets.data.arrays import Meta
from thumbnets.training.batches import Batches, Images, Streams
from thumbnets.training.settings import TrainSettings


class FewClasses(Batches):
    """Batches whose images have few classes in the first half of the epochs, then any.

    Of a hundred classes a batch has about one image each, and images that should be alike are rare.
    Every image still comes once an epoch.

    Args:
        first: Images drawn first for a batch, whose classes are those of the others too.

    Source: code of Nøkland and Eidnes 2019 for CIFAR-100 (20 images, 200 of 400 epochs).
    """

    def __init__(
        self, data: Images, settings: TrainSettings, meta: Meta, streams: Streams, first: int
    ) -> None:
        super().__init__(data, settings, meta, streams)
        self.until, self.drawn_first = settings.epochs / 2, first

    def run(self, order: Tensor, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        if epoch <= self.until:
            index, labels = order.cpu().numpy(), self.data.labels.cpu().numpy()
            order = torch.from_numpy(gathered(index, labels, self.size, self.drawn_first)).to(order)
        yield from super().run(order, epoch, first)


def gathered(order: np.ndarray, labels: np.ndarray, size: int, first: int) -> np.ndarray:
    """An order of images whose batches have few classes.

    A batch begins with the next images of the order; then come the next ones of their classes, and
    where these do not suffice the next ones of any class.

    Args:
        order: Which image comes when, int64 [N].
        labels: Of all images, int64 [M].
        size: Images a batch.
        first: Those that say its classes.

    Returns:
        int64 [N], each image of the order once.
    """
    found = []
    while len(order) > size:
        alike = np.isin(labels[order], labels[order[:first]])
        chosen = np.argsort(~alike, kind="stable")[:size]
        found.append(order[chosen])
        order = np.delete(order, chosen)
    return np.concatenate([*found, order])
