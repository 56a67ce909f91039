"""Checks of a run before anything is trained: folds, imports, networks, and memory for them.

Importing torch takes longer than all other checks, so what the trial of a block finds is kept in
DVC's cache under a key of all that it depends on: torch is imported only for what is new.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from thumbnets import paths, registry, runtime
from thumbnets.data.arrays import read_meta
from thumbnets.data.datasets import OwnImages, get_dataset
from thumbnets.inputs import training_inputs
from thumbnets.modules import beside
from thumbnets.params import Params
from thumbnets.store import key_of, project_store
from thumbnets.training.settings import ModelSettings
from thumbnets.trial import Extent, measure

_GIB = 2**30
# Keys of `train` that only scale a step: a new value, as most experiments have, needs no trial.
_UNTRIED = ("lr", "weight_decay")
# Of images of the user's own, before they are read.
_GUESSED = {"in_channels": 3, "num_classes": 2, "guessed": True}


def check_feasible(params: Params, inputs: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Refuse a run with a network that can't be built, learn as its block says, or fit into memory.

    Args:
        params: Params of the run, checked.
        inputs: By the name of a block, what its training depends on, as far as it is known.

    Raises:
        ValueError: The run is refused; one line names the block and says what to do.
    """
    _check_folds(params)
    shape, store = _shape(params), project_store()
    for name in [*params.run, *params.encoders]:
        settings = params.settings[name]
        rests_on = (inputs or {}).get(name) or training_inputs(params, name)
        _check_imports(name, rests_on.get("modules", ()))
        if settings.encoder:  # its network is that of the encoder, which is checked
            continue
        key = key_of("feasible", json.dumps([shape, _tried(rests_on)], sort_keys=True))
        find = partial(_measured, settings, shape)
        extent = Extent(**store.remember("feasible", key, find))
        needed, memory = extent.bytes(settings), runtime.host_memory()
        if memory is not None and needed > memory:
            raise ValueError(
                f"models.{name}: a training of {settings.arch} takes at least "
                f"{needed / _GIB:,.1f} GiB ({extent.parameters:,} parameters, batch_size "
                f"{settings.train.batch_size:,}), but this machine has {memory / _GIB:,.1f}: "
                "choose a smaller network or batch, or set $THUMBNETS_MEMORY to the GiB of memory "
                "of the machine that trains."
            )


def _tried(rests_on: Mapping[str, Any]) -> dict[str, Any]:
    """What the trial of a block rests on: what its training does, except `_UNTRIED`."""
    settings = rests_on["settings"]
    train = {key: value for key, value in settings["train"].items() if key not in _UNTRIED}
    return {**rests_on, "settings": {**settings, "train": train}}


def _check_imports(name: str, modules: Iterable[str]) -> None:
    """Refuse code of a block that DVC does not watch, so that edits would retrain nothing.

    Raises:
        ValueError: A module imports a file of the project that is not in src/thumbnets/.
    """
    package = paths.SOURCE / registry.PACKAGE.name
    for file, imported in beside(modules, paths.SOURCE, package):
        raise ValueError(
            f"models.{name}: {file} imports {imported}, whose edits would retrain nothing: move it "
            f"into {package}/."
        )


def _check_folds(params: Params) -> None:
    """Refuse more folds than a class has images, if the images were processed before.

    Raises:
        ValueError: There are more.
    """
    if params.data.own:  # `preprocess` takes fewer folds where a class is rare
        return
    try:
        meta = read_meta(paths.TRAIN / "meta.json")
    except ValueError:  # none, or damaged: `preprocess` writes it
        return
    least, name = min(zip(meta.counts, meta.classes, strict=False), default=(0, ""))
    if meta.dataset == params.data.name and 0 < least < params.split.folds:
        raise ValueError(
            f"split.folds is {params.split.folds}, but class {name} of {meta.dataset} has only "
            f"{least} training images: use fewer folds."
        )


def _shape(params: Params) -> dict[str, int]:
    """Channels, side in pixels and classes of the images, and whether some of it is guessed."""
    dataset = get_dataset(params.data.name)
    shape = _GUESSED if isinstance(dataset, OwnImages) else dataset.shape
    return {**shape, "image_size": params.data.image_size}


def _measured(settings: ModelSettings, shape: Mapping[str, int]) -> dict[str, int]:
    return asdict(measure(settings, **shape))
