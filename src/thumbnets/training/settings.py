"""What controls one training, typed and checked without importing torch."""

import math
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)

from thumbnets.messages import quote, shorten
from thumbnets.options import Count, NonNegative, Pixels, Positive
from thumbnets.registry import (
    AUGMENTATIONS,
    AVERAGES,
    INITIALISATIONS,
    METHODS,
    MIXES,
    OPTIMIZERS,
    SCHEDULES,
    Registry,
    unknown,
)

if TYPE_CHECKING:
    import numpy as np


class Checked(BaseModel):
    """Base of all params: immutable, strictly typed, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Choice(Checked):
    """A registered function and its options, written `name` or `{name: …, option: value}`."""

    name: str
    options: dict[str, Any]

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}


def choice_of(registry: Registry) -> Any:
    """The type of a param that names an entry of `registry`."""

    def parse(value: Any) -> Choice:
        if isinstance(value, Choice):
            return value
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            raise ValueError(f"must be the name of one {registry.kind}, or {{name: …, options}}")
        options = {key: option for key, option in value.items() if key != "name"}
        checked = check_options(registry, value["name"], options)
        return Choice(name=value["name"], options=checked)

    return Annotated[Choice, BeforeValidator(parse)]


def check_options(registry: Registry, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Check the options of an entry against its signature and fill in its defaults.

    Raises:
        ValueError: The entry or an option is unknown, or a value is of the wrong type or range.
    """
    model = registry.options(name)
    try:
        return model.model_validate(options).model_dump()
    except ValidationError as error:
        raise ValueError(f"{registry.kind} {name!r}: {explain(error, model)}") from None


def explain(error: ValidationError, model: type[BaseModel], where: str = "") -> str:
    """A pydantic error in one line: for each fault the key, what was expected, what was given.

    Args:
        error: What pydantic raised.
        model: The model that it was raised for.
        where: Key that the model's keys stand under.
    """
    faults = []
    for fault in error.errors():
        *parents, last = fault["loc"] or ("",)
        key = ".".join(shorten(str(part)) for part in (where, *fault["loc"]) if part != "")
        if fault["type"] == "extra_forbidden":
            message = unknown("key", last, _fields(model, parents))
            faults.append(message.replace(quote(last), quote(key), 1))
        elif fault["type"] == "missing":
            faults.append(f"{key} is missing")
        elif fault["type"] == "value_error":
            faults.append(f"{key}: {fault['ctx']['error']}" if key else str(fault["ctx"]["error"]))
        else:
            expected = fault["msg"].replace("Input should be", "must be")
            faults.append(f"{key} {expected}, got {quote(fault['input'])}")
    return "; ".join(faults)


def _fields(model: type[BaseModel], parents: list) -> list[str]:
    """Names of the keys under `parents`, as far as the models' types tell."""
    for parent in parents:
        types = typing.get_args(model.model_fields[parent].annotation)
        inner = [t for t in (model.model_fields[parent].annotation, *types) if _is_model(t)]
        model = inner[0]
    return list(model.model_fields)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


class EarlyStopping(Checked):
    """Stop when the validation loss has not improved; the best epoch's weights are kept."""

    patience: Count
    """Epochs without improvement before stopping."""


class Lookahead(Checked):
    """Slow weights that follow the optimizer's, and that it starts from again and again."""

    steps: Count
    """Steps of the optimizer between two of the slow weights."""
    alpha: Annotated[float, Field(gt=0, le=1)]
    """Share of the way that the slow weights go."""


class Patches(Checked):
    """Cut every image into square patches, and read them instead of the image."""

    size: Pixels
    """Side of a patch in pixels; divides the side of the image."""
    mode: Literal["permute", "shared"]
    """permute: the pixels patch after patch; shared: one network for all, logits averaged."""


class TrainSettings(Checked):
    """What controls one training: the keys of `train`, any of which a model block may override."""

    method: choice_of(METHODS)
    """How the network learns."""
    epochs: Count
    """Passes over the training folds."""
    batch_size: Annotated[int, Field(ge=2)]
    """Images a step; a last batch of one image is left out (batch norm needs two)."""
    optimizer: choice_of(OPTIMIZERS)
    lr: Positive
    """Learning rate; the highest one where the schedule has a course."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    """Momentum, or the first beta of Adam, AdamW and LAMB; Adadelta has none."""
    weight_decay: NonNegative
    decay_norms: bool
    """Whether biases and the gains of norms decay as well."""
    clip: Positive | None
    """Longest gradient of all weights together, by its Euclidean norm."""
    lookahead: Lookahead | None
    schedule: choice_of(SCHEDULES)
    warmup: NonNegative
    """Epochs over which the learning rate rises to what the schedule says."""
    average: choice_of(AVERAGES) | None
    """Average of the weights along the way, used in place of the last ones."""
    init: choice_of(INITIALISATIONS)
    weights: str | None
    """A file of weights to begin with, in place of those that `init` has drawn."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    """Share of the target that is spread evenly over the classes."""
    class_weights: Literal["balanced"] | list[NonNegative] | None
    """How much an image of each class counts in the training loss; validation counts all alike."""
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
    def _nesterov_has_momentum(self) -> Self:
        if self.optimizer.options.get("nesterov") and not self.momentum:
            raise ValueError("momentum must be > 0 for nesterov: true")
        return self

    @model_validator(mode="after")
    def _momentum_can_cycle(self) -> Self:
        has_momentum = OPTIMIZERS[self.optimizer.name].facts.get("has_momentum", True)
        if self.schedule.options.get("cycle_momentum") and not has_momentum:
            raise ValueError(
                f"{self.optimizer.name} has no momentum for {self.schedule.name} to cycle: write "
                f"schedule: {{name: {self.schedule.name}, cycle_momentum: false}}"
            )
        return self

    @model_validator(mode="after")
    def _refit_needs_no_validation(self) -> Self:
        if self.refit and self.schedule.name == "plateau":
            raise ValueError("refit leaves no images for schedule: plateau to look at")
        return self

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup > self.epochs:
            raise ValueError(f"warmup must be at most epochs, {self.epochs}, got {self.warmup:g}")
        return self

    def check_method(self) -> None:
        """Refuse settings that the method can do nothing with.

        Not when settings are read: what `train` says for all blocks may be wrong for one that is
        not in the run.

        Raises:
            ValueError: Threads, epochs, or a key that the method leaves no place for.
        """
        name, facts = self.method.name, METHODS[self.method.name].facts
        if facts.get("whole_batch") and self.threads > 1:
            raise ValueError(f"threads must be 1 for method: {name}, got {self.threads}")
        for key in facts.get("excludes", ()):
            if getattr(self, key):
                nothing = "[]" if key == "augment" else "null"
                raise ValueError(f"{key} must be {nothing} for method: {name}")
        for key, refused in facts.get("refuses", {}).items():
            if getattr(self, key).name == refused:
                raise ValueError(f"{key} can't be {refused} for method: {name}")
        self._check_epochs(facts)

    def _check_epochs(self, facts: dict[str, Any]) -> None:
        keys, options = facts.get("least_epochs", ()), self.method.options
        least = math.prod(options[key] for key in keys)
        parts = options.get(facts.get("parts"), 1)
        of = f"for method: {self.method.name}, got {self.epochs}"
        if self.epochs < least:
            raise ValueError(f"epochs must be at least {' * '.join(keys)}, {least}, {of}")
        if self.epochs % parts:
            raise ValueError(f"epochs must be a multiple of {facts['parts']}, {parts}, {of}")
        if self.warmup > self.epochs // parts:
            raise ValueError(
                f"warmup must be at most epochs / {facts['parts']}, {self.epochs // parts}, for "
                f"method: {self.method.name}, got {self.warmup:g}"
            )


class ModelSettings(Checked):
    """All that the training of one block `models.<name>` rests on, besides code and data."""

    name: str
    arch: str
    options: dict[str, Any]
    """Options of the architecture, defaults filled in."""
    train: TrainSettings
    rotate: bool
    """Whether the validating fold goes by the seed (k-fold cross-validation), or is always 0."""

    @property
    def files(self) -> dict[str, tuple[Path, str]]:
        """Files that the training reads, by the key that names them; what to do without them."""
        method = self.train.method
        named = {
            f"method.{key}": (Path(method.options[key]), remedy)
            for key, remedy in METHODS[method.name].facts.get("files", {}).items()
        }
        if self.train.weights:
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
