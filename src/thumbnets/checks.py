"""Checks that refuse an impossible run of params.yaml before the first stage starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thumbnets import paths
from thumbnets.registry import METHODS, NETWORKS, MethodMetadata, unknown
from thumbnets.training.settings import ModelSettings
from thumbnets.zoo import encoder_of, trains_encoder

if TYPE_CHECKING:
    from thumbnets.params import Params

# Beyond any machine or patience: larger values would end in a traceback, or never.
_GREATEST = {"epochs": 100_000, "batch_size": 1_000_000, "threads": 256}


def check_run(params: "Params") -> None:
    """Refuse a run that could not be carried out, or whose models can't be compared.

    Raises:
        ValueError: The run is refused; one line names the key and says what to do.
    """
    for key, names in {"model": [params.model], "pool": params.pool}.items():
        for name in names:
            if name not in params.models:
                raise ValueError(f"{key}: {unknown('model', name, params.models)}")
    _check_default(params)
    for name in params.settings:  # which checks every block
        _check_extent(params, name)
    for name in params.run:
        _check_classifies(params, name)
    for name in [*params.run, *params.encoders]:
        _check_fit(params, name)
    _check_examples(params)


def _check_default(params: "Params") -> None:
    """Refuse a default method that only some blocks can have.

    Raises:
        ValueError: It trains an encoder, or begins with one.
    """
    name = params.train.method.name
    if METHODS[name].metadata.pretrains or "encoder" in METHODS[name].parameters:
        raise ValueError(
            f"train.method can't be {name}, which is not for all models: set it in a block of "
            "`models`."
        )


def _check_extent(params: "Params", name: str) -> None:
    """Refuse settings beyond `_GREATEST`, before the first block trains.

    Raises:
        ValueError: A setting of the block is too large.
    """
    for key, most in _GREATEST.items():
        if getattr(params.settings[name].train, key) > most:
            raise ValueError(f"models.{name}: {key} must be at most {most:,}.")


def _metadata(settings: ModelSettings) -> MethodMetadata:
    """Metadata of the method of a block."""
    return METHODS[settings.train.method.name].metadata


def _check_examples(params: "Params") -> None:
    """Refuse a run whose models are judged on different examples, which can't be compared.

    Raises:
        ValueError: The run has models of images and of bags, or of different bags.
    """
    drawn: dict[str, dict[str, Any]] = {}
    for name in params.run:
        metadata, options = (
            _metadata(params.settings[name]),
            params.settings[name].train.method.options,
        )
        drawn[name] = {key: options[key] for key in metadata.examples}
    kinds: dict[str, list[str]] = {}
    for name, options in drawn.items():
        differ = [k for k in options if any(o[k] != options[k] for o in drawn.values() if k in o)]
        which = ", ".join(f"{key} {options[key]}" for key in differ)
        kind = f"{_metadata(params.settings[name]).example}s{which and f' ({which})'}"
        kinds.setdefault(kind, []).append(name)
    if len(kinds) > 1:
        found = "; ".join(f"{', '.join(names)}: {kind}" for kind, names in kinds.items())
        alike = next(names for names in kinds.values() if params.model in names)
        hint = ",".join(alike)
        raise ValueError(
            f"model and pool must be judged on the same examples, but are on different ones: "
            f"{found}. Set them to blocks of one kind, as with -S 'pool=[{hint}]'."
        )
    if params.data.group and params.example != "image":
        raise ValueError(
            f"data.group must be null for {params.example}s, which are drawn from all images alike."
        )
    if params.ensemble.teach and params.example != "image":
        raise ValueError(
            f"ensemble.teach must be null: distillation from {params.example} models is not "
            "supported."
        )


def _check_classifies(params: "Params", name: str) -> None:
    """Refuse a block of the run that trains an encoder alone.

    Raises:
        ValueError: It does; the message names blocks that begin with it.
    """
    if trains_encoder(params.models[name]):
        begin = [other for other, block in params.models.items() if encoder_of(block) == name]
        raise ValueError(
            f"models.{name} trains an encoder, which predicts no classes: run a block that begins "
            f"with it ({', '.join(begin) or 'there is none yet'})."
        )


def _check_fit(params: "Params", name: str) -> None:
    """Refuse settings of a block that do not fit its images; checked for blocks of the run only.

    Raises:
        ValueError: A length in pixels, or the number of class weights, is not that of the images,
            or the method does not support a setting.
    """
    try:
        params.settings[name].train.check_method()
    except ValueError as error:
        raise ValueError(f"models.{name}: {error}") from None
    train, side, classes = params.settings[name].train, params.data.image_size, params.data.classes
    _check_size(params, name)
    target, weights = _number(train.method.options, "target"), train.class_weights
    if classes and target >= classes:
        raise ValueError(
            f"models.{name}.method.target must be the number of a class, 0 to {classes - 1}, "
            f"got {target}."
        )
    classes = _metadata(params.settings[name]).classes or classes
    if isinstance(weights, list) and classes and len(weights) != classes:
        raise ValueError(
            f"models.{name}: class_weights must have {classes} weights, one per class, got "
            f"{len(weights)}."
        )
    if train.refit and train.method.options.get("labels") is not None:
        raise ValueError(
            f"models.{name}: refit must be false with method.labels: it would draw other images to "
            "label than those that were validated."
        )
    for choice in train.augment:
        if _number(choice.options, "radius") >= side:
            raise ValueError(
                f"models.{name}: radius of {choice.name} must be less than the image's {side}, got "
                f"{choice.options['radius']}."
            )
        for key in ("pixels", "size", "translate"):
            if _number(choice.options, key) > side:
                raise ValueError(
                    f"models.{name}: {key} of {choice.name} must be at most the image's {side}."
                )
    for key, (path, _) in params.settings[name].files.items():
        if not _inside(path, paths.PRETRAINED):
            raise ValueError(
                f"models.{name}.{key} must be a file in {paths.PRETRAINED}/, where DVC sees it "
                f"change (put a copy or a link there), got '{path}'."
            )
    if train.weights == "imagenet":
        if train.patches or _metadata(params.settings[name]).example != "image":
            raise ValueError(
                f"models.{name}: weights: imagenet are of whole images, not of patches or bags: "
                "leave them out."
            )
        _check_published(name, params.settings[name].arch)
    if train.patches and side % train.patches.size:
        raise ValueError(
            f"models.{name}.patches.size must divide the image's {side} pixels, "
            f"got {train.patches.size}."
        )


def _number(options: Mapping[str, Any], key: str) -> float:
    """An option, if it is a number; else 0, since one of the user's own may be anything."""
    value = options.get(key, 0)
    return value if isinstance(value, int | float) else 0


def _check_size(params: "Params", name: str) -> None:
    """Refuse images larger than the network declares that it takes.

    Raises:
        ValueError: They are larger.
    """
    settings, side = params.settings[name], params.data.image_size
    patches = settings.train.patches
    seen = patches.size if patches and patches.mode == "shared" else side
    most = NETWORKS[settings.arch].metadata.largest_image or seen
    if seen > most:
        remedy = "; set data.size, or leave the block out" if params.data.own else ""
        raise ValueError(
            f"models.{name}: {settings.arch} takes images of at most {most} pixels, "
            f"got {seen}{remedy}."
        )


def _check_published(name: str, arch: str) -> None:
    """Refuse a network without published weights.

    Raises:
        ValueError: There are none.
    """
    from thumbnets.training.imagenet import published  # here, since torchvision takes seconds

    try:
        published(arch)
    except ValueError as error:
        raise ValueError(f"models.{name}: {error}") from None


def _inside(path: Path, folder: Path) -> bool:
    return path.parent.is_relative_to(folder) and ".." not in path.parts
