"""What statements of the project refer to: by name, by import, or by strings that registries know.

`source` is everywhere the folder that holds the project's package(s).
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from thumbnets import paths
from thumbnets.modules import file_of, forget_files, is_module, named
from thumbnets.statements import REGISTRIES, Imported, Module

# A statement, by its module and its number in it.
Place = tuple[str, int]

# A module, and a name in it with attributes.
_Path = tuple[str, ...]

# A file that is used as a whole, or an entry of a registry in it.
Target = tuple[Path, str | None]


@cache
def asked_for(name: str, number: int, source: Path) -> list[Target]:
    """What a statement may find by its name."""
    module, file = named(name, source), file_of(name, source)
    statement = module.statements[number]
    listed = paths.visible(file.parent, "*.py") if statement.lists_modules else []
    found = [
        target
        for text in statement.names.strings
        for target in targets_of(text, statement.finds, module.package, source)
        if target[0] != file
    ]
    return [*((path, None) for path in listed), *found]


@cache
def targets_of(text: str, finds: frozenset[str], package: str | None, source: Path) -> list[Target]:
    """What a string names.

    Args:
        text: The string.
        finds: What is found by name: see `Statement.finds`.
        package: The package that relative names of modules begin with; None: the string is far from
            what finds by name, so that a word without dots is taken for no module.
        source: See above.
    """
    found: list[tuple[str, str | None]] = []
    module = text.partition(":")[0]  # of module:name
    near = package is not None or "." in module.strip(".")
    if "modules" in finds and near and is_dotted(module.lstrip(".")):
        found.append((f"{package or ''}{module}" if module.startswith(".") else module, None))
    first, slash, second = text.partition("/")  # torchvision/resnet18
    if bool(slash) == bool(second):
        known = (entries(registry) for registry in finds & REGISTRIES)
        found += ((of[first], first) for of in known if first in of)
    places = [(file_of(one, source), entry) for one, entry in found]
    return [place for place in places if place[0]]


def is_dotted(text: str) -> bool:
    """Whether a string may be a dotted name."""
    return all(map(str.isidentifier, text.split(".")))


@cache
def entries(name: str) -> dict[str, str]:
    """The module of each entry of a registry, by its name; of a library by the library's."""
    from thumbnets import registry  # which is slow to import

    of = getattr(registry, name)
    return {name: entry.module for name, entry in {**of.entries, **of.libraries}.items()}


def _whole(module: Module, source: Path, seen: set[_Path]) -> Iterator[Place]:
    """All statements of a module, and what it passes on."""
    for number, statement in enumerate(module.statements):
        yield module.name, number
        for name in statement.names.binds:
            for imported in statement.names.imports.get(name, ()):
                yield from _follow(imported, [], source, seen)


@cache
def reached_from(name: str, number: int, source: Path) -> tuple[Place, ...]:
    """The statements that a statement names."""
    module = named(name, source)
    statement = module.statements[number]
    found: list[Place] = []
    seen: set[_Path] = set()
    reads = statement.names.reads
    for dotted in reads | statement.quotes:
        first, *rest = dotted.split(".")
        own = module.binding.get(first, [])
        if dotted not in reads:  # a word, such as "step", is not a use of an entry
            own = [one for one in own if not module.statements[one].entry]
        found += ((name, one) for one in own)
        for one in (statement, *(module.statements[one] for one in own)):
            for imported in one.names.imports.get(first, ()):
                found += _follow(imported, rest, source, seen)
    for imported in statement.names.imports.get("*", ()):
        found += _follow((imported[0], None), [], source, seen)
    return tuple(found)


def _follow(imported: Imported, rest: list[str], source: Path, seen: set[_Path]) -> Iterator[Place]:
    """The statements behind `imported.rest`, each once; none if it is of a library."""
    name, of_it = imported
    path = [*([of_it] if of_it else []), *rest]
    if (name, *path) in seen:
        return
    seen.add((name, *path))
    module = named(name, source)
    while path and not (module and path[0] in module.binding):
        if not is_module(f"{name}.{path[0]}", source):
            break
        name = f"{name}.{path.pop(0)}"
        module = named(name, source)
    if module is None:
        return
    numbers = module.binding.get(path[0]) if path else None
    if numbers is None:  # the module itself, or a name that its `__getattr__` finds
        yield from _whole(module, source, seen)
        return
    for number in numbers:
        yield name, number
        for further in module.statements[number].names.imports.get(path[0], ()):
            if further == (name, path[0]):  # a package that imports a module of its own
                further = (f"{name}.{path[0]}", None)
            yield from _follow(further, path[1:], source, seen)


def forget_references() -> None:
    """As `forget_files`, and of what follows from the files."""
    forget_files()
    for function in (asked_for, targets_of, reached_from):
        function.cache_clear()
