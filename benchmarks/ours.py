"""Trainings by thumbnets, as its `train` stage does them."""

import time

from thumbnets import runtime  # isort: skip (before torch: it makes waiting threads sleep)

import torch

from benchmarks.process import Measured, answer
from benchmarks.stacked import fit_stacked
from benchmarks.task import Task, chosen, validation
from thumbnets.data import load
from thumbnets.data.arrays import Meta
from thumbnets.methods.base import build_method, evaluate
from thumbnets.training.batches import Images
from thumbnets.training.loop import Epoch
from thumbnets.training.loop import fit as fit_one


class Clock:
    """A watcher that adds up the time of the evaluations between epochs."""

    def __init__(self) -> None:
        self.evaluating = 0.0

    def start(self, epochs: int, steps: int, done: int) -> None:
        self.last_batch = time.perf_counter()

    def batch(self) -> None:
        self.last_batch = time.perf_counter()

    def epoch(self, row: Epoch) -> None:
        self.evaluating += time.perf_counter() - self.last_batch


def read(task: Task) -> tuple[Images, Images, Images, Meta]:
    """Training images without fold 0, as many as the task says; fold 0; test images.

    Raises:
        ValueError: There are fewer images, so that a peer would train on more.
    """
    train, test = load(task.data, "train"), load(task.data, "test")
    images, labels = torch.from_numpy(train.images), torch.from_numpy(train.labels)
    index, validating = map(torch.from_numpy, (chosen(task, train), validation(train)))
    return (
        Images(images[index], labels[index]),
        Images(images[validating], labels[validating]),
        Images(torch.from_numpy(test.images), torch.from_numpy(test.labels)),
        train.meta,
    )


def fit(task: dict, seeds: list[int], test: bool = False, torch_threads: int = 1) -> Measured:
    """Train one network per seed, one after the other.

    With `torch_threads`, torch's operations are spread over threads, which is torch's default; the
    threads of the task split batches instead.

    The function returned gives `seconds` (everything that `fit` does except the evaluations between
    epochs), `validation` accuracies in percent and, if requested, `test` accuracies.
    """
    task = Task(**task)
    settings = task.settings
    runtime.prepare(threads=torch_threads, precision=settings.train.precision)
    train, validation, test_images, meta = read(task)
    few = slice(10 * settings.train.batch_size)
    warm = settings.model_copy(update={"train": settings.train.model_copy(update={"epochs": 1})})
    fit_one(
        build_method(warm, meta), _part(train, few), _part(validation, few), seed=0, watcher=Clock()
    )

    def measured() -> dict:
        clock, began = Clock(), time.perf_counter()
        trained = [
            fit_one(build_method(settings, meta), train, validation, seed=seed, watcher=clock)
            for seed in seeds
        ]
        result = {
            "seconds": time.perf_counter() - began - clock.evaluating,
            "validation": [100 * curve[-1].validation_accuracy for _, curve in trained],
        }
        if test:
            networks = [classifier for classifier, _ in trained]
            result["test"] = [100 * evaluate(network, test_images)[1] for network in networks]
        return result

    return measured


def bags(task: dict, epochs: int) -> Measured:
    """Train on the bags of the task's block; the function returned gives `seconds` per epoch."""
    task = Task(**task)
    settings = task.but(epochs=epochs).settings
    runtime.prepare(threads=1, precision=settings.train.precision)
    train, _, _, meta = read(task)
    method = build_method(settings, meta)
    examples, once = method.build_examples(train, "train"), task.but(epochs=1).settings
    fit_one(build_method(once, meta), examples, None, seed=0, watcher=Clock())

    def measured() -> dict:
        began = time.perf_counter()
        fit_one(build_method(settings, meta), examples, None, seed=0, watcher=Clock())
        return {"seconds": (time.perf_counter() - began) / epochs}

    return measured


def judged(task: dict, seeds: list[int]) -> Measured:
    """Train one network per seed; gives `recognised`: 0 or 1 per network and validation image."""
    task = Task(**task)
    settings = task.settings
    runtime.prepare(threads=1, precision=settings.train.precision)
    train, validation, _, meta = read(task)

    def recognised(seed: int) -> list[int]:
        network, _ = fit_one(
            build_method(settings, meta), train, validation, seed=seed, watcher=Clock()
        )
        right = network.logits(validation.images).argmax(1) == validation.labels.numpy()
        return right.astype(int).tolist()

    return lambda: {"recognised": [recognised(seed) for seed in seeds]}


def stacked(task: dict, seeds: list[int]) -> Measured:
    """Train one perceptron per seed, all at once; gives `seconds` and `validation` accuracies."""
    task = Task(**task)
    settings = task.settings
    runtime.prepare(threads=1, precision=settings.train.precision)
    train, validation, _, meta = read(task)
    few = slice(10 * settings.train.batch_size)
    fit_stacked(settings, _part(train, few), _part(validation, few), meta, seeds)

    def measured() -> dict:
        began = time.perf_counter()
        accuracies = fit_stacked(settings, train, validation, meta, seeds)
        return {
            "seconds": time.perf_counter() - began,
            "validation": [100 * accuracy for accuracy in accuracies],
        }

    return measured


def _part(data: Images, part: slice) -> Images:
    return Images(data.images[part], data.labels[part])


if __name__ == "__main__":
    answer(fit, bags, judged, stacked)
