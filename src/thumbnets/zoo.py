"""Blocks of params: those of zoo/, one file per family, and those of params.yaml, merged over them.

A block may build on another one: `base: NAME`. Its own keys are merged over that one's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thumbnets import paths
from thumbnets.registry import METHODS, unknown
from thumbnets.yaml_files import merged, read_yaml

Block = dict[str, Any]


def read_zoo(folder: Path) -> dict[str, Block]:
    """The blocks of all files of a folder, as they are written.

    Raises:
        ValueError: A file is not valid, or two of them have a block of the same name.
    """
    return {name: block for name, (block, _) in _with_files(folder).items()}


def families(folder: Path) -> dict[str, str]:
    """For each block of the zoo, the name of its file."""
    return {name: path.stem for name, (_, path) in _with_files(folder).items()}


def _with_files(folder: Path) -> dict[str, tuple[Block, Path]]:
    found: dict[str, tuple[Block, Path]] = {}
    for path in paths.visible(folder, "*.yaml"):
        for name, block in read_yaml(path).items():
            if name in found:
                raise ValueError(
                    f"Block {name!r} is in two files, {found[name][1]} and {path}: rename one."
                )
            if not isinstance(block, dict):
                raise ValueError(f"{path}: {name} must be a block of keys and values.")
            found[name] = block, path
    return found


def file_of(name: str, folder: Path) -> Path | None:
    """The file of a folder that has the block of that name, if any.

    Raises:
        ValueError: A file is not valid.
    """
    files = paths.visible(folder, "*.yaml")
    return next((path for path in files if name in read_yaml(path)), None)


def _resolve(blocks: Mapping[str, Block], folder: Path) -> dict[str, Block]:
    """Every block merged over its bases, without the key `base`.

    Raises:
        ValueError: A base is not a block, or blocks are each other's base.
    """
    resolved: dict[str, Block] = {}

    def visit(name: str, users: tuple[str, ...]) -> Block:
        if name in users:
            circle = " -> ".join([*users[users.index(name) :], name])
            raise ValueError(f"models.{name}.base: blocks are each other's base: {circle}.")
        if name not in resolved:
            block = blocks[name]
            base = block.get("base")
            own = {key: value for key, value in block.items() if key != "base"}
            if base is None:
                resolved[name] = own
            elif not isinstance(base, str) or base not in blocks:
                file = file_of(name, folder)
                remedy = f" It is in {file}: change it there, or put its base back." if file else ""
                raise ValueError(f"models.{name}.base: {unknown('block', base, blocks)}{remedy}")
            else:
                resolved[name] = merged(visit(base, (*users, name)), own)
        return resolved[name]

    for name in blocks:
        visit(name, ())
    return resolved


def read_blocks(models: Mapping[str, Block], folder: Path = paths.ZOO) -> dict[str, Block]:
    """All blocks, resolved: those of params.yaml first, merged over those of the zoo.

    Args:
        models: The blocks of params.yaml.
        folder: The folder with the files of the zoo.

    Raises:
        ValueError: As `read_zoo`; or a base is not a block, or blocks are each other's base.
    """
    return _resolve(_all_blocks(models, folder), folder)


def _all_blocks(models: Mapping[str, Block], folder: Path) -> dict[str, Block]:
    """As `read_blocks`, but with their bases."""
    zoo = read_zoo(folder)
    mine = {name: merged(zoo.get(name, {}), block) for name, block in models.items()}
    return {**mine, **{name: zoo[name] for name in zoo if name not in mine}}


def bases_of(name: str, models: Mapping[str, Block], folder: Path) -> list[str]:
    """The blocks that a block builds on, the nearest first; `models` as for `read_blocks`.

    Raises:
        ValueError: As `read_zoo`.
    """
    blocks, found = _all_blocks(models, folder), [name]
    while (base := blocks.get(found[-1], {}).get("base")) and base not in found:
        found.append(base)
    return found[1:]


def trains_encoder(block: Block) -> bool:
    """Whether a resolved block trains an encoder, for others to begin with."""
    name = method_of(block)
    return name in [entry.name for entry in METHODS.entries.values() if entry.metadata.pretrains]


def method_of(block: Block) -> Any:
    """The name of a resolved block's method, as it is written; None without one."""
    method = block.get("method")
    return method.get("name") if isinstance(method, dict) else method


def encoder_of(block: Block) -> Any:
    """The block whose encoder a resolved block begins with, as it is written; None without one."""
    method = block.get("method")
    return method.get("encoder") if isinstance(method, dict) else None
