"""What controls one training, typed and checked without importing torch."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from thumbnets.choices import Checked, Sparse, choice_of
from thumbnets.messages import quote
from thumbnets.options import Count, NonNegative, Pixels, Portion, Positive
from thumbnets.registry import (
    AUGMENTATIONS,
    AVERAGES,
    INITIALISATIONS,
    METHODS,
    MIXES,
    OPTIMIZERS,
    SCHEDULES,
    MethodMetadata,
)

if TYPE_CHECKING:
    import numpy as np


class EarlyStopping(Sparse):
    """Stop when validation has not improved; the best epoch's weights are used."""

    added: ClassVar = ("metric",)

    patience: Count
    """Epochs without improvement before stopping."""
    metric: Literal["loss", "macro_f1"] = "loss"
    """What is to improve: the loss, or the mean F1 of the classes, each of which counts alike."""


class Lookahead(Checked):
    """Slow weights that follow the optimizer's, and that it starts from again and again."""

    steps: Count
    """Steps of the optimizer between two of the slow weights."""
    alpha: Annotated[float, Field(gt=0, le=1)]
    """Share of the way to the optimizer's weights that the slow weights go."""


class PowerWeights(Checked):
    """Weights of classes by a power of their counts: between none and `balanced`."""

    power: Portion
    """A class of n training images weighs n^-power; the mean over all images is 1."""


def _of_one_kind(weights: Any) -> Any:
    """Report a wrong value in one line, not one for each type that class_weights may have."""
    match weights:
        case None | "balanced" | PowerWeights():
            known = True
        case {"power": power, **others}:
            known = not others and _is_number(power) and 0 < power <= 1
        case [*numbers]:
            known = all(_is_number(number) and number >= 0 for number in numbers)
        case _:
            known = False
    if not known:
        raise ValueError(
            "must be balanced, {power: P} with P above 0 and at most 1, or a list of numbers from "
            f"0 on, got {quote(weights)}"
        )
    return weights


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


class Patches(Checked):
    """Cut every image into square patches, and read them instead of the image."""

    size: Pixels
    """Side of a patch in pixels; divides the side of the image."""
    mode: Literal["permute", "shared"]
    """permute: the pixels patch after patch; shared: one network for all, logits averaged."""


# Values by which params.yaml turns a key off, where that is not null.
_UNSET = {"augment": "[]", "label_smoothing": "0", "refit": "false"}


class TrainSettings(Sparse):
    """What controls one training: the keys of `train`, any of which a model block may override."""

    added: ClassVar = ("sampling",)

    method: choice_of(METHODS)
    """How the network learns."""
    epochs: Count
    """Passes over the training folds."""
    batch_size: Annotated[int, Field(ge=2)]
    """Images per step; a last batch of one image is left out (batch norm needs two)."""
    optimizer: choice_of(OPTIMIZERS)
    """How gradients become steps."""
    lr: Positive
    """Learning rate; the highest one if the schedule changes it."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    """Momentum, or the first beta of Adam, AdamW and LAMB; Adadelta has none. Without effect under
    schedule onecycle, which sets its own, unless `cycle_momentum` is false."""
    weight_decay: NonNegative
    """Factor of the penalty on squared weights; adamw and muon shrink the weights by it instead."""
    decay_norms: bool
    """Whether biases and the gains of norms decay as well."""
    clip: Positive | None
    """Greatest Euclidean norm of the gradient of all weights together."""
    lookahead: Lookahead | None
    schedule: choice_of(SCHEDULES)
    """Course of the learning rate over the epochs."""
    warmup: NonNegative
    """Epochs over which the learning rate rises to what the schedule says."""
    average: choice_of(AVERAGES) | None
    """Average of the weights along the way, used in place of the last ones."""
    init: choice_of(INITIALISATIONS)
    """How weights are drawn before the first step."""
    weights: str | None
    """A file of weights to begin with, in place of those that `init` has drawn; or `imagenet`, for
    those that torchvision publishes for its networks, which are fetched."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    """Share of the target that is spread evenly over the classes."""
    class_weights: Annotated[
        Literal["balanced"] | list[NonNegative] | PowerWeights | None, BeforeValidator(_of_one_kind)
    ]
    """How much an image of each class counts in the training loss; validation counts all alike.
    With label_smoothing, as in torch, the share spread to each class is multiplied by the weight of
    that class: at 20 images to one, a smoothing of 0.1 outweighs the right class. Use only one."""
    sampling: Literal["balanced"] | None = None
    """balanced: an epoch has equally many images of each class: those of a rare class repeat, those
    of a common class change from epoch to epoch; null: each image once."""
    early_stopping: EarlyStopping | None
    augment: list[choice_of(AUGMENTATIONS)]
    """Applied to every training batch, in this order."""
    mix: choice_of(MIXES) | None
    """Blends each training batch with itself, after `augment`; targets become mixtures."""
    patches: Patches | None
    on_divergence: Literal["stop", "retry"]
    """When the loss is no longer finite; `retry` begins anew with half the learning rate."""
    refit: bool
    """Whether the network is trained once more, on all training images."""
    precision: Literal["fp32", "bf16"]
    """bf16: matrix products and convolutions in bfloat16 while training; evaluation is in fp32."""
    threads: Count
    """Compute threads on a CPU: part of the arithmetic, so a param."""

    @model_validator(mode="after")
    def _some_class_counts(self) -> Self:
        if isinstance(self.class_weights, list) and not any(self.class_weights):
            raise ValueError(
                f"class_weights must have a value above 0, got {quote(self.class_weights)}"
            )
        return self

    @model_validator(mode="after")
    def _balanced_once(self) -> Self:
        by_count = self.class_weights is not None and not isinstance(self.class_weights, list)
        if self.sampling and by_count:
            raise ValueError(
                "sampling: balanced shows all classes alike, so class_weights must be null or a "
                "list"
            )
        return self

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.optimizer.options.get("nesterov") and not self.momentum:
            raise ValueError("momentum must be > 0 for nesterov: true")
        return self

    @model_validator(mode="after")
    def _momentum_can_cycle(self) -> Self:
        has_momentum = OPTIMIZERS[self.optimizer.name].metadata.has_momentum
        if self.schedule.options.get("cycle_momentum") and not has_momentum:
            raise ValueError(
                f"{self.optimizer.name} has no momentum for {self.schedule.name} to cycle: write "
                f"schedule: {{name: {self.schedule.name}, cycle_momentum: false}}"
            )
        return self

    @model_validator(mode="after")
    def _refit_needs_no_validation(self) -> Self:
        if self.refit and "schedule" in self.watches:
            raise ValueError("refit leaves no images for schedule: plateau to look at")
        return self

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup > self.epochs:
            raise ValueError(f"warmup must be at most epochs, {self.epochs}, got {self.warmup:g}")
        return self

    def check_method(self) -> None:
        """Refuse settings that the method can't use.

        Not done when settings are read: what `train` sets for all blocks may be wrong for one that
        is not in the run.

        Raises:
            ValueError: Threads, epochs or another key do not fit the method.
        """
        name, metadata = self.method.name, METHODS[self.method.name].metadata
        if metadata.whole_batch and self.threads > 1:
            raise ValueError(f"threads must be 1 for method: {name}, got {self.threads}")
        for key in metadata.excludes:
            if getattr(self, key):
                nothing = _UNSET.get(key, "null")
                raise ValueError(f"{key} must be {nothing} for method: {name}")
        if metadata.pretrains and self.early_stopping and self.early_stopping.metric != "loss":
            raise ValueError(f"early_stopping.metric must be loss for method: {name}")
        for key, refused in metadata.refuses.items():
            if getattr(self, key).name == refused:
                raise ValueError(f"{key} can't be {refused} for method: {name}")
        self._check_epochs(metadata)

    @property
    def watches(self) -> list[str]:
        """The keys for which validation images decide something during training."""
        plateau = SCHEDULES[self.schedule.name].metadata.every == "plateau"
        return ["early_stopping"] * bool(self.early_stopping) + ["schedule"] * plateau

    @property
    def schedule_epochs(self) -> int:
        """Epochs of the schedule with its warm-up, which a method may repeat, or follow by a walk.

        A walk takes half a cycle to its first member, and a cycle to each other one.
        """
        metadata, options = METHODS[self.method.name].metadata, self.method.options
        if metadata.walk:
            members, cycle = (options[key] for key in metadata.walk)
            return self.epochs - (members - 1) * cycle - cycle // 2
        return self.epochs // options.get(metadata.parts, 1)

    def _check_epochs(self, metadata: MethodMetadata) -> None:
        keys, options = metadata.walk or (), self.method.options
        least = math.prod(options[key] for key in keys)
        parts = options.get(metadata.parts, 1)
        method = f"for method: {self.method.name}"
        if self.epochs < least:
            product = " * ".join(keys)
            raise ValueError(
                f"epochs must be at least {product}, {least}, {method}, got {self.epochs}"
            )
        if self.epochs % parts:
            raise ValueError(
                f"epochs must be a multiple of {metadata.parts}, {parts}, {method}, got "
                f"{self.epochs}"
            )
        if self.warmup > self.schedule_epochs:
            limit = "the epochs before the walk" if keys else f"epochs / {metadata.parts}"
            raise ValueError(
                f"warmup must be at most {limit}, {self.schedule_epochs}, {method}, got "
                f"{self.warmup:g}"
            )


class ModelSettings(Checked):
    """All that the training of one block `models.<name>` rests on, besides code and data."""

    name: str
    arch: str
    options: dict[str, Any]
    """Options of the architecture, defaults filled in."""
    train: TrainSettings
    rotate: bool
    """Whether the fold that validates depends on the seed (k-fold cross-validation), or is 0."""

    @property
    def files(self) -> dict[str, tuple[Path, str]]:
        """Files that the training reads, by key, each with what to do if it is missing."""
        method = self.train.method
        named = {
            f"method.{key}": (Path(method.options[key]), remedy)
            for key, remedy in METHODS[method.name].metadata.files.items()
        }
        if self.train.weights and self.train.weights != "imagenet":
            named["weights"] = Path(self.train.weights), "put it there, or write weights: null"
        return named

    @property
    def encoder(self) -> str | None:
        """The block whose encoder the training begins with, if any."""
        return self.train.method.options.get("encoder")

    def validation_fold(self, seed: int, folds: int) -> int:
        """The fold that validates the run of `seed`."""
        return seed % folds if self.rotate else 0

    def validates(self, fold: "np.ndarray", seed: int) -> "np.ndarray":
        """Which images validate the run of `seed`: bool [N], of the fold of each int [N]."""
        return fold == self.validation_fold(seed, int(fold.max()) + 1)
