"""Distillation: learning from a teacher's probabilities for the very view that the student sees."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from thumbnets.artifacts import read_arrays
from thumbnets.data.arrays import Meta
from thumbnets.data.augment.geometric import mirror, move
from thumbnets.data.views import VIEWS
from thumbnets.methods.base import Method, autocast
from thumbnets.options import Fraction, Positive
from thumbnets.registry import METHODS
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.classifier import normalise
from thumbnets.training.settings import ModelSettings


@METHODS.register(
    files={
        "teacher": "name one that `thumbnets recipe` made, or copy teacher/teacher.npz of a run "
        "with ensemble.teach"
    },
    excludes=("augment", "mix"),
)
def distill(
    settings: ModelSettings,
    meta: Meta,
    *,
    teacher: str = "pretrained/teacher.npz",
    temperature: Positive = 1.0,
    share: Fraction = 1.0,
) -> Method:
    """Cross-entropy with the teacher's probabilities; each image in a view drawn anew every epoch.

    The views are those that the teacher has predicted (`ensemble.teach`), so that both see the
    same pixels, and the teacher is computed only once. The training accuracy of the curve counts
    images whose most probable class is that of the target.

    Args:
        teacher: File of stage `teach`, in `pretrained/`.
        temperature: Divisor of both networks' logits, the teacher's before the softmax; the loss is
            multiplied by its square, which keeps the gradient's size.
        share: Share of the teacher's probabilities in the target; the rest is the label, at the
            same temperature (in Hinton et al. at 1, which makes the label count less).

    Source: Hinton et al. 2015, arXiv:1503.02531, section 2; Beyer et al. 2022, arXiv:2106.05237
    (the same view for both, a long schedule).
    """
    return Distillation(settings, meta, Path(teacher), temperature, share)


def read_teacher(path: Path, remedy: str) -> dict[str, np.ndarray]:
    """`log_probabilities` float32 [V, N, K], `views`, `classes` and `sha256` of stage `teach`.

    Args:
        path: File of stage `teach`.
        remedy: Instruction for the message, if the file can't be used.

    Raises:
        ValueError: The file is damaged, or is not one of stage `teach`.
    """
    try:
        taught = read_arrays(path)
    except (TypeError, ValueError):  # the first of a single array, .npy
        taught = {}
    if not _is_teacher(taught):
        raise ValueError(f"{path} is no teacher, or a damaged one: {remedy}.")
    return taught


def _is_teacher(arrays: dict[str, np.ndarray]) -> bool:
    """Whether arrays have the names, dtypes and shapes of those that stage `teach` writes."""
    if not {"log_probabilities", "views", "classes", "sha256"} <= arrays.keys():
        return False
    log_probabilities, classes = arrays["log_probabilities"], arrays["classes"]
    return (
        log_probabilities.dtype == np.float32
        and log_probabilities.ndim == 3
        and classes.ndim == 1
        and len(log_probabilities) == len(VIEWS.get(str(arrays["views"]), ()))
        and not np.isnan(log_probabilities).any()
    )


class Distillation(Method):
    """See `distill`."""

    def __init__(
        self, settings: ModelSettings, meta: Meta, teacher: Path, temperature: float, share: float
    ) -> None:
        super().__init__(settings, meta)
        self.teacher, self.temperature, self.share = teacher, temperature, share

    def batches(self, train: Images, streams: RandomStreams) -> Batches:
        self.set_class_weights(train)
        _, remedy = self.settings.files["method.teacher"]
        taught = read_teacher(self.teacher, remedy)
        if str(taught["sha256"]) != self.meta.sha256:
            raise ValueError(
                f"{self.teacher}: the teacher was asked about other images, of classes "
                f"{', '.join(taught['classes'])}: name one for {self.meta.dataset}, as "
                f"`thumbnets recipe recipes/{self.meta.dataset}/teacher.yaml` makes it."
            )
        log_probabilities = torch.from_numpy(taught["log_probabilities"])  # [V, N, K]
        rows = slice(None) if train.rows is None else train.rows
        targets = (log_probabilities[:, rows] / self.temperature).softmax(2)
        targets = targets.to(train.labels.device)
        labels = nn.functional.one_hot(train.labels, targets.shape[2])
        targets = labels.float().lerp(targets, self.share)
        return TaughtBatches(train, self, streams, str(taught["views"]), targets)

    def loss(self, module: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(images.device, self.train.precision):
            logits = module(images).float()
        correct = (logits.detach().argmax(1) == targets.argmax(1)).sum()
        return self.temperature**2 * self.cross_entropy(logits / self.temperature, targets), correct


class TaughtBatches(Batches):
    """Batches of images, each in one of the teacher's views, with the targets of that view.

    Args:
        data: The images.
        method: Method whose settings the batches follow.
        streams: Order of the images and draws of the views.
        views: Views of the teacher, a key of `VIEWS`.
        targets: Targets of each view and image, float32 [V, N, K].
    """

    def __init__(
        self, data: Images, method: Method, streams: RandomStreams, views: str, targets: Tensor
    ) -> None:
        super().__init__(data, method.train, method.meta, streams)
        self.targets = targets
        self.views = torch.tensor(VIEWS[views], device=targets.device).T  # [3, V]
        self.reach = max(abs(move) for view in VIEWS[views] for move in view[1:])

    def run(self, order: Tensor, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for index in order.split(self.size)[first : len(self)]:
            drawn = torch.randint(
                len(self.targets), index.shape, generator=self.streams.augment, device=index.device
            )
            view, place = drawn.sort(stable=True)
            index = index.index_select(0, place)
            mirrored, down, right = self.views.index_select(1, view)
            images = mirror(self.data.take(index), mirrored.bool())
            images = move(images, down, right, self.reach)
            yield normalise(images, self.mean, self.std), self.targets[view, index]
