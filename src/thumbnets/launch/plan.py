"""Which trainings are to be done, how long they will take, and which share a job."""

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from thumbnets import paths
from thumbnets.artifacts import write_json
from thumbnets.launch.base import Bundle, Training
from thumbnets.params import Params
from thumbnets.processes import environment, run_to_end
from thumbnets.store import Store, note_encoder, training_key

_DVC = [sys.executable, "-m", "dvc"]
_JOB_SECONDS = 180  # a job takes minutes, so that a cluster's overhead per job is small


def missing_encoders(params: Params, store: Store) -> list[Training]:
    """What stage `pretrain` would have to train or take; brings images up to date.

    Args:
        params: Params of the run.
        store: Store that knows how long trainings took; it may have some of them.

    Raises:
        ValueError: DVC failed; it has printed why. Or a probe could not be trained.
    """
    if not params.encoders:
        return []
    _repro("preprocess")
    from thumbnets.encoders import check_probes, missing_seeds  # imports torch: takes seconds

    blocks = (params.settings[name] for name in params.run)
    check_probes((block for block in blocks if block.encoder), params.seeds)
    found = []
    for name in params.encoders:
        slot, epochs = paths.encoder_slot(name), params.settings[name].train.epochs
        for seed in missing_seeds(name, params.seeds):
            training = Training(slot, seed, training_key(slot, seed), name, epochs)
            found.append(with_seconds(training, store))
    return found


def _repro(stage: str) -> None:
    """Bring a stage up to date, and all before it.

    Raises:
        ValueError: DVC failed; it has printed why.
    """
    if run_to_end([*_DVC, "repro", stage], env=environment()):
        raise ValueError("Images or encoders could not be prepared: see above.")


def missing_trainings(params: Params, store: Store, *, encoders: bool = True) -> list[Training]:
    """What `dvc repro` would have to train or take; brings images up to date.

    Args:
        params: Params of the run.
        store: Store that knows how long trainings took.
        encoders: Whether to bring encoders up to date too; if not, images are up to date, and
            trainings that begin with an encoder are left out.

    Returns:
        Each training once, even if the headline is in the pool; the store may have some of them.

    Raises:
        ValueError: DVC failed; it has printed why.
    """
    if encoders:
        _repro("pretrain")
    status = [*_DVC, "status", "--json", "train", "train-headline"]
    done = subprocess.run(status, stdout=subprocess.PIPE, text=True, env=environment())
    if done.returncode:
        raise ValueError("`dvc status` failed: see above.")
    found: dict[str, Training] = {}
    for name in json.loads(done.stdout):
        slot, seed = name.split("@")[1].rsplit("-", 1)
        settings = params.settings[params.block_of(slot)]
        if not encoders:
            if settings.encoder:
                continue
            note_encoder(slot, int(seed), None)  # as stage `pretrain` will
        key, epochs = training_key(slot, int(seed)), settings.train.epochs
        epochs *= 1 + settings.train.refit
        training = Training(slot, int(seed), key, params.block_of(slot), epochs)
        found.setdefault(key, with_seconds(training, store))
    return list(found.values())


def with_seconds(training: Training, store: Store) -> Training:
    """A training with its estimated time, from the last training of its block."""
    about = store.about(training.key)
    seconds = about.get("seconds")
    if seconds is None:
        per_epoch = _read_seconds(store).get(training.name)
        seconds = None if per_epoch is None else per_epoch * training.epochs
    return Training(**{**vars(training), "seconds": seconds})


def note_seconds(trainings: Iterable[Training], store: Store) -> None:
    """Store seconds per epoch of finished trainings, by block, for later plans on such a device."""
    known = _read_seconds(store)
    before, of_device = dict(known), Store(store.cache, store.device)
    for training in trainings:
        if seconds := of_device.about(training.key).get("seconds"):
            known[training.name] = seconds / training.epochs
    if store.cache is not None and known != before:
        write_json(_seconds_file(store), known)


def bundled(trainings: Sequence[Training], jobs: int, bundle: int | None) -> list[Bundle]:
    """Divide trainings into jobs.

    Args:
        trainings: Trainings in the order of the run.
        jobs: Number of jobs at once; there are at least that many if there are enough trainings.
        bundle: Trainings per job; None: as many as take minutes, according to known times.
    """
    most = bundle or max(1, len(trainings) // max(1, jobs))
    bundles: list[list[Training]] = []
    for training in trainings:
        last = bundles[-1] if bundles else []
        seconds = math.fsum(_seconds(one) for one in [*last, training])
        if last and len(last) < most and (bundle or seconds <= _JOB_SECONDS):
            last.append(training)
        else:
            bundles.append([training])
    return [tuple(one) for one in bundles]


def device_hours(trainings: Iterable[Training], each: float) -> tuple[float, int]:
    """Estimated hours of one core or GPU, and the number of trainings of unknown length.

    Args:
        trainings: Trainings to sum up.
        each: Cores or GPUs of one training.
    """
    seconds = [training.seconds for training in trainings]
    known = [one for one in seconds if one is not None]
    return math.fsum(known) * each / 3600, len(seconds) - len(known)


def _seconds(training: Training) -> float:
    return math.inf if training.seconds is None else training.seconds


def _seconds_file(store: Store) -> Path:
    device = "" if store.device == "cpu" else f"-{store.device}"
    return store.cache / "finished" / f"seconds{device}.json"


def _read_seconds(store: Store) -> dict[str, float]:
    """Seconds per epoch by block; empty if nothing is known or the file is damaged."""
    if store.cache is None:
        return {}
    try:
        found = json.loads(_seconds_file(store).read_text(encoding="utf-8"))
        return {name: float(seconds) for name, seconds in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
