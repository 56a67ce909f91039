"""What stages and trainings depend on besides data: build/inputs, written by stage `code`.

A stage reads its params from there and from nowhere else, so that what it uses is what makes it
stale. And DVC compares these files by content: among params of its own, its run-cache would miss a
change of a key that is called `size`.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter

from thumbnets import paths
from thumbnets.artifacts import read_json, sha256
from thumbnets.fingerprint import Fingerprint, fingerprint
from thumbnets.modules import files_of
from thumbnets.params import Params
from thumbnets.registry import AUGMENTATIONS, METHODS, NETWORKS, Entry
from thumbnets.training.settings import ModelSettings

# The params that each stage reads. `train` and `pretrain` are missing: they get blocks instead.
READS = {
    "download": ["data"],
    "preprocess": ["data", "split.folds", "split.seed", "train.augment"],
    "evaluate": ["evaluation", "seeds"],
    "ensemble_select": [
        *("pool", "seeds", "evaluation.tta"),
        *("ensemble.objective", "ensemble.seeds", "ensemble.steps"),
    ],
    "teach": [
        *("pool", "seeds", "train.threads"),
        *("ensemble.objective", "ensemble.rule", "ensemble.seeds", "ensemble.teach"),
    ],
    "evaluate_ensemble": ["model", "pool", "seeds", "ensemble", "evaluation.ece_bins"],
    "report": [
        *("model", "pool", "seeds", "data", "split", "train", "models"),
        *("ensemble", "evaluation", "report"),
    ],
}

# Modules that only images of the user's own need.
_OF_OWN_IMAGES = ("thumbnets.data.few", "thumbnets.data.folder")


def stage_params(stage: str) -> Params:
    """The params that a stage reads; others are missing.

    Raises:
        ValueError: Stage `code` has not run.
    """
    return _typed(Params, read_json(paths.stage_inputs(stage))["params"])


def stage_inputs(params: Params, stage: str) -> dict[str, Any]:
    """What a stage depends on.

    Args:
        params: Params of the run.
        stage: Name of the stage's script.

    Returns:
        `params`: the values that it reads; its code: see `fingerprint`. `download` may have
        `weights`: networks whose published weights blocks of the run begin with. `preprocess` may
        have `files`: the checksum of the corrections. `report` has `templates`: their checksums.
        `pretrain` has `encoders`: what the training of each depends on; `probes`: settings of the
        blocks that begin with one; `begins`: by slot, its encoder or null.
    """
    code = stage_code(params, stage, paths.SOURCE)
    if stage == "pretrain":
        return {
            **code,
            "params": {"seeds": params.seeds},
            "encoders": {name: training_inputs(params, name) for name in params.encoders},
            "probes": [
                params.settings[name].model_dump()
                for name in params.run
                if params.settings[name].encoder
            ],
            "begins": {slot: block.encoder for slot, block in params.slot_settings.items()},
        }
    written = params.model_dump()
    written["models"] = {name: params.models[name] for name in [*params.run, *params.encoders]}
    content = {**code, "params": _subset(written, READS[stage])}
    if stage == "download" and (networks := params.published_weights):
        content["weights"] = networks
    if stage == "preprocess" and params.data.corrections:
        content["files"] = {"data.corrections": sha256(Path(params.data.corrections))}
    if stage == "report":
        content["templates"] = {path.name: sha256(path) for path in _templates()}
    return content


def training_inputs(params: Params, name: str) -> dict[str, Any]:
    """What the training of a block depends on: settings, a fingerprint of its code, files it reads.

    Args:
        params: Params of the run.
        name: Name of the block.

    Raises:
        ValueError: A file that the block names is missing.
    """
    settings = params.settings[name]
    return {
        **training_code(settings, paths.SOURCE),
        "settings": settings.model_dump(),
        "files": {
            key: _checksum(path, f"models.{name}.{key}", remedy)
            for key, (path, remedy) in settings.files.items()
        },
    }


def overridden(params: Params) -> list[str]:
    """Sentences on keys of `train` that changed since the last run, but that blocks set themselves.

    Args:
        params: Params of the run.
    """
    last = paths.stage_inputs("report")
    before = read_json(last)["params"]["train"] if last.is_file() else {}
    sentences = []
    for key, value in params.train.model_dump().items():
        blocks = [name for name in params.run if key in params.models[name]]
        if key in before and before[key] != value and blocks:
            whose = "for no model" if blocks == params.run else f"not for {', '.join(blocks)}"
            sentences.append(
                f"train.{key} has changed, but {whose} of the run: set "
                f"models.NAME.{key}, since blocks win over train."
            )
    return sentences


def training_code(settings: ModelSettings, source: Path) -> Fingerprint:
    """The code of the training of a block: what trains it, and what the block names.

    Args:
        settings: The block.
        source: Folder of the package, from the working folder.
    """
    return fingerprint(
        _roots_of_training(settings, source),
        source,
        paths.REQUIREMENTS,
        entries=_entries(settings),
    )


def stage_code(params: Params, stage: str, source: Path) -> Fingerprint:
    """The code of a stage: its script, and what it finds by a name in the params.

    Args:
        params: Params of the run.
        stage: Name of the stage's script.
        source: As for `training_code`.
    """
    roots, entries = [paths.STAGES / f"{stage}.py"], []
    if stage == "preprocess":  # it shows what the augmentation does
        entries = [choice.name for choice in params.train.augment]
        roots += _files((AUGMENTATIONS[name] for name in entries), source)
    if stage == "report":  # it counts what the networks cost
        for name in params.run:
            roots += _roots_of_training(params.settings[name], source)
            entries += _entries(params.settings[name])
    unused = () if params.data.own else _OF_OWN_IMAGES
    return fingerprint(roots, source, paths.REQUIREMENTS, entries=set(entries), unused=unused)


def _roots_of_training(settings: ModelSettings, source: Path) -> list[Path]:
    train = settings.train
    if METHODS[train.method.name].metadata.pretrains:
        begins = source / "thumbnets" / "pretraining.py"
    else:
        begins = paths.STAGES / "train.py"
    augmentations = [AUGMENTATIONS[choice.name] for choice in train.augment]
    named = [NETWORKS[settings.arch], METHODS[train.method.name], *augmentations]
    # Options may name further ones, as a network of which another is made.
    options = [NETWORKS.entries.get(name) for name in _strings(settings.options)]
    options += (METHODS.entries.get(name) for name in _strings(train.method.options))
    return [begins, *_files([*named, *filter(None, options)], source)]


def _entries(settings: ModelSettings) -> list[str]:
    """Names of all entries of registries that a block chooses."""
    return [name.partition("/")[0] for name in set(_strings(settings.model_dump()))]


def _strings(value: Any) -> Iterator[str]:
    """All strings in a value of params."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(one)


def _templates() -> list[Path]:
    """Files of the report that are not code."""
    folder = paths.SOURCE / "thumbnets" / "report"
    return sorted(path for path in folder.iterdir() if path.suffix in (".j2", ".css", ".toml"))


def _files(entries: Iterable[Entry], source: Path) -> list[Path]:
    return [files_of(entry.module, source)[-1] for entry in entries]


def _checksum(path: Path, where: str, remedy: str) -> str:
    if not path.is_file():
        raise ValueError(f"{where}: {path} is missing: {remedy}.")
    return sha256(path)


def _subset(content: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
    """A map with only these keys; `a.b` is key b of the map a."""
    chosen: dict[str, Any] = {}
    for key in keys:
        *parents, last = key.split(".")
        source, target = content, chosen
        for parent in parents:
            source, target = source[parent], target.setdefault(parent, {})
        target[last] = source[last]
    return chosen


def _typed(model: type[BaseModel], content: Mapping[str, Any]) -> Any:
    """An instance with only the fields that `content` has; stage `code` has checked them."""
    fields = {}
    for key, value in content.items():
        field = model.model_fields[key]
        kind, rules = field.annotation, field.metadata
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not rules:
            fields[key] = _typed(kind, value)
        else:
            fields[key] = TypeAdapter(Annotated[kind, *rules] if rules else kind).validate_python(
                value
            )
    return model.model_construct(**fields)
