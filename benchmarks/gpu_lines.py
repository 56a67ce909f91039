"""Computations for the lines of `benchmarks.gpu`, each function in its own process."""

import hashlib
import os
import platform
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.captured import Captured
from benchmarks.stacked import fit_stacked
from benchmarks.task import PLAIN, Task, chosen, params
from thumbnets import runtime
from thumbnets.data import load
from thumbnets.data.arrays import Meta, Split
from thumbnets.methods.base import build_method, evaluate
from thumbnets.models import create_model
from thumbnets.models.blocks import GroupDropout
from thumbnets.models.layers import Dropout
from thumbnets.registry import AUGMENTATIONS, MIXES, OPTIMIZERS
from thumbnets.training.batches import Images
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.classifier import Classifier
from thumbnets.training.loop import Epoch, Training, fit
from thumbnets.training.settings import ModelSettings

_PLAIN = {**PLAIN, "average": None}
EPOCHS = ("mlp4", "cnn_c", "tiny_cnn", "resnet20", "vgg8b_predsim")

_FLIPPED = [{"name": "flip"}, {"name": "shift", "pixels": 2}]
TASKS = {
    "mnist_sprint": Task("mnist_sprint", "mnist", train={"batch_size": 256, "precision": "bf16"}),
    "airbench": Task(
        "airbench",
        "fashion_mnist",
        train={"epochs": 12, "batch_size": 512, "lr": 0.3, "augment": _FLIPPED, "precision": "bf16"}
        | {"average": {"name": "ema", "decay": 0.99}},
        options={"width": 64},
    ),
}
_SEEDS = {"mnist_sprint": 5, "airbench": 2}
_SECONDS = 8  # time limit of repeated epochs: none begins after it
_TOO_LITTLE = 2**26  # bytes of memory: the images fit in, a training does not
_FEW = 60  # images of a small run, three batches
_SMALLER = {"vgg8b": {"multiplier": 0.0625}, "vgg8b_predsim": {"multiplier": 0.0625}}


@dataclass(frozen=True)
class Extent:
    """The data, and the extent of the measurements.

    Attributes:
        small: Whether this is a small run on a CPU, only to see that it works.
        train: Training images without fold 0, by data set.
        test: Test images, by data set.
        out: Folder for files.
    """

    small: bool
    train: dict[str, Split]
    test: dict[str, Split]
    out: Path

    @property
    def device(self) -> torch.device:
        return torch.device("cpu" if self.small else "cuda")

    def settings(self, task: Task) -> ModelSettings:
        """Settings of a task; in a small run, with one epoch and networks of few channels."""
        if self.small:
            options = {**task.options, **_SMALLER.get(task.model, {})}
            options |= {"width": 4} if task.model == "airbench" else {}
            task = Task(task.model, task.data, train={**task.train, "epochs": 1}, options=options)
            task = task.but(batch_size=_FEW // 3, precision="fp32", threads=1)
        return task.settings

    def images(self, data: str, few: int | None = None) -> Images:
        """The first `few` training images, or all, on the device."""
        return on_device(self.train[data], self.device, few)

    def tested(self, classifier: Classifier, data: str) -> float:
        """Accuracy on the test images, percent."""
        return 100 * evaluate(classifier, on_device(self.test[data], self.device))[1]


def on_device(split: Split, device: torch.device, few: int | None = None) -> Images:
    """Images of a split on the device that computes."""
    arrays = (split.images[:few], split.labels[:few])
    return Images(*(torch.from_numpy(array).to(device) for array in arrays))


def read(data: Path | None, out: Path, *, small: bool) -> Extent:
    """The images of both data sets; without a folder, noise of their shape."""
    if data is not None:
        os.environ["THUMBNETS_MIRROR"] = str(data.resolve())
    params()  # cached, so that no process reads them again
    few = _FEW if small else None
    train, test = {}, {}
    for name in ("mnist", "fashion_mnist"):
        part, other = (_noise(name), _noise(name)) if data is None else _read(name)
        train[name] = Split(part.images[:few], part.labels[:few], part.meta)
        test[name] = Split(other.images[:few], other.labels[:few], other.meta)
    return Extent(small, train, test, out)


def _read(name: str) -> tuple[Split, Split]:
    train, test = load(name, "train"), load(name, "test")
    index = chosen(Task("mlp4", name), train)
    return Split(train.images[index], train.labels[index], train.meta), test


def _noise(name: str) -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (_FEW, 1, 28, 28), dtype=np.uint8)
    classes = [str(label) for label in range(10)]
    meta = Meta(name, classes, 1, 28, [0.5], [0.3], [_FEW // 10] * 10, "0" * 64)
    return Split(images, np.arange(_FEW) % 10, meta)


class Silent:
    """A silent watcher that may kill its process at a given step."""

    def __init__(self, kill: float | None = None) -> None:
        self.kill = kill

    def start(self, epochs: int, steps: int, done: int) -> None:
        self.began = self.done = done
        self.steps = epochs * steps

    def batch(self) -> None:
        self.done += 1
        if self.kill and self.done >= self.kill * self.steps:
            os.kill(os.getpid(), signal.SIGKILL)

    def epoch(self, row: Epoch) -> None: ...


def prepare(extent: Extent, settings: ModelSettings) -> None:
    """Set up torch as a stage does."""
    if extent.small:
        os.environ["THUMBNETS_DEVICE"] = "cpu"
    runtime.prepare(threads=1, precision=settings.train.precision)


def train(
    extent: Extent,
    settings: ModelSettings,
    data: str,
    seed: int = 0,
    few: int | None = None,
    captured: bool = False,
) -> tuple[float, Classifier]:
    """A whole training from images in CPU memory; returns its seconds and the classifier."""
    _wait(extent)
    began = time.perf_counter()
    method = build_method(settings, extent.train[data].meta)
    if captured:
        method.gradients = Captured(method.gradients)
    classifier, _ = fit(method, extent.images(data, few), None, seed=seed, watcher=Silent())
    _wait(extent)
    return time.perf_counter() - began, classifier


def _wait(extent: Extent) -> None:
    if not extent.small:
        torch.cuda.synchronize()


def machine(extent: Extent) -> str:
    """Device, versions."""
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    if extent.small:
        return f"CPU, {versions}"
    about = torch.cuda.get_device_properties(0)
    return f"{about.name}, {about.total_memory / 2**30:.0f} GiB, {versions}"


def waiting_steps(extent: Extent) -> dict[str, str]:
    """Settings whose steps wait for the GPU, with torch's error message."""
    changes: dict[str, dict] = {name: {"augment": [name]} for name in AUGMENTATIONS.entries}
    changes["colour_jitter"] = {"augment": [{"name": "colour_jitter", "hue": 0.1}]}
    changes |= {name: {"mix": name} for name in MIXES.entries}
    plain = {"clip": 1.0, "schedule": "constant"}
    changes |= {name: {"optimizer": name, **plain} for name in OPTIMIZERS.entries}
    tasks = {name: Task("cnn_c", "mnist", train=change) for name, change in changes.items()}
    tasks |= {name: Task(name, "mnist") for name in (*EPOCHS, "tiny_voting", "tiny_soft_boosting")}
    found = {}
    for name, task in tasks.items():
        settings = extent.settings(task)
        prepare(extent, settings)
        method = build_method(settings, extent.train["mnist"].meta)
        two = extent.images("mnist", 2 * settings.train.batch_size)
        training = Training(method, two, None, seed=0)
        training.module.train()
        batches = training.batches.run(training.order, 1)
        training._step(*next(batches))  # the first step, which does what happens only once
        try:
            if not extent.small:
                torch.cuda.set_sync_debug_mode("error")
            training._step(*next(batches))
        except RuntimeError as error:
            found[name] = str(error).splitlines()[0][:120]
        finally:
            if not extent.small:
                torch.cuda.set_sync_debug_mode("default")
    return found


def hashes(extent: Extent, captured: bool = False) -> dict[str, str]:
    """Hashes of the weights after short trainings, by network."""
    found = {}
    for name in ("mlp4", "tiny_cnn", "resnet20", "vgg8b_predsim"):
        settings = extent.settings(Task(name, "mnist", train={"epochs": 1}))
        prepare(extent, settings)
        found[name] = _hash(train(extent, settings, "mnist", few=6000, captured=captured)[1])
    return found


def _hash(classifier: Classifier) -> str:
    digest = hashlib.sha256()
    for tensor in classifier.network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy())
    return digest.hexdigest()


def checkpointed(extent: Extent, file: Path, kill: float | None) -> dict[str, object]:
    """Train with checkpoints, to the end or until a kill after a share `kill` of the steps."""
    settings = extent.settings(Task("tiny_cnn", "mnist", train={"epochs": 2}))
    prepare(extent, settings)
    watcher = Silent(kill)
    method = build_method(settings, extent.train["mnist"].meta)
    classifier, _ = fit(
        method,
        extent.images("mnist", 6000),
        None,
        seed=0,
        watcher=watcher,
        checkpoint=Checkpoint(file, "key", every=0),
    )
    return {"hash": _hash(classifier), "began": watcher.began, "steps": watcher.steps}


def without_memory(extent: Extent) -> str:
    """The message when a training runs out of GPU memory."""
    try:
        with runtime.gpu_memory("resnet20, seed 0"):
            if extent.small:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.99 GiB. GPU")
            all_of_it = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(_TOO_LITTLE / all_of_it)
            train(extent, extent.settings(Task("resnet20", "mnist", train=_PLAIN)), "mnist")
    except ValueError as error:
        return str(error)
    raise RuntimeError("the memory did not end")


def our_epochs(extent: Extent, name: str, captured: bool = False) -> list[float]:
    """Seconds of each of several epochs of a network."""
    settings = extent.settings(Task(name, "fashion_mnist", train=_PLAIN))
    prepare(extent, settings)
    train(extent, settings, "fashion_mnist", few=1280)
    return _repeated(extent, lambda: train(extent, settings, "fashion_mnist", captured=captured)[0])


def _repeated(extent: Extent, measure: Callable[[], float]) -> list[float]:
    """Seconds of each of several calls: three, or as many as begin within `_SECONDS`."""
    seconds: list[float] = []
    while len(seconds) < (1 if extent.small else 3) and sum(seconds) < _SECONDS:
        seconds.append(measure())
    return seconds


class Pictures(Dataset):
    """Images as in torchvision's data sets: PIL images passed through transforms."""

    def __init__(self, split: Split) -> None:
        self.split = split
        normalise = transforms.Normalize(split.meta.mean, split.meta.std)
        self.transform = transforms.Compose([transforms.ToTensor(), normalise])

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.split.images[index, 0])
        return self.transform(picture), int(self.split.labels[index])


def usual_epochs(extent: Extent, name: str) -> list[float]:
    """As `our_epochs`, by the usual loop, which uses a global loss in place of local ones."""
    task = Task(name.removesuffix("_predsim"), "fashion_mnist", train=_PLAIN)
    settings, split = extent.settings(task), extent.train["fashion_mnist"]
    if extent.small:
        torch.set_num_threads(1)
    some = Split(split.images[:1280], split.labels[:1280], split.meta)
    _usual(extent, settings, Pictures(some))
    return _repeated(extent, lambda: _usual(extent, settings, Pictures(split)))


def _usual(extent: Extent, settings: ModelSettings, data: Pictures) -> float:
    """Seconds of the loop from PyTorch's tutorial "Training with PyTorch", on a device."""
    began = time.perf_counter()
    device, options = extent.device, settings.train
    shape = data.split.meta.shape
    network = _plain(create_model(settings.arch, **shape, **settings.options)).to(device)
    optimizer = torch.optim.SGD(
        network.parameters(), options.lr, options.momentum, weight_decay=options.weight_decay
    )
    criterion, running_loss = nn.CrossEntropyLoss(), 0.0
    workers = 0 if extent.small else min(8, runtime.cores())
    loader = DataLoader(
        data, options.batch_size, shuffle=True, num_workers=workers, pin_memory=not extent.small
    )
    network.train()
    for inputs, labels in loader:
        inputs, labels = inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        optimizer.zero_grad()
        loss = criterion(network(inputs), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    _wait(extent)
    return time.perf_counter() - began


def _plain(network: nn.Module) -> nn.Module:
    """A network with torch's dropout in place of ours."""
    for module in list(network.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, GroupDropout):
                setattr(module, name, nn.Dropout2d(layer.p))
            elif isinstance(layer, Dropout):
                setattr(module, name, nn.Dropout(layer.p))
    return network


def accuracies(
    extent: Extent, name: str, captured: bool = False
) -> tuple[list[float], list[float]]:
    """Seconds and test accuracies in percent of whole trainings, one per seed."""
    task = TASKS[name]
    settings = extent.settings(task)
    prepare(extent, settings)
    once = settings.model_copy(update={"train": settings.train.model_copy(update={"epochs": 1})})
    train(extent, once, task.data, few=10 * settings.train.batch_size)
    seconds, tested = [], []
    for seed in range(1 if extent.small else _SEEDS[name]):
        took, classifier = train(extent, settings, task.data, seed, captured=captured)
        seconds.append(took)
        tested.append(extent.tested(classifier, task.data))
    return seconds, tested


def stacked(extent: Extent) -> dict[str, object]:
    """Many seeds of tiny_cnn as one network, and one alone: seconds, and accuracies in percent."""
    settings = extent.settings(Task("tiny_cnn", "mnist", train={"epochs": 2, "augment": []}))
    prepare(extent, settings)
    seeds = list(range(4 if extent.small else 64))
    train(extent, settings, "mnist", few=1280)
    one, _ = train(extent, settings, "mnist")
    data, meta = extent.images("mnist"), extent.train["mnist"].meta
    test = on_device(extent.test["mnist"], extent.device)
    few = Images(data.images[:640], data.labels[:640])
    fit_stacked(settings, few, few, meta, seeds)
    _wait(extent)
    began = time.perf_counter()
    found = fit_stacked(settings, data, test, meta, seeds)
    return {
        "seeds": len(seeds),
        "epochs": settings.train.epochs,
        "one": one,
        "all": time.perf_counter() - began,
        "accuracies": [100 * accuracy for accuracy in found],
    }
