"""How many wrong labels are found? Confident learning here and by cleanlab, on flipped labels."""

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.harness import Options, table
from benchmarks.ours import Clock
from benchmarks.task import Task
from thumbnets import runtime
from thumbnets.data import load
from thumbnets.data.arrays import Split
from thumbnets.data.division import stratified_folds
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.methods.base import build_method
from thumbnets.quality.confident import find_label_errors, thresholds
from thumbnets.training.batches import Images
from thumbnets.training.loop import fit

ROUNDS = 1
_SEED = 0
_SHARE = 0.05  # share of labels that are flipped, to any other class with equal probability
_FOLDS = 5
_MODEL = Task("cnn_c", "fashion_mnist").but(epochs=2)

Found = tuple[np.ndarray, np.ndarray]  # indices, the likeliest error first, and suggested classes


def flip(labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels of which a share `_SHARE` is replaced by another class, drawn with `_SEED`."""
    rng = np.random.default_rng(_SEED)
    chosen = rng.choice(len(labels), round(_SHARE * len(labels)), replace=False)
    flipped = labels.copy()
    flipped[chosen] = (labels[chosen] + rng.integers(1, classes, len(chosen))) % classes
    return flipped


def held_out(train: Split, labels: np.ndarray) -> np.ndarray:
    """Probabilities float32 [N, K] of each image from a network trained on the other folds."""
    settings = _MODEL.settings
    runtime.prepare(threads=1, precision=settings.train.precision)
    images, targets = torch.from_numpy(train.images), torch.from_numpy(labels)
    fold = stratified_folds(labels, folds=_FOLDS, seed=_SEED)
    found = np.empty((len(labels), len(train.meta.classes)), np.float32)
    for number in range(_FOLDS):
        out = torch.from_numpy(fold == number)
        learns = Images(images[~out], targets[~out])
        method = build_method(settings, train.meta)
        network, _ = fit(method, learns, None, seed=_SEED, watcher=Clock())
        found[fold == number] = to_probabilities(network.logits(images[out]))
    return found


def ours(probabilities: np.ndarray, labels: np.ndarray) -> Found:
    """Label errors found by `thumbnets.quality`."""
    errors = find_label_errors(probabilities, labels)
    return errors.places, errors.suggested


def cleanlab(filter_by: str) -> Callable[[np.ndarray, np.ndarray], Found]:
    """A function that finds errors by a filter of cleanlab, and suggests the likeliest class."""
    from cleanlab.filter import find_label_issues

    def find(probabilities: np.ndarray, labels: np.ndarray) -> Found:
        places = find_label_issues(
            labels,
            probabilities,
            filter_by=filter_by,
            return_indices_ranked_by="normalized_margin",
            n_jobs=1,
        )
        return places, probabilities[places].argmax(1)

    return find


def mistakes(probabilities: np.ndarray, labels: np.ndarray) -> Found:
    """Every image that the network predicts as another class, the most confident first."""
    predicted = probabilities.argmax(1)
    places = np.flatnonzero(predicted != labels)
    return places[np.argsort(-probabilities[places].max(1), kind="stable")], predicted[places]


def row(name: str, found: Found, given: np.ndarray, true: np.ndarray) -> list[str]:
    """The row of one way, with how many of the flipped labels it finds."""
    places, suggested = found
    flipped = given != true
    hits, first = flipped[places], flipped[places[: flipped.sum()]]
    right = (suggested == true[places])[hits] if name != "mistakes" else None
    return [
        name,
        f"{len(places):,}",
        f"{100 * hits.mean():.1f} %",
        f"{100 * hits.sum() / flipped.sum():.1f} %",
        f"{100 * first.mean():.1f} %",
        "–" if right is None else f"{100 * right.mean():.1f} %",
    ]


def question(options: Options) -> str:
    """The table of all ways, on the same probabilities."""
    from cleanlab.count import compute_confident_joint, get_confident_thresholds

    train = load("fashion_mnist", "train")
    some = slice(options.images if options.quick else None)
    train = Split(train.images[some], train.labels[some], train.meta)
    given = flip(train.labels, len(train.meta.classes))
    probabilities = held_out(train, given)
    ways = {
        "thumbnets": ours,
        "cleanlab, confident_learning": cleanlab("confident_learning"),
        "cleanlab, default": cleanlab("prune_by_noise_rate"),
        "mistakes": mistakes,
    }
    rows = [row(name, way(probabilities, given), given, train.labels) for name, way in ways.items()]
    apart = np.abs(
        get_confident_thresholds(given, probabilities) - thresholds(probabilities, given)
    ).max()
    joint = find_label_errors(probabilities, given).joint
    peer = compute_confident_joint(given, probabilities, calibrate=False)
    accuracy = (probabilities.argmax(1) == train.labels).mean()
    columns = ["", "found", "precision", "recall", "precision of the first", "right class"]
    return (
        "## Wrong labels found\n\n"
        f"{len(given):,} training images of Fashion-MNIST, {100 * _SHARE:.0f} % of the labels "
        f"({(given != train.labels).sum():,}) flipped by seed {_SEED}. Probabilities of "
        f"{_MODEL.model}, {_MODEL.train['epochs']} epochs, {_FOLDS} folds: {100 * accuracy:.1f} % "
        "right by the labels as published, which have errors of their own. Precision of the first: "
        "of as many as were flipped. Right class: of the flipped ones that were found, how often "
        "the suggested class is the published one.\n\n"
        f"{table(columns, rows)}\n\n"
        f"Thresholds differ from cleanlab's by at most {apart:.1g}, the counts of the confident "
        f"joint in {(joint != peer).sum()} of {joint.size} cells."
    )
