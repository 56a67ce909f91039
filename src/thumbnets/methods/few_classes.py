"""Batches of images of few classes, for losses that compare the images of a batch."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from thumbnets.data.arrays import Meta
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.settings import TrainSettings

_LEAST_CLASSES = 10
_PASSED_OVER = 10  # images, for each of those drawn first, in search of more classes


class FewClasses(Batches):
    """Batches whose images have few classes up to the epoch halfway, then any classes.

    With a hundred classes, a batch has about one image of each, and images that should be alike are
    rare. Every image still comes once per epoch.

    Args:
        drawn_first: Number of images drawn first for a batch; the others are of their classes.

    Source: code of Nøkland and Eidnes 2019 for CIFAR-100 (20 images, 200 of 400 epochs).
    """

    def __init__(
        self,
        data: Images,
        settings: TrainSettings,
        meta: Meta,
        streams: RandomStreams,
        drawn_first: int,
    ) -> None:
        super().__init__(data, settings, meta, streams)
        self.until, self.drawn_first = settings.epochs / 2, drawn_first

    def run(self, order: Tensor, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        if epoch <= self.until:
            index, labels = order.cpu().numpy(), self.data.labels.cpu().numpy()
            order = torch.from_numpy(gathered(index, labels, self.size, self.drawn_first)).to(order)
        yield from super().run(order, epoch, first)


def gathered(order: np.ndarray, labels: np.ndarray, size: int, drawn_first: int) -> np.ndarray:
    """An order of images whose batches have few classes.

    A batch begins with the next images of the order and, if these have fewer than ten classes, some
    images of other classes that come soon after. Then come the next ones of all these classes and,
    if these do not suffice, the next ones of any class.

    Args:
        order: Indices of the images in the order drawn, int64 [N].
        labels: Labels of all images, int64 [M].
        size: Images per batch.
        drawn_first: Images that a batch begins with, fewer than its size.

    Returns:
        int64 [N], each image of the order once.
    """
    found = []
    while len(order) > size:
        classes = labels[order]
        begun = _beginning(classes, drawn_first)
        rank = np.where(np.isin(classes, classes[begun]), 1, 2)
        rank[begun] = 0
        chosen = np.argsort(rank, kind="stable")[:size]
        found.append(order[chosen])
        order = np.delete(order, chosen)
    return np.concatenate([*found, order])


def _beginning(labels: np.ndarray, drawn_first: int) -> list[int]:
    """Places of the images that decide the classes of a batch; `labels` are in the order drawn."""
    begun = list(range(drawn_first))
    classes, passed_over = set(labels[begun]), 0
    for place in range(drawn_first, len(labels)):
        if len(classes) >= _LEAST_CLASSES or passed_over == _PASSED_OVER * drawn_first:
            break
        if labels[place] in classes:
            passed_over += 1
        else:
            begun.append(place)
            classes.add(labels[place])
    return begun
