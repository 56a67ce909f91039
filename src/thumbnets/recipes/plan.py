"""What a recipe would train, and how much of that is already finished."""

import contextlib
from dataclasses import dataclass

from thumbnets import paths
from thumbnets.params import Params
from thumbnets.recipes.recipe import RecipeFile
from thumbnets.recipes.run import prepared, workspace_of
from thumbnets.recipes.workspace import committed, workspace
from thumbnets.store import Store, note_encoder, project_store, training_key


@dataclass(frozen=True)
class Planned:
    """One training of a recipe.

    Attributes:
        model: Its block, of a model or of an encoder.
        seed: Seed of the training.
        cached: Whether it is finished; None if that is known only when its encoder is trained.
    """

    model: str
    seed: int
    cached: bool | None


@dataclass(frozen=True)
class Plan:
    """All trainings of a recipe.

    Attributes:
        trainings: Model by model, after the encoders that they begin with.
        core_hours: Estimated hours that the rest takes on one core; None if unknown.
    """

    trainings: list[Planned]
    core_hours: float | None

    @property
    def left(self) -> int:
        """Number of trainings that are still to be done."""
        return sum(training.cached is not True for training in self.trainings)


def planned(file: RecipeFile, seeds: list[int] | None, device: str | None = None) -> Plan:
    """Find out what a run of a recipe would train; brings data, but nothing else, up to date.

    Args:
        file: The recipe.
        seeds: Seeds in place of those of the recipe, or None.
        device: Device type of the machines that are to train; None: that of this machine.

    Raises:
        ValueError: As `run_recipe`.
    """
    content, params = prepared(file, seeds)
    with workspace(workspace_of(file), committed(file.root), file.root) as place:
        place.write_params(content)
        place.run("dvc", "repro", "--quiet", "preprocess")
        with contextlib.chdir(place.folder):
            store = project_store(device)
            trainings = [
                Planned(name, seed, _is_cached(params, name, seed, store))
                for name in [*params.encoders, *params.run]
                for seed in params.seeds
            ]
        if place.new:
            place.remove()
    share = sum(one.cached is not True for one in trainings) / len(trainings)
    hours = file.recipe.core_hours
    of_these = len(params.seeds) / len(file.recipe.seeds)
    return Plan(trainings, None if hours is None else hours * share * of_these)


def _is_cached(params: Params, name: str, seed: int, store: Store) -> bool | None:
    """Whether a model or an encoder is trained; None for a model whose encoder is not."""
    if name in params.encoders:
        return store.has(training_key(paths.encoder_slot(name), seed))
    slot, encoder = params.slots[name], params.settings[name].encoder
    checksum = None
    if encoder:
        key = training_key(paths.encoder_slot(encoder), seed)
        checksum = store.sha256_of(key, "weights")
        if checksum is None:
            return None
    note_encoder(slot, seed, encoder, checksum)  # as stage `pretrain` will
    return store.has(training_key(slot, seed))
