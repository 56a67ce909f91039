"""Costs of the networks of a run: counted where torch is loaded anyway, looked up by the report.

Stage `evaluate` counts and stores; importing torch for that alone would be half of stage `report`.
"""

import json
from functools import partial
from typing import Any

from thumbnets import paths
from thumbnets.artifacts import read_json
from thumbnets.data.arrays import Meta
from thumbnets.store import key_of, project_store
from thumbnets.training.settings import ModelSettings

COUNTED_BY = (
    "thumbnets.evaluation.cost",
    "thumbnets.evaluation.receptive_field",
    "thumbnets.evaluation.trace",
)


def cost_of_image(stage: str, slot: str, settings: ModelSettings, meta: Meta) -> dict[str, Any]:
    """The cost of a network for one image, as `Description.as_dict` has it; counted only once.

    Args:
        stage: Name of the stage that asks.
        slot: Name under which the files of the block lie.
        settings: Settings of the block.
        meta: Shape and classes of the images.
    """
    return project_store().remember(
        "costs", _key(stage, slot, meta), partial(_count, settings, meta)
    )


def _key(stage: str, slot: str, meta: Meta) -> str:
    """Hash of all that a count depends on: settings, shape of the images, and code."""
    modules = read_json(paths.stage_inputs(stage))["modules"]
    counts = [modules[name] for name in COUNTED_BY]
    shape = json.dumps([meta.shape, meta.classes])
    return key_of("cost", shape, *counts, paths.training_inputs(slot))


def _count(settings: ModelSettings, meta: Meta) -> dict[str, Any]:
    from thumbnets.evaluation.cost import describe  # torch takes seconds
    from thumbnets.methods.base import build_method

    network = build_method(settings, meta).network()
    return describe(network, (meta.channels, meta.image_size, meta.image_size)).as_dict()
