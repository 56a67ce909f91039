"""A small run without any training: artifacts as the stages write them, from chosen predictions."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thumbnets import paths
from thumbnets.artifacts import read_json, write_array, write_arrays, write_csv, write_json
from thumbnets.costs import COUNTED_BY
from thumbnets.data.arrays import Meta
from thumbnets.ensembles.members import by_training, groups_of, training
from thumbnets.ensembles.rules import fit_rules
from thumbnets.ensembles.scoring import score_ensembles
from thumbnets.evaluation.by_class import class_intervals
from thumbnets.evaluation.metrics import score_logits, to_probabilities
from thumbnets.evaluation.mistakes import confident_mistakes
from thumbnets.evaluation.summaries import over_images, over_seeds, summary
from thumbnets.evaluation.views import VIEWS, array_name
from thumbnets.params import EnsembleParams, Params
from thumbnets.quality.images import LIST, PICTURES

N = 40  # test images, and validation images
RIGHT = {"mlp4": [36, 32], "cnn_c": [38, 38], "mlp4_patches": [20, 20]}  # of N, by model and seed
GAINED = {"none": 0, "flip": 2, "shift": 1, "flip_shift": 0}  # validation images, by views
HALVINGS = {"mlp4": 0, "cnn_c": 1, "mlp4_patches": 0}  # a seed
DATA = {
    "name": "fashion_mnist",
    "path": "images",
    "size": 32,
    "fit": "crop",
    "test": 0.2,
    "seed": 0,
    "broken": "refuse",
}
ENSEMBLE = {
    "rule": "greedy",
    "objective": "loss",
    "voting": "soft",
    "steps": 4,
    "seeds": 1,
    "teach": None,
}
EVEN = {  # what was found when looking at the images: nothing
    "train": [20, 20, 20],
    "test": [14, 13, 13],
    "repeated": 0,
    "leaked": 0,
    "leaked_other_label": 0,
    "examples": [],
    "broken": [],
}
CLASSES = ["<b>bold</b>", "A & B", "$x$ | _y_"]


def toy_logits(
    right: int, images: int, seed: int, uneven: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 [N, 3] that are right for the first images, and their labels int64 [N].

    If classes are uneven, the first has three times as many images as the second; the third none.
    """
    labels = np.arange(images) % 4 // 3 if uneven else np.arange(images) % 3
    predicted = np.where(np.arange(images) < right, labels, (labels + 1) % 3)
    noise = np.random.default_rng(seed).normal(0, 0.1, (images, 3))
    return (3 * np.eye(3)[predicted] + noise).astype(np.float32), labels


def under_views(logits: np.ndarray, views: str) -> np.ndarray:
    """The same, except that some of the last images, which were wrong, are right."""
    missed = len(logits) - GAINED[views]
    return np.concatenate([logits[:missed], np.roll(logits[missed:], -1, axis=1)])


@pytest.fixture
def make_params(train_settings) -> Callable[..., Params]:
    """Makes the params of a toy run; keywords replace whole keys."""

    def make(**changes: Any) -> Params:
        content = {
            "model": "mlp4",
            "pool": ["mlp4", "cnn_c"],
            "seeds": [0, 1],
            "data": DATA,
            "split": {"folds": 2, "seed": 0, "rotate": False},
            "train": train_settings().model_dump(),
            "models": {
                "mlp4": {"arch": "mlp4"},
                "cnn_c": {"arch": "cnn_c", "lr": 0.01},
                "mlp4_patches": {"arch": "mlp4", "patches": {"size": 7, "mode": "shared"}},
            },
            "ensemble": ENSEMBLE,
            "evaluation": {"tta": "none", "ece_bins": 15, "mistakes": 5},
            "report": {"title": "A <i>title</i>"},
        }
        content |= changes
        content["data"] = DATA | content["data"]
        content["ensemble"] = ENSEMBLE | content["ensemble"]
        return Params.model_validate(content)

    return make


@pytest.fixture
def make_run(
    make_params, meta: Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Params]:
    """Writes all artifacts of a toy run into the current folder; keywords as for `make_params`.

    `uneven` is that of the test images, as for `toy_logits`; `group` are their groups.
    """
    monkeypatch.chdir(tmp_path)

    def make(uneven: bool = False, group: np.ndarray | None = None, **changes: Any) -> Params:
        params = make_params(**changes)
        seen = replace(meta, classes=CLASSES, image_size=28, sha256="ab" * 32)
        write_json(paths.TRAIN / "meta.json", asdict(seen))
        write_json(paths.FINDINGS, EVEN)
        write_json(paths.stage_inputs("report"), {"modules": dict.fromkeys(COUNTED_BY, "")})
        write_training_images()
        for model, slot in params.slots.items():
            write_json(paths.training_inputs(slot), {})
            for seed in params.seeds:
                _write_training(model, slot, seed)
            _write_evaluation(params, model, slot, uneven, group)
        _write_ensemble(params, uneven, group)
        return params

    return make


def write_training_images() -> None:
    """Training images whose labels are those of `toy_logits`, and flaws: none."""
    images = sum(EVEN["train"])  # the first N of them validate
    write_array(paths.TRAIN / "images.npy", np.zeros((images, 1, 8, 8), np.uint8))
    write_array(paths.TRAIN / "labels.npy", np.arange(images) % 3)
    write_array(paths.TRAIN / "fold.npy", np.arange(images, dtype=np.int16) % 3)
    counts = ("across", "other_label", "training_images", "within_test", "within_train")
    copies = dict.fromkeys(counts, 0) | {"examples": []}
    mended = {"corrected": 0, "dropped": 0}
    write_json(paths.FLAWS / LIST, {"copies": copies, "mended": mended, "odd": {}})
    none = np.zeros((0, 1, 8, 8), np.uint8)
    write_arrays(paths.FLAWS / PICTURES, copies=none[:, None].repeat(2, 1), odd=none)


def _write_training(model: str, slot: str, seed: int) -> None:
    logits, labels = toy_logits(RIGHT[model][seed % 2], N, seed)
    path = paths.validation_predictions(slot, seed)
    views = {array_name(name): under_views(logits, name) for name in VIEWS}
    write_arrays(path, labels=labels, indices=np.arange(N), **views)
    scores = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    epochs = range(1, 3 + seed)
    rows = ({"epoch": e, "lr": 0.1} | dict.fromkeys(scores, 0.5 + 0.1 * seed) for e in epochs)
    write_csv(paths.history(slot, seed), rows)


def _write_evaluation(
    params: Params, model: str, slot: str, uneven: bool, group: np.ndarray | None
) -> None:
    runs = [toy_logits(RIGHT[model][seed % 2], N, seed, uneven) for seed in params.seeds]
    logits, labels = np.stack([run[0] for run in runs]), runs[0][1]
    scores = [score_logits(of_seed, labels, ece_bins=15) for of_seed in logits]
    intervals = class_intervals(labels, logits.argmax(2), len(CLASSES), group)
    metrics = over_seeds(scores, classes=CLASSES, images=N)
    metrics = over_images(metrics, intervals, classes=CLASSES)
    metrics |= {"parameters": 1234567, "multiply_accumulates": 7654321}
    metrics |= {"lr_halvings": HALVINGS[model] * len(params.seeds)}
    write_json(paths.metrics(slot), metrics)
    write_json(paths.correct(slot), {"model": model})
    mistakes = confident_mistakes(logits, labels, params.evaluation.mistakes)
    write_arrays(
        paths.test_predictions(slot),
        logits=logits,
        labels=labels,
        seeds=np.array(params.seeds),
        classes=np.array(CLASSES),
        **({} if group is None else {"group": group}),
        mistake_images=np.zeros((len(mistakes["index"]), 1, 8, 8), np.uint8),
        **{f"mistake_{name}": values for name, values in mistakes.items()},
    )


def _write_ensemble(params: Params, uneven: bool, group: np.ndarray | None) -> None:
    groups = None if group is None else tuple(group.tolist())
    pool, seeds = tuple(params.pool), tuple(params.seeds)
    selection, ensemble = _ensembles(pool, seeds, params.ensemble, uneven, groups)
    write_json(paths.SELECTION, selection)
    write_json(paths.ENSEMBLE_METRICS, ensemble)
    metrics = {model: read_json(paths.metrics(slot)) for model, slot in params.slots.items()}
    write_json(paths.SUMMARY, summary(params.model, metrics, ensemble))


@cache  # bootstraps take a second
def _ensembles(
    members: tuple[str, ...],
    seeds: tuple[int, ...],
    asked: EnsembleParams,
    uneven: bool,
    image_group: tuple[int, ...] | None,
) -> tuple[dict, dict]:
    """The selected ensembles, and their scores."""
    runs = {m: [toy_logits(RIGHT[m][s % 2], N, s, uneven) for s in seeds] for m in members}
    logits = {m: np.stack([of_seed for of_seed, _ in of]) for m, of in runs.items()}
    labels = runs[members[0]][0][1]
    probabilities = by_training({m: to_probabilities(x) for m, x in logits.items()}, list(seeds))
    groups = {
        group: [training(model, seed) for model in members for seed in of_group]
        for group, of_group in groups_of(list(seeds), asked.seeds).items()
    }
    selection = {
        group: fit_rules(
            names, np.stack([probabilities[name] for name in names]), labels, steps=asked.steps
        )
        for group, names in groups.items()
    }
    ensemble = score_ensembles(
        selection,
        probabilities,
        labels,
        groups=groups,
        rule=asked.counts,
        voting=asked.voting,
        classes=CLASSES,
        ece_bins=15,
        image_group=None if image_group is None else np.array(image_group),
    )
    return selection, ensemble
