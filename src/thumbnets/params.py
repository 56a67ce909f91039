"""params.yaml, typed and checked: an unknown key, a wrong type or a bad value is one clear line."""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thumbnets import paths
from thumbnets.data.datasets import OwnImages, get_dataset
from thumbnets.data.folder import FolderRule
from thumbnets.ensembles.members import rule_of
from thumbnets.evaluation.views import VIEWS
from thumbnets.options import Pixels, Share
from thumbnets.registry import METHODS, NETWORKS, unknown
from thumbnets.training.settings import (
    Checked,
    ModelSettings,
    TrainSettings,
    check_options,
    explain,
)


def _known_dataset(name: str) -> str:
    get_dataset(name)
    return name


def _known_views(name: str) -> str:
    if name not in VIEWS:
        raise ValueError(unknown("set of views", name, VIEWS))
    return name


# DVC can't join `model` and a list of any length: dvc.yaml names pool[0] to pool[8].
POOL_PLACES = 9

# Files of the run as a whole, which a model's would overwrite.
_RESERVED = {paths.ENSEMBLE_METRICS.stem, paths.SUMMARY.stem, paths.ENCODER_CODE.stem}


def _usable_as_file_names(blocks: dict) -> dict:
    for name in blocks:
        if not re.fullmatch(r"[A-Za-z0-9_]+", name) or name in _RESERVED:
            raise ValueError(
                f"a block can't be called {name!r}: names are letters, digits and _, and not "
                f"{' or '.join(sorted(_RESERVED))}"
            )
    return blocks


def _fills_the_places(pool: list[str]) -> list[str]:
    if len(pool) != POOL_PLACES:
        raise ValueError(
            f"must have {POOL_PLACES} names, as many as the lists in dvc.yaml have places for it "
            f"(repeat a name to leave one empty), got {len(pool)}"
        )
    return pool


def _unique(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError(f"must not repeat a value, got {values}")
    return values


class DataParams(Checked):
    """Which images. All but the name is about images of the user's own."""

    name: Annotated[str, AfterValidator(_known_dataset)]
    path: str
    size: Pixels
    fit: Literal["crop", "pad", "stretch"]
    test: Share
    seed: Annotated[int, Field(ge=0)]
    broken: Literal["refuse", "skip"]

    @model_validator(mode="after")
    def _folder_is_there(self) -> Self:
        if self.own and not Path(self.path).is_dir():
            raise ValueError(f"path must be a folder with a folder for each class, got {self.path}")
        return self

    @property
    def own(self) -> bool:
        """Whether the images are the user's own."""
        return isinstance(get_dataset(self.name), OwnImages)

    @property
    def rule(self) -> FolderRule:
        """How images of the user's own are read."""
        return FolderRule(**self.model_dump(exclude={"name"}))

    @property
    def image_size(self) -> int:
        """Height and width of the images, pixels."""
        return self.size if self.own else get_dataset(self.name).image_size

    @property
    def classes(self) -> int:
        """Number of classes; 0 where only the files tell."""
        return 0 if self.own else get_dataset(self.name).shape["num_classes"]


class SplitParams(Checked):
    """How the training images are divided into folds, one of which validates."""

    folds: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    rotate: bool


class EnsembleParams(Checked):
    """How members are chosen and combined."""

    rule: Literal["greedy", "best", "all", "weighted", "bagged", "stacking"]
    objective: Literal["loss", "accuracy"]
    voting: Literal["soft", "hard"]
    steps: Annotated[int, Field(ge=1, le=10_000)]
    seeds: Annotated[int, Field(ge=1)]
    """How many seeds make one ensemble: its members are all the trainings of those seeds."""
    teach: Annotated[str, AfterValidator(_known_views)] | None
    """Views of the training images that the ensemble is asked about, for `distill`."""

    @model_validator(mode="after")
    def _has_votes(self) -> Self:
        if self.rule == "stacking" and self.voting == "hard":
            raise ValueError("voting must be soft with rule: stacking, which has no votes")
        return self

    @property
    def counts(self) -> str:
        """The rule that counts, by its name among all that are fitted."""
        return rule_of(self.rule, self.objective)


class EvaluationParams(Checked):
    """How test predictions are summed up."""

    tta: Annotated[str, AfterValidator(_known_views)]
    """Views of a test image whose predictions are averaged."""
    ece_bins: Annotated[int, Field(ge=1, le=10_000)]
    mistakes: Annotated[int, Field(ge=0, le=200)]


class ReportParams(Checked):
    """What the report page says of itself."""

    title: str


class Params(Checked):
    """The whole of params.yaml."""

    model: str
    pool: Annotated[list[str], AfterValidator(_fills_the_places)]
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1), AfterValidator(_unique)
    ]
    data: DataParams
    split: SplitParams
    train: TrainSettings
    models: Annotated[dict[str, dict[str, Any]], AfterValidator(_usable_as_file_names)]
    ensemble: EnsembleParams
    evaluation: EvaluationParams
    report: ReportParams

    @model_validator(mode="after")
    def _seeds_make_ensembles(self) -> Self:
        size, seeds = self.ensemble.seeds, len(self.seeds)
        if seeds % size:
            raise ValueError(
                f"ensemble.seeds must divide the number of `seeds`, {seeds}, got {size}"
            )
        if size > 1 and self.split.rotate:
            raise ValueError(
                "ensemble.seeds must be 1 with split.rotate: seeds that validate on different "
                f"images can't be weighed together, got {size}"
            )
        return self

    @property
    def members(self) -> list[str]:
        """The model blocks that may enter the ensemble: the pool, without repeats."""
        return list(dict.fromkeys(self.pool))

    @property
    def run(self) -> list[str]:
        """The model blocks of this run: the headline model, then the pool, without repeats."""
        return list(dict.fromkeys([self.model, *self.pool]))

    @property
    def example(self) -> str:
        """What the models of the run learn from and are judged on: `image`, or `bag`."""
        return _facts(self.settings[self.model]).get("example", "image")

    @property
    def encoders(self) -> list[str]:
        """The blocks that stage `pretrain` trains: what the models of this run begin with."""
        begins = [self.settings[name].encoder for name in self.run]
        return list(dict.fromkeys(name for name in begins if name))

    @cached_property
    def settings(self) -> dict[str, ModelSettings]:
        """For every model block its settings: `train`, overridden by the block.

        Raises:
            ValueError: A block names an unknown network or key, or has a bad value.
        """
        return {name: self._resolve(name) for name in self.models}

    def _with_network(self, name: str) -> dict[str, Any]:
        """A block as it is written, with the network of the encoder that it begins with, if any.

        Raises:
            ValueError: There is no such encoder, a probe names none, or the block names another
                network.
        """
        block = self.models[name]
        method = block.get("method")
        encoder = method.get("encoder") if isinstance(method, dict) else None
        if encoder is None and _method(block) == "probe":
            raise ValueError(
                f"models.{name}.method.encoder is missing: name the block whose encoder it begins "
                "with."
            )
        if encoder is None:
            return block
        known = {other: of for other, of in self.models.items() if _pretrains(of)}
        if not isinstance(encoder, str) or encoder not in known:
            raise ValueError(f"models.{name}.method: {unknown('encoder', encoder, known)}")
        training = TrainSettings.model_fields.keys() - {"patches"}
        network = {key: known[encoder][key] for key in known[encoder].keys() - training}
        for key in sorted(block.keys() & {"arch", "patches", *_options(network.get("arch"))}):
            if block[key] != network.get(key):
                raise ValueError(
                    f"models.{name}.{key} must be that of its encoder, {encoder}: leave it out."
                )
        return {**network, **block}

    def _resolve(self, name: str) -> ModelSettings:
        """Merge one block over the defaults, and tell training settings from network options."""
        block, where = self._with_network(name), f"models.{name}"
        if "arch" not in block:
            raise ValueError(
                f"{where} names no network: to its keys {', '.join(block) or '(none)'} add arch, "
                f"one of {', '.join(NETWORKS.entries)}, torchvision/NAME."
            )
        if not isinstance(block["arch"], str):
            raise ValueError(f"{where}.arch must be one of {', '.join(NETWORKS.entries)}")
        try:
            arch = NETWORKS[block["arch"]]
            option_names = _options(arch.name)
            training = {key: block[key] for key in block if key in TrainSettings.model_fields}
            options = {key: block[key] for key in block if key in option_names}
            for key in block.keys() - training.keys() - options.keys() - {"arch"}:
                known = [*TrainSettings.model_fields, *sorted(option_names)]
                raise ValueError(unknown("key", key, known))
            return ModelSettings(
                name=name,
                arch=arch.name,
                options=check_options(NETWORKS, arch.name, options),
                train=TrainSettings.model_validate({**dict(self.train), **training}),
                rotate=self.split.rotate,
            )
        except ValidationError as error:
            raise ValueError(explain(error, TrainSettings, where)) from None
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None


def _options(arch: Any) -> set[str]:
    """Names of a network's options; none of what is no network."""
    if not isinstance(arch, str) or arch not in NETWORKS:
        return set()
    return NETWORKS[arch].parameters.keys() - set(NETWORKS.given)


def _check_default(params: Params) -> None:
    """Refuse a method for all blocks that only some can have.

    Raises:
        ValueError: It trains an encoder, or begins with one.
    """
    name = params.train.method.name
    if "pretrains" in METHODS[name].facts or "encoder" in METHODS[name].parameters:
        raise ValueError(
            f"train.method can't be {name}, which is not for all models: set it in a block of "
            "`models`."
        )


def _pretrains(block: dict[str, Any]) -> bool:
    """Whether a block, as it is written, trains an encoder."""
    name = _method(block)
    return name in [entry.name for entry in METHODS.entries.values() if "pretrains" in entry.facts]


def _method(block: dict[str, Any]) -> Any:
    """The name of a block's method, as it is written; None without one."""
    method = block.get("method")
    return method.get("name") if isinstance(method, dict) else method


# More of these than any machine or patience has; without a bound they end in a traceback or never.
_MOST = {"epochs": 100_000, "batch_size": 1_000_000, "threads": 256}


def _check_extent(params: Params, name: str) -> None:
    """Refuse what no run could do, before the first one trains.

    Raises:
        ValueError: A setting of the block is beyond all use.
    """
    for key, most in _MOST.items():
        if getattr(params.settings[name].train, key) > most:
            raise ValueError(f"models.{name}: {key} must be at most {most:,}.")


def _facts(settings: ModelSettings) -> dict[str, Any]:
    """What is said of the method of a block."""
    return METHODS[settings.train.method.name].facts


def _check_examples(params: Params) -> None:
    """Refuse a run whose models are judged on different examples, which can't be compared.

    Raises:
        ValueError: The run has models of images and of bags, or of different bags.
    """
    drawn: dict[str, dict[str, Any]] = {}
    for name in params.run:
        facts, options = _facts(params.settings[name]), params.settings[name].train.method.options
        drawn[name] = {key: options[key] for key in facts.get("examples", ())}
    kinds: dict[str, list[str]] = {}
    for name, options in drawn.items():
        differ = [k for k in options if any(o[k] != options[k] for o in drawn.values() if k in o)]
        which = ", ".join(f"{key} {options[key]}" for key in differ)
        kind = f"{_facts(params.settings[name]).get('example', 'image')}s{which and f' ({which})'}"
        kinds.setdefault(kind, []).append(name)
    if len(kinds) > 1:
        found = "; ".join(f"{', '.join(names)}: {kind}" for kind, names in kinds.items())
        alike = next(names for names in kinds.values() if params.model in names)
        hint = ",".join(in_all_places(alike))
        raise ValueError(
            f"model and pool must be judged on the same examples, but are on different ones: "
            f"{found}. Set them to blocks of one kind, as with -S 'pool=[{hint}]'."
        )
    if params.ensemble.teach and params.example != "image":
        raise ValueError(f"ensemble.teach must be null: {params.example}s teach nobody.")


def _check_classifies(params: Params, name: str) -> None:
    """Refuse a block of the run that trains an encoder alone.

    Raises:
        ValueError: It does; the message names blocks that begin with it.
    """
    if _pretrains(params.models[name]):
        begin = [other for other in params.models if params.settings[other].encoder == name]
        raise ValueError(
            f"models.{name} trains an encoder, which tells no classes: run a block that begins "
            f"with it ({', '.join(begin) or 'there is none yet'})."
        )


def _check_fit(params: Params, name: str) -> None:
    """Refuse settings of a block of the run that do not fit its images; other blocks may be.

    Raises:
        ValueError: A length in pixels, or the number of class weights, is not that of the images,
            or the method can do nothing with a setting.
    """
    try:
        params.settings[name].train.check_method()
    except ValueError as error:
        raise ValueError(f"models.{name}: {error}") from None
    train, side, classes = params.settings[name].train, params.data.image_size, params.data.classes
    _check_size(params, name)
    target, weights = train.method.options.get("target", 0), train.class_weights
    if classes and target >= classes:
        raise ValueError(
            f"models.{name}.method.target must be the number of a class, 0 to {classes - 1}, "
            f"got {target}."
        )
    classes = _facts(params.settings[name]).get("classes", classes)
    if isinstance(weights, list) and classes and len(weights) != classes:
        raise ValueError(
            f"models.{name}: class_weights must be one a class, {classes}, got {len(weights)}."
        )
    for choice in train.augment:
        for key in {"pixels", "size", "translate"} & choice.options.keys():
            if choice.options[key] > side:
                raise ValueError(
                    f"models.{name}: {key} of {choice.name} must be at most the image's {side}."
                )
    for key, (path, _) in params.settings[name].files.items():
        if not _inside(path, paths.PRETRAINED):
            raise ValueError(
                f"models.{name}.{key} must be a file in {paths.PRETRAINED}/, where DVC sees it "
                f"change (put a copy or a link there), got '{path}'."
            )
    if train.patches and side % train.patches.size:
        raise ValueError(
            f"models.{name}.patches.size must divide the image's {side} pixels, "
            f"got {train.patches.size}."
        )


def _check_size(params: Params, name: str) -> None:
    """Refuse images that a network says are too large for it.

    Raises:
        ValueError: They are.
    """
    settings, side = params.settings[name], params.data.image_size
    patches = settings.train.patches
    seen = patches.size if patches and patches.mode == "shared" else side
    most = NETWORKS[settings.arch].facts.get("largest_image", seen)
    if seen > most:
        remedy = "; set data.size, or leave the block out" if params.data.own else ""
        raise ValueError(
            f"models.{name}: {settings.arch} takes images of at most {most} pixels, "
            f"got {seen}{remedy}."
        )


def _inside(path: Path, folder: Path) -> bool:
    return path.parent.is_relative_to(folder) and ".." not in path.parts


def in_all_places(names: list[str]) -> list[str]:
    """A pool of these blocks: they repeat until all its places are filled."""
    return (names * POOL_PLACES)[:POOL_PLACES]


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and check params.yaml.

    Raises:
        ValueError: In one line, each key that is unknown, missing, of a wrong type or out of range.
    """
    content = _read_yaml(path)
    try:
        params = Params.model_validate(content)
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
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error, Params)}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return params


def _read_yaml(path: Path) -> Mapping:
    # DVC reads YAML 1.2 with this parser; another one would see other values (1e-3, yes, 012).
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise ValueError(f"{path}{where}: not valid YAML: {problem}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 at byte {error.start}") from None
    except FileNotFoundError:
        raise ValueError(f"{path} not found: run this from the root of the project.") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} must hold keys and values, as in the project's first commit.")
    return content
