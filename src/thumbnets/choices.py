"""Choices that params.yaml makes: a registered function with its options, typed and checked.

Free of torch at import, because params are checked before anything is computed.
"""

import typing
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from thumbnets.messages import listed, quote, shorten
from thumbnets.registry import Registry, unknown

# Words of pydantic's messages, and ours.
_WORDS = {
    "Input should be": "must be",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "a valid dictionary": "a map of keys and values",
    "a valid integer": "a whole number",
    "a valid ": "a ",
}


class Checked(BaseModel):
    """Base of all params: immutable, strictly typed, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sparse(Checked):
    """Params of which some are dumped only if they are set.

    A training depends on the dump, and its weights file contains it: a key that was added later
    must not change the dump of params that do not set it.

    Attributes:
        added: Names of these params; the default of each is the behaviour before it was added.
    """

    added: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unset = {k for k in self.added if getattr(self, k) == type(self).model_fields[k].default}
        return {key: value for key, value in dump(self).items() if key not in unset}


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
            raise ValueError(
                f"must be the name of one {registry.kind}, or {{name: …, options}}, got "
                f"{quote(value)}"
            )
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
        error: Error of pydantic.
        model: Model that it was raised for.
        where: Key under which the model's keys are.
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
        elif fault["type"] == "too_short":
            least = fault["ctx"]["min_length"]
            some = "one value or more" if least == 1 else f"{least} values or more"
            faults.append(f"{key} must have {some}, got {quote(fault['input'])}")
        elif fault["type"] == "model_type":
            keys = listed(_fields(model, list(fault["loc"])))
            faults.append(f"{key} must be a map with the keys {keys}, got {quote(fault['input'])}")
        else:
            expected = fault["msg"]
            for theirs, ours in _WORDS.items():
                expected = expected.replace(theirs, ours)
            faults.append(f"{key} {expected}, got {quote(fault['input'])}")
    return "; ".join(faults)


def _fields(model: type[BaseModel], parents: list) -> list[str]:
    """Names of the keys under `parents`, as far as the models' types show."""
    for parent in parents:
        if isinstance(parent, int):  # the place in a list, whose type has been looked into
            continue
        types = typing.get_args(model.model_fields[parent].annotation)
        inner = [t for t in (model.model_fields[parent].annotation, *types) if _is_model(t)]
        model = inner[0]
    return list(model.model_fields)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
