"""Scoring all seeds of a model on the test images: the only reader of the test split."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from thumbnets import paths, runtime
from thumbnets.artifacts import write_arrays, write_csv, write_json
from thumbnets.data.arrays import read_checksum, read_split
from thumbnets.evaluation import views
from thumbnets.evaluation.by_class import class_intervals
from thumbnets.evaluation.correctness import Correctness, correctness, write_correctness
from thumbnets.evaluation.cost import describe
from thumbnets.evaluation.metrics import score_logits
from thumbnets.evaluation.mistakes import confident_mistakes
from thumbnets.evaluation.summaries import over_images, over_seeds
from thumbnets.methods.base import build_method
from thumbnets.methods.weights import load_weights
from thumbnets.models import count_parameters
from thumbnets.registry import METHODS
from thumbnets.training.batches import Images
from thumbnets.training.settings import ModelSettings


class Options(Protocol):
    """Options of prediction and scoring, see `params.EvaluationParams`."""

    tta: str
    ece_bins: int
    mistakes: int


@dataclass(frozen=True)
class Evaluated:
    """Test predictions and scores of a model.

    Attributes:
        predictions: `logits` float32 [S, N, K], `labels` int64 [N], `seeds` int64 [S],
            `classes` str [K]; `group` int64 [N] if images come in groups; for the most confident
            mistakes `mistake_images` and the arrays of `confident_mistakes`, prefixed `mistake_`.
        metrics: Scores from `over_seeds` and `over_images`, with `parameters`,
            `multiply_accumulates` of one image, `lr_halvings` and `test_sha256`, the checksum of
            the test images and their groups.
        confusion: One row per seed and image, actual and predicted class.
        correct: Whether each seed recognises each image.
    """

    predictions: dict[str, np.ndarray]
    metrics: dict[str, Any]
    confusion: Iterable[dict[str, str]]
    correct: Correctness


def evaluate(
    settings: ModelSettings, weights: list[Path], seeds: list[int], options: Options
) -> Evaluated:
    """Score a model on the test split.

    Args:
        settings: Settings of the model's block.
        weights: Weights file of each seed.
        seeds: Seeds of the run.
        options: Options of prediction and scoring.

    Raises:
        ValueError: Weights or test images are missing or damaged.
    """
    runtime.prepare(threads=settings.train.threads)
    device, test = runtime.device(), read_split(paths.TEST)
    method = build_method(settings, test.meta)
    examples = method.build_examples(Images.of(test, device), "test")
    labels, classes = examples.labels.cpu().numpy(), method.example_meta.classes
    classifiers = [load_weights(path, device) for path in weights]
    tta = options.tta
    logits = np.stack([views.predict(c, examples, [tta])[tta] for c in classifiers])

    scores = [score_logits(s, labels, ece_bins=options.ece_bins) for s in logits]
    of_images = METHODS[settings.train.method.name].metadata.example == "image"
    group = test.group if of_images else None  # bags are drawn anew from images of any group
    predicted = logits.argmax(2)
    intervals = class_intervals(labels, predicted, len(classes), group)
    metrics = over_seeds(scores, classes=classes, images=len(examples))
    metrics = over_images(metrics, intervals, classes=classes)
    metrics["test_sha256"] = read_checksum(paths.TEST)
    network, image = classifiers[0].network, test.images.shape[1:]
    metrics["parameters"] = count_parameters(network)
    metrics["multiply_accumulates"] = describe(network, image).total.multiply_accumulates
    metrics["lr_halvings"] = sum(classifier.halvings for classifier in classifiers)

    mistakes = confident_mistakes(logits, labels, options.mistakes)
    predictions = {
        "logits": logits,
        "labels": labels,
        "seeds": np.array(seeds),
        "classes": np.array(classes),
        **({} if group is None else {"group": group}),
        "mistake_images": examples.pictures(mistakes["index"]),
        **{f"mistake_{name}": values for name, values in mistakes.items()},
    }
    correct = correctness(settings.name, predicted, labels, seeds, group)
    return Evaluated(predictions, metrics, _confusion(logits, labels, np.array(classes)), correct)


def write_evaluation(found: Evaluated, files: Mapping[str, Path]) -> None:
    """Write what `evaluate` found.

    Args:
        found: Scores and predictions of a model.
        files: Paths of `predictions`, `confusion`, `metrics` and `correct`.
    """
    write_arrays(files["predictions"], **found.predictions)
    write_csv(files["confusion"], found.confusion)
    write_json(files["metrics"], found.metrics)
    write_correctness(files["correct"], found.correct)


def _confusion(
    logits: np.ndarray, labels: np.ndarray, names: np.ndarray
) -> Iterable[dict[str, str]]:
    for of_seed in logits:
        for actual, predicted in zip(names[labels], names[of_seed.argmax(1)], strict=True):
            yield {"actual": actual, "predicted": predicted}
