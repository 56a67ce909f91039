"""docs/params.md, written from the settings themselves: `python -m thumbnets.reference`.

Meanings are the docstrings of the settings and of registered functions, read from their source;
types and ranges are what params.yaml is checked against; defaults are those of params.yaml.
"""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined

from thumbnets import paths
from thumbnets.artifacts import write_text
from thumbnets.params import (
    DataParams,
    EnsembleParams,
    EvaluationParams,
    Params,
    ReportParams,
    SplitParams,
)
from thumbnets.registry import (
    AUGMENTATIONS,
    AVERAGES,
    INITIALISATIONS,
    METHODS,
    MIXES,
    NETWORKS,
    OPTIMIZERS,
    PACKAGE,
    SCHEDULES,
    Entry,
    Registry,
)
from thumbnets.training.settings import (
    EarlyStopping,
    Lookahead,
    Patches,
    PowerWeights,
    TrainSettings,
)
from thumbnets.zoo import read_yaml

PAGE = Path("docs/params.md")

# Tables of the page: prefix of the keys, and the class that checks them.
_SECTIONS: dict[str, type[BaseModel]] = {
    "": Params,
    "data": DataParams,
    "split": SplitParams,
    "train": TrainSettings,
    "train.lookahead": Lookahead,
    "train.class_weights": PowerWeights,
    "train.early_stopping": EarlyStopping,
    "train.patches": Patches,
    "ensemble": EnsembleParams,
    "evaluation": EvaluationParams,
    "report": ReportParams,
}
_REGISTRIES: dict[str, tuple[str, Registry]] = {  # by name in the source: its heading
    "METHODS": ("Methods", METHODS),
    "OPTIMIZERS": ("Optimizers", OPTIMIZERS),
    "SCHEDULES": ("Schedules", SCHEDULES),
    "AUGMENTATIONS": ("Augmentations", AUGMENTATIONS),
    "MIXES": ("Mixes of a batch", MIXES),
    "AVERAGES": ("Averages of weights", AVERAGES),
    "INITIALISATIONS": ("Initialisations", INITIALISATIONS),
    "NETWORKS": ("Networks", NETWORKS),
}
_OF_SECTIONS = {model.__name__: prefix for prefix, model in _SECTIONS.items()}

_HEAD = """\
# Params

<!-- Written by `python -m thumbnets.reference` from the code: do not edit. -->

Every key of `params.yaml`: what it takes, its default, and what it means. A misspelt key, or a
value that is out of range, stops a run in its first second with one line.

## Blocks

A block of `models` is an experiment: `arch` names its [network](#networks), and the block may set
options of that network and any key of `train` for itself. `params.yaml` holds the blocks of the
pool, and `zoo/` the others, one file per family. Names of blocks are letters, digits and `_`;
`headline` and `ensemble` are taken.

- `base: OTHER` in a block: it begins as that block, and says only what is different.
- Blocks of `params.yaml` are laid over blocks of the zoo that have the same name.
- Maps are merged key by key. A map with its own `name`, such as `method: {name: …}`, names a
  function and replaces the whole map below it, since its options make no sense for another.
- An unknown base, bases in a circle, and a block in two files are errors.

## Changing a value

    dvc exp run -S models.cnn_c.lr=0.02               # a key that params.yaml has
    dvc exp run -S ++models.cnn_c.batch_size=64       # a key that it need not have: with two pluses
    dvc exp run -S model=resnet20 -S ++models.resnet20.lr=0.05    # a block of zoo/: likewise
    dvc exp run -S 'train.schedule={name: step, every: 5}'        # a map

`-S` writes the value into `params.yaml`, on the lines of that key alone. Editing the file and
running `dvc repro` leaves the same bytes. Where a key takes the name of a function, it takes
`name`, or `{name: …, option: value}` with [its options](#methods).
"""


def page(content: Mapping[str, Any]) -> str:
    """The page docs/params.md.

    Args:
        content: Keys and values of params.yaml, which are the defaults.
    """
    parts = [_HEAD]
    for prefix, model in _SECTIONS.items():
        title = f"`{prefix}`" if prefix else "The run"
        parts.append(f"## {title}\n\n{_first_line(model)}\n\n{_table(prefix, model, content)}")
    for title, registry in _REGISTRIES.values():
        entries = [*registry.entries.values(), *registry.libraries.values()]
        listed = "\n".join(_entry(registry, one) for one in entries)
        parts.append(f"## {title}\n\n{listed}\n")
    return "\n".join(parts)


def _table(prefix: str, model: type[BaseModel], content: Mapping[str, Any]) -> str:
    """One row per key of a section; a section within it has a table of its own."""
    lines = ["| key | takes | default | meaning |", "| :-- | :-- | :-- | :-- |"]
    values = _section(content, prefix)
    for key, (annotation, meaning) in _fields(model).items():
        if prefix == "" and annotation in _OF_SECTIONS:
            continue
        field = model.model_fields[key]
        default = field.default if values is None else values.get(key, field.default)
        cells = [
            f"`{prefix}.{key}`" if prefix else f"`{key}`",
            _takes(annotation, model, key),
            _default(key, default, values),
            meaning or _meaning_of(annotation),
        ]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _section(content: Mapping[str, Any], prefix: str) -> Mapping[str, Any] | None:
    """The values below a prefix; None where params.yaml has null there."""
    for key in filter(None, prefix.split(".")):
        content = content[key]
    return content


def _default(key: str, value: Any, values: Mapping[str, Any] | None) -> str:
    if key == "models":
        return "the pool's blocks"
    if values is None:  # the section is null, so that a key has its own default, if it has one
        return "–" if value is PydanticUndefined else f"`{_as_yaml(value)}`"
    return f"`{_as_yaml(value)}`" + ("" if key in values else ", set with `+`")


def _as_yaml(value: Any) -> str:
    """A value as it would stand on one line of YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_as_yaml(of)}" for key, of in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_as_yaml, value)) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _fields(model: type[BaseModel]) -> dict[str, tuple[str, str]]:
    """For each key of a class its annotation as source text, and its docstring."""
    tree = ast.parse(inspect.getsource(model)).body[0]
    found: dict[str, tuple[str, str]] = {}
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            meaning = _one_line(after.value.value) if told else ""
            found[node.target.id] = (ast.unparse(node.annotation), meaning)
    return {key: of for key, of in found.items() if key in model.model_fields}


def _meaning_of(annotation: str) -> str:
    """The docstring of the class that a key takes."""
    name = annotation.removesuffix(" | None")
    return _first_line(_SECTIONS[_OF_SECTIONS[name]]) if name in _OF_SECTIONS else ""


def _takes(annotation: str, model: type[BaseModel], key: str) -> str:
    """Type and range of a key in words."""
    nothing = ", or null" if annotation.endswith(" | None") else ""
    if chosen := re.search(r"choice_of\((\w+)\)", annotation):
        title, registry = _REGISTRIES[chosen[1]]
        anchor = f"(#{title.lower().replace(' ', '-')})"
        if annotation.startswith("list"):
            return f"list of [{registry.kind}s]{anchor}"
        return f"[{registry.kind}]{anchor}{nothing}"
    name = annotation.removesuffix(" | None")
    if name in _OF_SECTIONS:
        return f"{_keys(name)}{nothing}"
    return words(model.model_json_schema()["properties"][key])


def _keys(name: str) -> str:
    """The keys of a section, by the name of its class."""
    return f"`{{{', '.join(_SECTIONS[_OF_SECTIONS[name]].model_fields)}}}`"


def words(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words: `whole number, at least 1`."""
    if "$ref" in schema:
        return _keys(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        kinds = sorted(schema["anyOf"], key=lambda one: one.get("type") == "null")
        return ", or ".join(map(words, kinds))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return f"[least, greatest], each {words(schema['prefixItems'][0])}"
        least = schema.get("minItems")
        items = re.sub(r"^(text|whole number|number)\b", _plural, words(schema["items"]))
        return f"list of {items}" + (f"; {least} or more" if least else "")
    if kind == "object":
        return "map"
    names = {"integer": "whole number", "number": "number", "boolean": "true or false"}
    return ", ".join([names.get(kind, "null" if kind == "null" else "text"), *_range(schema)])


def _plural(found: re.Match) -> str:
    return "names" if found[0] == "text" else f"{found[0]}s"


def _range(schema: Mapping[str, Any]) -> Iterator[str]:
    for key, text in {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
        "multipleOf": "multiple of",
    }.items():
        if key in schema:
            yield f"{text} {schema[key]:,}"


def _entry(registry: Registry, entry: Entry) -> str:
    """A list item of a registered function, with one below it for each option."""
    docstring = _docstring(entry)
    name = f"{entry.name}/NAME" if entry.metadata.library else entry.name
    lines = [f"- `{name}`: {_one_line(docstring.split(chr(10) * 2)[0])}"]
    meanings = _arguments(docstring)
    options = registry.options(entry.name).model_fields if not entry.metadata.library else {}
    for key, field in options.items():
        kind = field.rebuild_annotation()
        default = "required" if field.is_required() else f"default {_as_yaml(field.default)}"
        takes = f"{words(TypeAdapter(kind).json_schema())}; {default}"
        lines.append(f"  - `{key}` ({takes})" + (f": {meanings[key]}" if key in meanings else ""))
    return "\n".join(lines)


def _docstring(entry: Entry) -> str:
    source = (PACKAGE.parent / entry.module.replace(".", "/")).with_suffix(".py")
    if not source.is_file():
        source = source.with_suffix("") / "__init__.py"
    body = ast.parse(source.read_text(encoding="utf-8")).body
    return next(ast.get_docstring(node) or "" for node in body if _is(node, entry.name))


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name


def _arguments(docstring: str) -> dict[str, str]:
    """What the section `Args:` of a docstring says of each argument."""
    section = re.search(r"^Args:\n((?:(?: .*)?\n?)*)", docstring, re.MULTILINE)
    item = r"^ {4}([\w, ]+): ((?:.|\n(?! {4}\w))*)"
    items = re.findall(item, section[1] if section else "", re.MULTILINE)
    return {
        name: _one_line(text).replace("None", "null")  # as params.yaml writes it
        for names, text in items
        for name in names.split(", ")
    }


def _first_line(model: type[BaseModel]) -> str:
    return _one_line(inspect.getdoc(model).split("\n\n")[0])


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    write_text(PAGE, page(read_yaml(paths.PARAMS)))
