"""Blocks of params: separating training settings from options of the network."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from thumbnets.choices import check_options, explain
from thumbnets.messages import listed, quote
from thumbnets.registry import METHODS, NETWORKS, Entry, unknown
from thumbnets.training.settings import ModelSettings, TrainSettings

_KEYS = {"arch", "base", *TrainSettings.model_fields}  # of a block, besides its network's options
_TAKEN = {*_KEYS, "name"}  # by blocks, and by what builds networks by their name


def settings_of(
    name: str, block: Mapping[str, Any], train: Mapping[str, Any], *, rotate: bool, where: str
) -> ModelSettings:
    """The settings of a block: training settings, separated from options of its network.

    Args:
        name: Name of the block.
        block: `arch`, options of the network, and keys of `train`.
        train: Training settings where the block sets none.
        rotate: Whether the fold that validates depends on the seed.
        where: Name of the block in messages.

    Raises:
        ValueError: The block names an unknown network or key, or has a bad value.
    """
    if "arch" not in block:
        raise ValueError(
            f"{where} names no network: to its keys {', '.join(block) or '(none)'} add arch, "
            f"one of {listed(NETWORKS.entries)} (`thumbnets models`), or torchvision/NAME."
        )
    if not isinstance(block["arch"], str):
        raise ValueError(
            f"{where}.arch must be one of {listed(NETWORKS.entries)}, got {quote(block['arch'])}."
        )
    try:
        arch = NETWORKS[block["arch"]]
        option_names = options_of(arch.name)
        if taken := sorted(option_names & _TAKEN):
            raise ValueError(
                f"network {arch.name!r} has an option {taken[0]}, which has another meaning in "
                f"blocks: rename it in {arch.module}."
            )
        training = {key: block[key] for key in block if key in TrainSettings.model_fields}
        options = {key: block[key] for key in block if key in option_names}
        for key in block.keys() - training.keys() - options.keys() - {"arch"}:
            known = sorted(_KEYS - {key}) + sorted(option_names)  # bases are resolved before
            raise ValueError(unknown("key", key, known))
        settings = ModelSettings(
            name=name,
            arch=arch.name,
            options=check_options(NETWORKS, arch.name, options),
            train=TrainSettings.model_validate({**train, **training}),
            rotate=rotate,
        )
        _check_method(METHODS[settings.train.method.name])
        return settings
    except ValidationError as error:
        raise ValueError(explain(error, TrainSettings, where)) from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _check_method(method: Entry) -> None:
    """Refuse a method whose metadata name keys that `train` has not.

    Raises:
        ValueError: They do.
    """
    for key in (*method.metadata.excludes, *method.metadata.refuses):
        if key not in TrainSettings.model_fields:
            known = unknown("key of train", key, TrainSettings.model_fields)
            raise ValueError(f"method {method.name!r} in {method.module}: {known}")


def options_of(arch: Any) -> set[str]:
    """Names of a network's options; empty if `arch` is not a network."""
    if not isinstance(arch, str) or arch not in NETWORKS:
        return set()
    return NETWORKS[arch].parameters.keys() - set(NETWORKS.given)
