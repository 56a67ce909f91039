"""Reading a YAML file of settings, within bounds of length, depth and size."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thumbnets import paths
from thumbnets.artifacts import read_bounded
from thumbnets.messages import reason, shorten

CONFLICT_MARKERS = re.compile(r"^(<<<<<<<|>>>>>>>) ", re.MULTILINE)  # of an unresolved merge
_TWICE = re.compile('found duplicate key "(.*)" with value', re.DOTALL)  # of ruamel.yaml
_LONGEST = 1 << 20  # bytes; params.yaml and all of zoo/ have less than a tenth
_DEEPEST = 20  # levels of maps and lists
_VALUES = 100_000  # with every alias counted as often as it is written


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A map with another one laid over it, key by key.

    Maps below are merged likewise, but one that names its function (`name`) replaces the whole map:
    the options of one function make no sense for another.

    Args:
        base: The map below.
        over: The map whose values win.
    """
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and "name" not in value:
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def read_yaml(path: Path) -> dict[Any, Any]:
    """Read a YAML 1.2 file of keys and values.

    Args:
        path: The file.

    Raises:
        ValueError: The file is missing or too long, or as `parse_yaml`.
    """
    if not path.exists():
        hint = ": go to a folder of a project" if path == paths.PARAMS else ""
        raise ValueError(f"{path} not found{hint}.")
    return parse_yaml(read_bounded(path, _LONGEST), str(path))


def parse_yaml(content: bytes, where: str) -> dict[Any, Any]:
    """Parse YAML 1.2 with the parser of DVC: another one would see other values (1e-3, yes, 012).

    Args:
        content: Content of a file.
        where: Name of the file, for messages.

    Raises:
        ValueError: It is not UTF-8, not YAML, nested too deeply, holds no keys and values, or a key
            that is no text.
    """
    try:
        text = content.decode("utf-8")
        parsed = YAML(typ="safe").load(text)
    except YAMLError as error:
        if conflict := CONFLICT_MARKERS.search(text):
            line = text.count("\n", 0, conflict.start()) + 1
            raise ValueError(
                f"{where}, line {line}: a merge conflict: resolve it, and remove its markers."
            ) from None
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or error)
        if twice := _TWICE.match(problem):
            raise ValueError(f"{where}{line}: the key {twice[1]} stands there twice.") from None
        raise ValueError(f"{where}{line}: not valid YAML: {shorten(problem)}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not UTF-8 at byte {error.start}") from None
    except Exception as error:  # of the constructors: a date or number of thousands of digits
        raise ValueError(f"{where}: not valid YAML: {reason(error)}") from None
    if not isinstance(parsed, dict):
        empty = parsed is None and " is empty: it"
        raise ValueError(f"{where}{empty or ''} must hold keys and values.")
    if _count(parsed, {}, _DEEPEST) > _VALUES:
        raise ValueError(
            f"{where} must have at most {_DEEPEST} levels and {_VALUES:,} values, aliases included."
        )
    _check_keys(parsed, where, "")
    return parsed


def _check_keys(value: Any, where: str, inside: str) -> None:
    if isinstance(value, list):
        for one in value:
            _check_keys(one, where, inside)
    elif isinstance(value, dict):
        for key, one in value.items():
            if not isinstance(key, str):
                of = f" of {inside}" if inside else ""
                got = "nothing" if key is None else shorten(str(key))
                raise ValueError(f"{where}: a key{of} must be text, got {got}: quote or remove it.")
            _check_keys(one, where, f"{inside}.{key}" if inside else key)


def _count(value: Any, counted: dict[tuple[int, int], int], levels: int) -> int:
    """Number of values in nested maps and lists, more than the limit if they are too deep."""
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if not levels:
        return _VALUES + 1
    if (key := (id(value), levels)) not in counted:  # each alias is looked at once per level
        inside = value.values() if isinstance(value, dict) else value
        counted[key] = 1 + sum(_count(one, counted, levels - 1) for one in inside)
    return counted[key]
