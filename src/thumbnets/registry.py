"""Named functions (networks, augmentations, …), found by reading their source.

A decorator registers a function in the one place that defines it. The params check, the command
line, the tests and the report read its name and options from the syntax tree. So checking a name
takes milliseconds (no torch), and a module that is slow to import or fails to affects no other;
but one that is not valid Python stops every run.
"""

import ast
import difflib
import importlib
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from thumbnets import options as option_types
from thumbnets import paths
from thumbnets.messages import listed, quote, shorten
from thumbnets.syntax import read_tree

PACKAGE = Path(__file__).parent

# Names that the annotation of an option may use.
_ANNOTATION_NAMES = {
    **vars(option_types),
    "Annotated": Annotated,
    "Field": Field,
    "Literal": Literal,
    "options": option_types,
}


_STRICT = ConfigDict(strict=True, extra="forbid")


@checked_dataclass(frozen=True, kw_only=True, config=_STRICT)
class Metadata:
    """What a decorator states about an entry: nothing, unless a subclass has fields."""

    library: bool = False
    """Whether the function stands for all networks of the library that it is called after."""

    @property
    def named_options(self) -> list[str]:
        """Names of options that the metadata refer to."""
        return []


@checked_dataclass(frozen=True, kw_only=True, config=_STRICT)
class NetworkMetadata(Metadata):
    """Metadata of a network; only one that stands for a library has no parameters."""

    source: str
    family: str | None = None
    parameters: int | None = None
    largest_image: int | None = None
    """Greatest side of an image in pixels, if there is a limit."""

    @model_validator(mode="after")
    def _is_described(self) -> Self:
        if not self.library and None in (self.family, self.parameters):
            raise ValueError("family and parameters are needed")
        return self


@checked_dataclass(frozen=True, kw_only=True, config=_STRICT)
class OptimizerMetadata(Metadata):
    """Metadata of an optimizer."""

    has_momentum: bool = True


@checked_dataclass(frozen=True, kw_only=True, config=_STRICT)
class ScheduleMetadata(Metadata):
    """Metadata of a schedule: when it sets the learning rate."""

    every: Literal["step", "epoch", "plateau"]


@checked_dataclass(frozen=True, kw_only=True, config=_STRICT)
class MethodMetadata(Metadata):
    """Metadata of a method; `thumbnets.methods.base.Method` describes each field."""

    whole_batch: bool = False
    excludes: tuple[str, ...] = ()
    refuses: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    parts: str | None = None
    walk: tuple[str, str] | None = None
    pretrains: bool = False
    example: str = "image"
    classes: int | None = None
    examples: tuple[str, ...] = ()

    @property
    def named_options(self) -> list[str]:
        """Names of options that the metadata refer to."""
        parts = [self.parts] if self.parts else []
        return [*parts, *(self.walk or ()), *self.examples, *self.files]


@dataclass(frozen=True)
class Entry:
    """One registered function.

    Attributes:
        name: The function's name, used in params.yaml.
        module: Dotted name of the module that defines it.
        metadata: Literals of its decorator, of the type that its registry names.
        parameters: For each keyword-only argument: annotation as source text (empty if it has
            none), and default (`...` if it has none).
    """

    name: str
    module: str
    metadata: Any
    parameters: dict[str, tuple[str, Any]]

    def type_of(self, option: str) -> Any:
        """The type of an option, as its annotation says.

        Raises:
            ValueError: It has none, or one that is not known here.
        """
        annotation, _ = self.parameters[option]
        try:
            kind = eval(annotation, dict(_ANNOTATION_NAMES))
            return eval(kind, dict(_ANNOTATION_NAMES)) if isinstance(kind, str) else kind
        except (NameError, AttributeError, TypeError, SyntaxError):
            given = f"the type {annotation}" if annotation else "no type"
            raise ValueError(
                f"{self.module}: option {option} of {self.name} has {given}, must have bool, int, "
                "float, str, a list or Literal of them, or a type of thumbnets.options."
            ) from None


class Registry:
    """The functions under `place` that carry `@REGISTRY.register(...)`.

    Args:
        kind: Name of what an entry is, for messages ("network").
        place: Module file or folder of modules, relative to the package.
        given: Keyword-only arguments that the caller supplies; all others are options.
        metadata: Type of the metadata that a decorator may state.
    """

    def __init__(
        self,
        kind: str,
        place: str,
        given: tuple[str, ...] = (),
        metadata: type[Metadata] = Metadata,
    ) -> None:
        self.kind, self.place, self.given, self.metadata = kind, place, given, metadata

    def register(self, **metadata: Any) -> Callable:
        """Mark a function as an entry; `metadata` are literals, such as family or source."""

        def mark(function: Callable) -> Callable:
            return function

        return mark

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """All entries by name, sorted, except those of libraries.

        Raises:
            ValueError: Two functions have the same name, or the metadata of a decorator are wrong.
        """
        return {name: e for name, e in self._found.items() if not e.metadata.library}

    @cached_property
    def libraries(self) -> dict[str, Entry]:
        """Functions that each stand for a whole library, by its name.

        Such a function is registered with `library=True` and named like the library, whose entries
        are called `library/name`; it gets `name` as its first argument.
        """
        return {name: e for name, e in self._found.items() if e.metadata.library}

    @cached_property
    def _found(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for path in self._files():
            for entry in _read_entries(path, self.metadata):
                if entry.name in found:
                    raise ValueError(
                        f"Two {self.kind}s are called {entry.name!r}: in "
                        f"{found[entry.name].module} and {entry.module}. Rename one."
                    )
                found[entry.name] = entry
        return dict(sorted(found.items()))

    def __contains__(self, name: str) -> bool:
        library, _, inner = name.partition("/")
        if library in self.libraries:
            return inner in library_names(library)
        return name in self.entries

    def __getitem__(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            ValueError: No entry has that name; the message names the nearest known ones.
        """
        library, _, inner = name.partition("/")
        if name not in self and library in self.libraries:
            raise ValueError(unknown(f"{self.kind} of {library}", inner, library_names(library)))
        if name not in self:
            known = [*self.entries, *(f"{library}/NAME" for library in self.libraries)]
            raise ValueError(unknown(self.kind, name, known))
        return self.entries.get(name) or replace(self.libraries[library], name=name)

    @cache  # noqa: B019  (registries live as long as the process)
    def options(self, name: str) -> type[BaseModel]:
        """A pydantic model of the options of `name`: strict types, unknown keys refused.

        Raises:
            ValueError: No entry has that name, or the type of an option is not known.
        """
        entry = self[name]
        fields = {
            key: (entry.type_of(key), default)
            for key, (_, default) in entry.parameters.items()
            if key not in self.given
        }
        strict = ConfigDict(extra="forbid", strict=True)
        try:
            model = create_model(name, __config__=strict, **fields)
            model.model_rebuild()  # or types with names in quotes fail only when they are used
        except Exception as error:  # pydantic has a dozen types of them
            why = shorten(str(error).partition("\n")[0])
            raise ValueError(f"{entry.module}: types of options of {name}: {why}") from None
        return model

    def load(self, name: str) -> Callable:
        """Import the module of `name`, and only that, and return the function."""
        entry = self[name]
        outer, _, inner = name.partition("/")
        function = getattr(importlib.import_module(entry.module), outer)
        return partial(function, inner) if inner else function

    def _files(self) -> list[Path]:
        place = PACKAGE / self.place
        return paths.visible(place, "*.py") if place.is_dir() else [place]


@cache
def library_names(library: str) -> list[str]:
    """Names of the networks that torchvision registers, read from its source as ours are.

    Raises:
        ValueError: The library is not installed.
    """
    found = find_spec(library)
    if found is None:
        raise ValueError(f"{library} is not installed: install it, or take out what registers it.")
    folder = Path(found.origin).parent / "models"
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
    return sorted(re.findall(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(", text, re.MULTILINE))


def unknown(kind: str, name: object, known: Any) -> str:
    """The message for a name that is not among `known`, with the nearest known names first."""
    names = list(known)
    folded = {one.casefold(): one for one in reversed(names)}
    near = difflib.get_close_matches(shorten(str(name)).casefold(), folded, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(folded[one]) for one in near)}?" if near else ""
    said = f"Known: {listed(names)}." if names else "There is none."
    return f"Unknown {kind} {quote(name)}.{hint} {said}"


def _read_entries(path: Path, kind: type[Metadata]) -> Iterator[Entry]:
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    module = module.removesuffix(".__init__")
    for node in read_tree(path).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if _registers(decorator):
                raise ValueError(
                    f"{path}, line {decorator.lineno}: write `.register()`, with parentheses."
                )
            call = decorator if isinstance(decorator, ast.Call) else None
            if call and _registers(call.func):
                metadata = _read_metadata(call, kind, path)
                parameters = _keyword_only(node, path)
                for option in metadata.named_options:
                    if option not in parameters:
                        known = unknown(f"option of {node.name}", option, parameters)
                        raise ValueError(f"{path}, line {call.lineno}: register(…): {known}")
                yield Entry(node.name, module, metadata, parameters)


def _registers(node: ast.expr) -> bool:
    """Whether it is `register` of a registry, whose names are capitals: others have that, too."""
    if not isinstance(node, ast.Attribute) or node.attr != "register":
        return False
    return ast.unparse(node.value).rpartition(".")[2].isupper()


def _read_metadata(call: ast.Call, kind: type[Metadata], path: Path) -> Metadata:
    values = {k.arg: _literal(k.value, k.arg, path) for k in call.keywords if k.arg}
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) + "=" * bool(first["loc"])
        wrong = first["msg"].removeprefix("Value error, ")
        known = ", ".join(kind.__dataclass_fields__)
        raise ValueError(
            f"{path}, line {call.lineno}: register({key}…): {wrong}. Known: {known}."
        ) from None


def _keyword_only(node: ast.FunctionDef | ast.ClassDef, path: Path) -> dict[str, tuple[str, Any]]:
    """Annotations and defaults of a function's keyword-only arguments, or of a class's __init__."""
    if isinstance(node, ast.ClassDef):
        inner = (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
        node = next(inner, None)
    if node is None:
        return {}
    arguments = node.args
    if arguments.defaults:
        last = (arguments.posonlyargs + arguments.args)[-1]
        raise ValueError(
            f"{path}, line {last.lineno}: {last.arg} has a default, so it is an option: write `*,` "
            "before it."
        )
    return {
        a.arg: (
            ast.unparse(a.annotation) if a.annotation else "",
            ... if default is None else _literal(default, f"the default of {a.arg}", path),
        )
        for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    }


def _literal(node: ast.expr, what: str, path: Path) -> Any:
    """The value of an expression that is a literal: nothing is computed to read it.

    Raises:
        ValueError: It is none.
    """
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise ValueError(
            f"{path}, line {node.lineno}: {what} must be a literal (numbers, strings, lists of "
            f"them, …), got {shorten(ast.unparse(node))}."
        ) from None


NETWORKS = Registry(
    "network",
    "models",
    given=("in_channels", "image_size", "num_classes"),
    metadata=NetworkMetadata,
)
AUGMENTATIONS = Registry("augmentation", "data/augment", given=("generator", "epoch", "index"))
MIXES = Registry("mix", "data/mix.py", given=("generator", "classes"))
OPTIMIZERS = Registry(
    "optimizer",
    "training/optimizers.py",
    given=("lr", "momentum", "weight_decay"),
    metadata=OptimizerMetadata,
)
SCHEDULES = Registry(
    "schedule",
    "training/schedules.py",
    given=("epochs", "steps_per_epoch"),
    metadata=ScheduleMetadata,
)
INITIALISATIONS = Registry("initialisation", "training/initialisation.py", given=("generator",))
METHODS = Registry("method", "methods", metadata=MethodMetadata)
AVERAGES = Registry("weight average", "training/averaging.py", given=("steps",))


def place_of(error: BaseException) -> str | None:
    """File and line of the registered function that an error came from, if it is from one."""
    registries = [of for of in globals().values() if isinstance(of, Registry)]
    lines = [
        f"{frame.filename}, line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if any(Path(frame.filename).is_relative_to(PACKAGE / of.place) for of in registries)
    ]
    return lines[-1] if lines else None
