"""The encoders that models begin with: which are missing, and what the report shows of them."""

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from thumbnets import paths, runtime
from thumbnets.artifacts import read_arrays, read_csv, read_json, write_arrays
from thumbnets.data.arrays import read_split
from thumbnets.evaluation.embedding import MAX_IMAGES, embedding
from thumbnets.methods.base import build_method
from thumbnets.methods.weights import load_weights, read_key
from thumbnets.pretraining import train_encoder
from thumbnets.store import project_store, training_files, training_key
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
    """The seeds whose encoder of a block is not there whole, or is not up to date."""
    slot = paths.encoder_slot(block)
    return [seed for seed in seeds if not _is_current(slot, seed)]


def _is_current(slot: str, seed: int) -> bool:
    files = training_files(slot, seed)
    try:
        curve = read_csv(files["history"])
    except (ValueError, OSError):  # missing or damaged
        return False
    return "epoch" in (curve or [{}])[0] and read_key(files["weights"]) == training_key(slot, seed)


def pretrain(settings: ModelSettings, seeds: list[int]) -> None:
    """Train the encoder of a block for each seed, unless it is up to date or found by its inputs.

    Args:
        settings: The block.
        seeds: Seeds of the run, one training each.
    """
    store, slot = project_store(), paths.encoder_slot(settings.name)
    for seed in missing_seeds(settings.name, seeds):
        key = training_key(slot, seed)
        work = partial(train_encoder, settings, seed, key)
        store.finish(key, training_files(slot, seed), f"{settings.name}, seed {seed}", work)
    _show(settings, seeds[0])


def _show(settings: ModelSettings, seed: int) -> None:
    """Write what the report shows of an encoder, unless it is there and up to date."""
    weights, path = paths.encoder(settings.name, seed), paths.embedding(settings.name, seed)
    inputs = read_json(paths.stage_inputs("pretrain"))
    code = json.dumps([inputs["modules"], inputs["libraries"]], sort_keys=True)
    key = hashlib.sha256(weights.read_bytes() + code.encode()).hexdigest()
    if _key_of(path) == key:
        return
    runtime.prepare(threads=settings.train.threads)
    data = read_split(paths.TRAIN)
    validating = np.flatnonzero(settings.validates(data.fold, seed))
    # Spread over all of them, since a user's own images are sorted by class.
    places = np.linspace(0, len(validating) - 1, min(len(validating), MAX_IMAGES)).astype(int)
    chosen = validating[places]
    images, labels = np.ascontiguousarray(data.images[chosen]), data.labels[chosen]
    features = load_weights(weights, runtime.device()).logits(torch.from_numpy(images))
    write_arrays(path, key=np.array(key), **embedding(features, images, labels))


def _key_of(path: Path) -> str | None:
    """The key that a map was written with; None if there is none, or it is damaged."""
    try:
        return str(read_arrays(path)["key"])
    except (ValueError, OSError, LookupError):  # it is written again
        return None
