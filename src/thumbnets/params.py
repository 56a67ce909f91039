"""params.yaml, typed and checked: an unknown key, wrong type or bad value gives one clear line."""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from thumbnets import paths
from thumbnets.blocks import options_of, settings_of
from thumbnets.checks import check_run
from thumbnets.choices import Checked, explain
from thumbnets.data.corrections import check_place
from thumbnets.data.datasets import OwnImages, get_dataset
from thumbnets.data.images import MAX_PIXELS
from thumbnets.data.listed import BROKEN, LEAKS, Bits, FolderRule, ImagePixels, Regex, Seed
from thumbnets.data.views import VIEWS
from thumbnets.ensembles.members import rule_of
from thumbnets.options import Pixels, Share
from thumbnets.registry import AUGMENTATIONS, METHODS, NETWORKS, unknown
from thumbnets.training.settings import ModelSettings, TrainSettings
from thumbnets.yaml_files import read_yaml
from thumbnets.zoo import bases_of, encoder_of, file_of, method_of, read_blocks, trains_encoder


def _known_dataset(name: str) -> str:
    get_dataset(name)
    return name


def _known_views(name: str) -> str:
    if name not in VIEWS:
        raise ValueError(unknown("set of views", name, VIEWS))
    return name


# Names of the files of the headline and the ensemble, which a block of that name would overwrite.
_RESERVED = {paths.HEADLINE, paths.ENSEMBLE_METRICS.stem}


def _usable_as_file_names(blocks: dict) -> dict:
    for name in blocks:
        if not re.fullmatch(r"[A-Za-z0-9_]+", name) or name in _RESERVED:
            raise ValueError(
                f"a block can't be called {name!r}: names are letters, digits and _, and not "
                f"{' or '.join(sorted(_RESERVED))}"
            )
    return blocks


def _unique(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError(f"must not repeat a value, got {values}")
    return values


# Keys of `train` that a key of a block can contradict, with values that none contradicts.
_AGREEING = {
    "class_weights": None,
    "momentum": 0.9,
    "optimizer": "sgd",
    "refit": False,
    "sampling": None,
    "schedule": "constant",
    "warmup": 0.0,
}


class DataParams(Checked):
    """Which images. All but name, duplicates and corrections apply only to images of your own."""

    name: Annotated[str, AfterValidator(_known_dataset)]
    """The data set: fashion_mnist, mnist, kmnist, qmnist, emnist_balanced, emnist_letters,
    emnist_digits, cifar10, cifar100, svhn, svhn_extra, stl10, stl10_unlabelled, usps, digits (needs
    no network), folder (images of your own) or imagenet (the same, with train/ and val/)."""
    path: str
    """Folder of the images: one folder per class, or train/ and test/ (or val/) that hold them."""
    size: Pixels
    """Height and width that every image is brought to, pixels."""
    fit: Literal["crop", "pad", "stretch"]
    """How it gets that size: cropped to the largest square in its middle, padded with black bars,
    or stretched."""
    test: Share
    """Share of each class held out for testing if there is no test/."""
    seed: Seed
    """Seed of the draw of that share."""
    broken: Literal[BROKEN]
    """Files that can't be read stop the run, or are listed in data/processed/findings.json."""
    depth: Bits | None = None
    """Bits that the values in 16-bit files use; null: as many as the highest value needs."""
    max_pixels: ImagePixels = MAX_PIXELS
    """Largest number of pixels of an image; more are refused before any is decoded."""
    list: str | None = None
    """CSV file in the folder with columns file, label and maybe split, group; null: folder names
    are the labels."""
    group: Regex | None = None
    """Pattern on the path of an image; its first group (or the whole match) names the group that
    the image belongs to. No group is divided between training, validation and test. null: the
    list's column, if any."""
    leaks: Literal[LEAKS] = "tell"
    """Groups in both a given train/ and test/ are reported in findings.json, or refused."""
    duplicates: Literal["keep", "drop"] = "keep"
    """For any data set: training images that copy a test image or another training image are
    reported, or left out."""
    corrections: str | None = None
    """For any data set: a CSV file in corrections/ with corrected labels of training images; null:
    none."""

    @field_validator("corrections")
    @classmethod
    def _edits_are_noticed(cls, corrections: str | None) -> str | None:
        if corrections is not None:
            check_place(corrections)
        return corrections

    @property
    def own(self) -> bool:
        """Whether the images are the user's own."""
        return isinstance(get_dataset(self.name), OwnImages)

    @property
    def rule(self) -> FolderRule:
        """How images of the user's own are read."""
        return FolderRule(**self.model_dump(exclude={"name", "duplicates", "corrections"}))

    @property
    def image_size(self) -> int:
        """Height and width of the images, pixels."""
        return self.size if self.own else get_dataset(self.name).image_size

    @property
    def classes(self) -> int:
        """Number of classes; 0 where it is known only from the files."""
        return 0 if self.own else get_dataset(self.name).shape["num_classes"]


class SplitParams(Checked):
    """How the training images are divided into folds, one of which validates."""

    folds: Annotated[int, Field(ge=2)]
    """Number of stratified folds; fold 0 validates (of 60,000 images in 12 folds: 5,000)."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    """Seed of the division into folds."""
    rotate: bool
    """Whether seed s validates on fold s mod folds, so that seeds make a cross-validation."""


class EnsembleParams(Checked):
    """How members are chosen and combined."""

    rule: Literal["greedy", "best", "all", "weighted", "bagged", "stacking"]
    """The rule that is used; all are fitted on validation images and scored: greedy selection with
    replacement, the best single model, equal votes, weights of least loss, the mean of greedy
    selections from parts of the pool, or a logistic regression on log-probabilities."""
    objective: Literal["loss", "accuracy", "macro_f1"]
    """What greedy, bagged and best optimise; macro_f1 counts every class alike."""
    voting: Literal["soft", "hard"]
    """Mean of probabilities, or majority; stacking has no votes."""
    steps: Annotated[int, Field(ge=1, le=10_000)]
    """Number of choices in a greedy selection."""
    seeds: Annotated[int, Field(ge=1)]
    """Number of seeds that make one ensemble, whose members are all trainings of those seeds; must
    divide the number of `seeds`. 1 scores one ensemble per seed."""
    teach: Annotated[str, AfterValidator(_known_views)] | None
    """Views (as in evaluation.tta) of the training images that the ensemble predicts, as targets
    for blocks with method: distill; null: none."""

    @model_validator(mode="after")
    def _has_votes(self) -> Self:
        if self.rule == "stacking" and self.voting == "hard":
            raise ValueError("voting must be soft with rule: stacking, which has no votes")
        return self

    @property
    def counts(self) -> str:
        """Name of the rule that is used, among all that are fitted."""
        return rule_of(self.rule, self.objective)


class EvaluationParams(Checked):
    """How test predictions are summed up."""

    tta: Annotated[str, AfterValidator(_known_views)]
    """Views of a test image whose predictions are averaged: none, flip (also mirrored), shift (also
    moved by one pixel) or flip_shift. The report compares them on validation images."""
    ece_bins: Annotated[int, Field(ge=1, le=10_000)]
    """Bins of the expected calibration error."""
    mistakes: Annotated[int, Field(ge=0, le=200)]
    """Number of most confident mistakes that the report shows as pictures."""


class ReportParams(Checked):
    """Texts of the report page and the model card."""

    title: str
    """Heading of the report."""
    intended_use: str | None = None
    """What the models are for, and what they are not for, as shown in the model card."""
    licence: str | None = None
    """Licence of images of your own, as shown in the model card."""


class Params(Checked):
    """The whole of params.yaml."""

    model: str
    """The headline model of summary and report: any block, in the pool or not."""
    pool: Annotated[list[str], Field(min_length=1), AfterValidator(_unique)]
    """The blocks that are trained and may enter the ensemble, one or more."""
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1), AfterValidator(_unique)
    ]
    """One training of every model per seed; scores are means over seeds."""
    data: DataParams
    split: SplitParams
    train: TrainSettings
    models: Annotated[dict[str, dict[str, Any]], AfterValidator(_usable_as_file_names)]
    """The blocks by name: those of params.yaml merged over those of zoo/."""
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
    def run(self) -> list[str]:
        """The model blocks of this run: the headline model, then the pool, without repeats."""
        return list(dict.fromkeys([self.model, *self.pool]))

    @property
    def slots(self) -> dict[str, str]:
        """Where the files of each block of the run lie: under its name, or as the headline's."""
        return {name: name if name in self.pool else paths.HEADLINE for name in self.run}

    def block_of(self, slot: str) -> str:
        """The block that is trained in a slot: of the pool, or the headline's."""
        return self.model if slot == paths.HEADLINE else slot

    @property
    def slot_settings(self) -> dict[str, ModelSettings]:
        """Settings of what is trained in each slot: the blocks of the pool, and the headline."""
        return {slot: self.settings[self.block_of(slot)] for slot in [*self.pool, paths.HEADLINE]}

    @property
    def example(self) -> str:
        """What the models of the run learn from and are judged on: `image`, or `bag`."""
        return METHODS[self.settings[self.model].train.method.name].metadata.example

    @property
    def encoders(self) -> list[str]:
        """The blocks that stage `pretrain` trains: what the models of this run begin with."""
        begins = [self.settings[name].encoder for name in self.run]
        return list(dict.fromkeys(name for name in begins if name))

    @property
    def published_weights(self) -> list[str]:
        """The networks whose published weights the models of this run begin with."""
        blocks = [self.settings[name] for name in [*self.run, *self.encoders]]
        networks = (block.arch for block in blocks if block.train.weights == "imagenet")
        return sorted(set(networks))

    @cached_property
    def settings(self) -> dict[str, ModelSettings]:
        """The settings of every model block: `train`, overridden by the block.

        A block that is not in the run may contradict `train` (say, it trains for one epoch and the
        warm-up takes two). The keys of `_AGREEING` then replace those of `train`.

        Raises:
            ValueError: A block names an unknown network or key, or has a bad value.
        """
        encoders = {encoder_of(self.models[name]) for name in self.run if name in self.models}
        return {
            name: self._resolve(name, needed=name in encoders or name in self.run)
            for name in self.models
        }

    def _with_network(self, name: str) -> dict[str, Any]:
        """A block as written, with the network of the encoder that it begins with, if any.

        Raises:
            ValueError: There is no such encoder, a probe names none, or the block names another
                network.
        """
        block = self.models[name]
        encoder = encoder_of(block)
        if encoder is None and method_of(block) == "probe":
            raise ValueError(
                f"models.{name}.method.encoder is missing: name the block whose encoder it begins "
                "with."
            )
        if encoder is None:
            return block
        known = {other: of for other, of in self.models.items() if trains_encoder(of)}
        if not isinstance(encoder, str) or encoder not in known:
            raise ValueError(f"models.{name}.method: {unknown('encoder', encoder, known)}")
        training = TrainSettings.model_fields.keys() - {"patches"}
        network = {key: known[encoder][key] for key in known[encoder].keys() - training}
        for key in sorted(block.keys() & {"arch", "patches", *options_of(network.get("arch"))}):
            if block[key] != network.get(key):
                raise ValueError(
                    f"models.{name}.{key} must be that of its encoder, {encoder}: leave it out."
                )
        return {**network, **block}

    def _resolve(self, name: str, *, needed: bool) -> ModelSettings:
        """Merge one block over the defaults; separate training settings from network options."""
        block, train, where = self._with_network(name), dict(self.train), f"models.{name}"
        try:
            return settings_of(name, block, train, rotate=self.split.rotate, where=where)
        except ValueError:
            if needed:
                raise
            train |= _AGREEING
            return settings_of(name, block, train, rotate=self.split.rotate, where=where)


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and check params.yaml, with the blocks of zoo/ beside it.

    Raises:
        ValueError: In one line, each key that is unknown, missing, of a wrong type or out of range.
    """
    return check_params(read_yaml(path), str(path), zoo=path.parent / paths.ZOO)


def check_params(content: Mapping[str, Any], where: str, zoo: Path = paths.ZOO) -> Params:
    """Check the content of a params.yaml.

    Args:
        content: Keys and values, as they are written.
        where: What to call it in messages.
        zoo: The folder of the other blocks.

    Raises:
        ValueError: In one line, each key that is unknown, missing, of a wrong type or out of range.
    """
    for registry in (NETWORKS, METHODS, AUGMENTATIONS):
        len(registry.entries)  # reads the code: a file that is not Python is not a block's fault
    whole = _with_zoo(content, zoo)
    try:
        params = Params.model_validate(whole)
        check_run(params)
    except ValidationError as error:
        raise ValueError(f"{where}: {explain(error, Params)}") from None
    except ValueError as error:
        raise ValueError(_with_place(str(error), content, whole["models"], where, zoo)) from None
    return params


def _with_place(
    error: str, content: Mapping[str, Any], blocks: Mapping[str, Any], where: str, zoo: Path
) -> str:
    """An error with the file it is about, and what its block has the value from if not from itself.

    Args:
        error: Text of the error.
        content: Keys and values of params.yaml.
        blocks: All blocks, merged over those that they build on.
        where: What to call params.yaml.
        zoo: The folder of the other blocks.
    """
    found = re.match(r"models\.(\w+)[.:](\w*)", error)
    if not found:
        return f"{where}: {error}"
    (name, key), models = found.groups(), content["models"]
    if key in content["train"] and key not in blocks.get(name, {}):
        return f"{where}: {error} (It has this from train.{key}.)"
    file = name not in models and file_of(name, zoo)
    if not file:
        return f"{where}: {error}"
    mine = next((base for base in bases_of(name, models, zoo) if base in models), None)
    return f"{file}: {error}" + (f" (It builds on {mine} of {where}.)" if mine else "")


def _with_zoo(content: Mapping[str, Any], zoo: Path) -> Mapping[str, Any]:
    """The content with all blocks as `models`; unchanged if `models` is not a map of blocks."""
    models = content.get("models")
    if not isinstance(models, dict) or not all(
        isinstance(block, dict) for block in models.values()
    ):
        return content
    return {**content, "models": read_blocks(models, zoo)}
