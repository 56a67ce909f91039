"""Settings of two runs compared: blocks as they are composed from zoo/ and params.yaml."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from thumbnets.review.snapshot import Snapshot
from thumbnets.yaml_files import merged, parse_yaml

_LONGEST = 80  # characters of a value that are shown
_OF_BLOCKS = ("model", "pool", "train", "models")


@dataclass(frozen=True)
class Run:
    """The settings of a run from params.yaml and zoo/, unchecked.

    Attributes:
        model: The headline model.
        pool: Blocks that may enter the ensemble, without repeats.
        blocks: Settings of the blocks of the run and of the encoders that they begin with, `train`
            included; None for a block that does not exist.
        others: All other keys.
    """

    model: str
    pool: list[str]
    blocks: dict[str, dict[str, Any] | None]
    others: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A setting that differs between two runs.

    Attributes:
        key: Flat key, such as `lr` of a block or `data.name`.
        before: Value before as text; `–` if it was not set.
        after: Value after as text, likewise.
        blocks: Blocks that have the setting; none for a key of the run.
    """

    key: str
    before: str
    after: str
    blocks: list[str]


def read_run(snapshot: Snapshot) -> Run:
    """The settings of a commit.

    Raises:
        ValueError: params.yaml is missing, or a file is not YAML with keys and values.
    """
    if "params.yaml" not in snapshot.files:
        raise ValueError(f"params.yaml is missing in {snapshot.short}: commit it.")
    params = _parse(snapshot.files["params.yaml"], f"params.yaml of {snapshot.short}")
    blocks: dict[str, Any] = {}
    for path in sorted(snapshot.files):
        if path.startswith("zoo/") and path.endswith((".yaml", ".yml")):
            blocks |= _parse(snapshot.files[path], f"{path} of {snapshot.short}")
    blocks = merged(blocks, _mapping(params.get("models")))
    pool = params.get("pool")
    names = list(dict.fromkeys(map(str, pool if isinstance(pool, list) else [])))
    model, train = str(params.get("model")), _mapping(params.get("train"))
    resolved = {name: _resolved(name, blocks, train) for name in dict.fromkeys([model, *names])}
    for name in [_encoder(block) for block in resolved.values()]:
        if name and name not in resolved:
            resolved[name] = _resolved(name, blocks, train)
    others = {key: value for key, value in params.items() if key not in _OF_BLOCKS}
    return Run(model, names, resolved, others)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


@lru_cache(maxsize=256)
def _parse(text: str, source: str) -> dict[str, Any]:
    return {str(key): value for key, value in parse_yaml(text.encode(), source).items()}


def _resolved(name: str, blocks: dict[str, Any], train: dict[str, Any]) -> dict[str, Any] | None:
    if not isinstance(blocks.get(name), Mapping):
        return None
    settings: dict[str, Any] = {}
    seen: list[str] = []
    while name not in seen and isinstance(blocks.get(name), Mapping):
        seen.append(name)
        settings = merged(blocks[name], settings)
        name = str(blocks[name].get("base"))
    settings.pop("base", None)
    return {**train, **settings}


def _encoder(block: dict[str, Any] | None) -> str | None:
    method = (block or {}).get("method")
    encoder = method.get("encoder") if isinstance(method, Mapping) else None
    return encoder if isinstance(encoder, str) else None


def changes(before: Run, after: Run) -> list[Change]:
    """Changed settings of the run, then of the blocks in both runs; each pair of values once."""
    rest = {"model": (before.model, after.model)} if before.model != after.model else {}
    rest |= _different(before.others, after.others)
    found = [Change(key, *_shown(*pair), []) for key, pair in rest.items()]
    of_blocks: dict[tuple[str, str, str], list[str]] = {}
    for name in after.blocks:
        old, new = before.blocks.get(name), after.blocks[name]
        if old is None or new is None:
            continue
        for key, pair in _different(old, new).items():
            of_blocks.setdefault((key, *_shown(*pair)), []).append(name)
    return found + [Change(*of, names) for of, names in of_blocks.items()]


_ABSENT = object()


def _different(before: Mapping, after: Mapping, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Values that differ, by key; maps on both sides are compared inside, as `method.name`."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found |= _different(old, new, f"{prefix}{key}.")
        elif _text(old) != _text(new):
            found[f"{prefix}{key}"] = old, new
    return found


def _shown(before: Any, after: Any) -> tuple[str, str]:
    """Two values as text; long ones are cut."""
    texts = [value if isinstance(value, str) else _text(value) for value in (before, after)]
    cut = [t if len(t) <= _LONGEST else f"{t[: _LONGEST - 1]}…" for t in texts]
    return (cut[0], cut[1]) if cut[0] != cut[1] else (cut[0], "(differs further on)")


def _text(value: Any) -> str:
    return "–" if value is _ABSENT else json.dumps(value, ensure_ascii=False, default=str)
