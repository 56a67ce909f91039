"""Training the encoders that models begin with."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
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
from thumbnets.store import project_store, training_files, training_inputs, training_key
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.loop import fit
from thumbnets.training.progress import Progress
from thumbnets.training.settings import ModelSettings


def check_probes(probes: Iterable[ModelSettings], seeds: list[int]) -> None:
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


def missing_seeds(block: str, seeds: Iterable[int]) -> list[int]:
    """The seeds whose encoder of a block is not there, or is not up to date."""
    key = _key(block, read_split(paths.TRAIN))
    return [seed for seed in seeds if read_key(paths.encoder(block, seed)) != key]


def pretrain(settings: ModelSettings, seeds: list[int]) -> None:
    """Train the encoder of a block for each seed, unless it is up to date or found by its inputs.

    Args:
        settings: The block.
        seeds: Seeds of the run, one training each.
    """
    store, slot = project_store(), paths.encoder_slot(settings.name)
    for seed in missing_seeds(settings.name, seeds):
        key, files = training_key(slot, seed), training_files(slot, seed)
        work = partial(_train_timed, settings, seed, key, files)
        store.finish(key, files, f"{settings.name}, seed {seed}", work)
    _show(settings, read_split(paths.TRAIN), seeds[0])


def _train_timed(
    settings: ModelSettings, seed: int, key: str, files: Mapping[str, Path]
) -> dict[str, Any]:
    started = time.monotonic()
    train_encoder(settings, seed, key, files)
    return {"machine": runtime.machine(), "seconds": round(time.monotonic() - started, 3)}


def train_encoder(settings: ModelSettings, seed: int, key: str, files: Mapping[str, Path]) -> None:
    """Train an encoder and write its weights and learning curve.

    Args:
        settings: Its block.
        seed: Seed of every generator.
        key: Hash of all inputs of the training: a checkpoint of other inputs is not resumed.
        files: Paths of `weights` and `history`.

    Raises:
        ValueError: The training images are missing, or the loss is no longer finite.
    """
    runtime.prepare(threads=settings.train.threads, precision=settings.train.precision)
    data, device = read_split(paths.TRAIN), runtime.device()
    name = f"{settings.name}, seed {seed}"
    progress = Progress(name)
    checkpoint = Checkpoint(
        paths.checkpoint(key, "encoder"), f"{key} {device.type}", runtime.checkpoint_seconds()
    )
    with runtime.gpu_memory(name):
        images, validation = pretraining_images(data, settings, seed, device)
        classifier, curve = fit(
            build_method(settings, data.meta),
            images,
            validation,
            seed=seed,
            watcher=progress,
            checkpoint=checkpoint,
        )
    progress.close()
    write_csv(files["history"], (row.as_row() for row in curve))
    save_weights(files["weights"], classifier, settings, key=_key(settings.name, data))
    checkpoint.remove()


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


def _key(block: str, data: Split) -> str:
    """What the bytes of an encoder rest on, except its seed: settings, code, images, folds."""
    rests_on = json.dumps(training_inputs(paths.encoder_slot(block)), sort_keys=True).encode()
    return hashlib.sha256(rests_on + data.identity).hexdigest()
