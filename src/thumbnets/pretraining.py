"""Training the encoders that models begin with."""

import hashlib
import json
from typing import Any

import numpy as np
import torch

from thumbnets import paths, runtime
from thumbnets.artifacts import read_arrays, read_json, write_arrays, write_csv
from thumbnets.data.arrays import Split, read_split
from thumbnets.evaluation.embedding import MAX_IMAGES, embedding
from thumbnets.methods.base import build_method
from thumbnets.methods.simclr import pretraining_images
from thumbnets.methods.weights import load_weights, read_key, save_weights
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.loop import fit
from thumbnets.training.progress import Progress
from thumbnets.training.settings import ModelSettings


def check_probes(probes: list[ModelSettings], seeds: list[int]) -> None:
    """Refuse probes that could not be trained, before their encoders are trained.

    Args:
        probes: Blocks whose method is `probe`.
        seeds: Seeds of the run, one training each.

    Raises:
        ValueError: A setting makes no sense for its kind, or there are too few labels.
    """
    data = read_split(paths.TRAIN)
    for settings in probes:
        probe = build_method(settings, data.meta)
        for seed in seeds:
            probe.chosen(data.labels[~settings.validates(data.fold, seed)], seed)


def pretrain(settings: ModelSettings, seeds: list[int], code: dict[str, Any]) -> None:
    """Train the encoder of a block for each seed, unless it is there and up to date.

    The checkpoint of a finished training stays: if DVC removes the encoder (another run, another
    commit), the next run that needs it gets it at once.

    Args:
        settings: The block.
        seeds: Seeds of the run, one training each.
        code: Inputs of the training besides the images, from stage `code`.
    """
    data = read_split(paths.TRAIN)
    key = _key(code, data)
    missing = [seed for seed in seeds if read_key(paths.encoder(settings.name, seed)) != key]
    for seed in missing:
        with runtime.gpu_memory(f"{settings.name}, seed {seed}"):
            _train(settings, data, seed, key)
    _show(settings, data, seeds[0])


def _train(settings: ModelSettings, data: Split, seed: int, key: str) -> None:
    runtime.prepare(threads=settings.train.threads, precision=settings.train.precision)
    device = runtime.device()
    images, validation = pretraining_images(data, settings, seed, device)
    progress = Progress(f"{settings.name}, seed {seed}")
    classifier, curve = fit(
        build_method(settings, data.meta),
        images,
        validation,
        seed=seed,
        watcher=progress,
        checkpoint=Checkpoint(
            paths.checkpoint(f"{settings.name}-{seed}", "encoder"),
            f"{key} {device.type}",
            runtime.checkpoint_seconds(),
        ),
    )
    progress.close()
    weights = paths.encoder(settings.name, seed)
    write_csv(weights.with_suffix(".csv"), (row.as_row() for row in curve))
    save_weights(weights, classifier, settings, key=key)


def _show(settings: ModelSettings, data: Split, seed: int) -> None:
    """Write what the report shows of an encoder, unless it is there and up to date."""
    weights, path = paths.encoder(settings.name, seed), paths.embedding(settings.name, seed)
    inputs = read_json(paths.stage_inputs("pretrain"))
    code = json.dumps([inputs["modules"], inputs["libraries"]], sort_keys=True)
    key = hashlib.sha256(weights.read_bytes() + code.encode()).hexdigest()
    if path.exists() and str(read_arrays(path)["key"]) == key:
        return
    runtime.prepare(threads=settings.train.threads)
    validating = np.flatnonzero(settings.validates(data.fold, seed))
    # Spread over all of them, since a user's own images are sorted by class.
    places = np.linspace(0, len(validating) - 1, min(len(validating), MAX_IMAGES)).astype(int)
    chosen = validating[places]
    images, labels = np.ascontiguousarray(data.images[chosen]), data.labels[chosen]
    features = load_weights(weights, runtime.device()).logits(torch.from_numpy(images))
    write_arrays(path, key=np.array(key), **embedding(features, images, labels))


def _key(code: dict[str, Any], data: Split) -> str:
    """All that the trained bytes rest on, but for the seed: settings, code, images and folds."""
    rests_on = json.dumps(code, sort_keys=True).encode()
    return hashlib.sha256(rests_on + data.identity).hexdigest()
