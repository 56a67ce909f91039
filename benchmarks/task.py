"""The task that all contenders share: the same network, batch size, samples and augmentation."""

from dataclasses import asdict, dataclass, field, replace
from functools import cache

import numpy as np

from thumbnets import paths, runtime
from thumbnets.choices import check_options
from thumbnets.data.arrays import Split
from thumbnets.data.datasets import get_dataset
from thumbnets.data.download import download
from thumbnets.params import Params, load_params
from thumbnets.registry import NETWORKS, unknown
from thumbnets.training.settings import ModelSettings, TrainSettings

# The same optimizer for all, at a learning rate that suits every network; no feature of one loop.
PLAIN = {
    "epochs": 1,
    "batch_size": 128,
    "optimizer": "sgd",
    "lr": 0.01,
    "momentum": 0.9,
    "schedule": "constant",
    "label_smoothing": 0.0,
    "augment": [],
    "precision": "fp32",
}


@cache
def params() -> Params:
    """params.yaml, read once."""
    return load_params()


@dataclass(frozen=True)
class Task:
    """A training.

    Attributes:
        model: A block of params.yaml.
        data: Name of the data set.
        images: Number of training images; None: all.
        train: Keys of `train` that differ from the block's.
        options: Options of the network that differ from the block's.
    """

    model: str
    data: str
    images: int | None = None
    train: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)

    def but(self, **train: object) -> "Task":
        """The same with other keys of `train`."""
        return replace(self, train={**self.train, **train})

    @property
    def settings(self) -> ModelSettings:
        """The block's settings with this task's.

        Raises:
            ValueError: There is no such block, or a key or option has a bad value.
        """
        blocks = params().settings
        if self.model not in blocks:
            raise ValueError(unknown("model", self.model, blocks))
        block = blocks[self.model]
        train = TrainSettings.model_validate({**dict(block.train), **self.train})
        options = check_options(NETWORKS, block.arch, {**block.options, **self.options})
        return block.model_copy(update={"train": train, "options": options})

    def plain(self) -> dict:
        """As values that fit on a command line."""
        return asdict(self)


def validation(train: Split) -> np.ndarray:
    """Indices of the training images of fold 0, as split by params.yaml: int64 [N]."""
    return np.flatnonzero(_folds(train) == 0)


def chosen(task: Task, train: Split) -> np.ndarray:
    """Indices of the other training images, as many as the task says: int64 [N].

    Raises:
        ValueError: There are fewer images, so that a peer would train on more.
    """
    index = np.flatnonzero(_folds(train) != 0)[: task.images]
    if task.images and len(index) < task.images:
        raise ValueError(f"images must be at most {len(index)}, got {task.images}.")
    return index


def _folds(train: Split) -> np.ndarray:
    # Not before: it imports scikit-learn, which `cold_start` would count (0.7 s).
    from thumbnets.data.preprocess import stratified_folds

    split = params().split
    return stratified_folds(train.labels, folds=split.folds, seed=split.seed)


def fetch(dataset: str) -> None:
    """Fetch a data set's raw files before processes read them in parallel."""
    download(get_dataset(dataset), paths.fetched(dataset), mirror=runtime.mirror())
