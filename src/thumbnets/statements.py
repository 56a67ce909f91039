"""The statements of a module, with the names that each binds and reads; nothing is imported.

Fingerprints follow these names, so that a stage depends on the functions that it uses and not on
all that stands beside them.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from thumbnets.side_effects import acts, keeps, names_of_the_project
from thumbnets.syntax import (
    DEFINITIONS,
    IMPORTS,
    arguments_of,
    bound_by,
    called,
    code_of,
    dotted,
    imported_from,
    is_bare_string,
    is_string,
    last_name,
    read_tree,
    statements_below,
)

REGISTRIES = {
    *("AUGMENTATIONS", "AVERAGES", "INITIALISATIONS", "METHODS", "MIXES", "NETWORKS"),
    *("OPTIMIZERS", "SCHEDULES"),
}

# What gives an entry of a registry, or a module, by its name.
_FIND = {
    "create_model": "NETWORKS",
    **dict.fromkeys(("__import__", "import_module", "importlib", "resolve_name"), "modules"),
    **{name: name for name in REGISTRIES},
}

# What finds code without naming it: functions, functions without arguments, methods.
_OF_FOLDERS = {"iter_modules", "walk_packages"}
_SEARCHES = {"__init_subclass__", "eval", "exec", "globals"} | _OF_FOLDERS
_SEARCHES_AT_HAND = {"locals", "vars"}
_SEARCHING_METHODS = {"__subclasses__"} | _OF_FOLDERS

# What finds files beside a module.
_BESIDE = {"__file__", "__path__", "__spec__", "get_data", "resources"}

# What an import binds a name to: a module, or (of `from a import b`) a module and a name in it.
Imported = tuple[str, str | None]


class Names:
    """Names in a statement, found in one walk over it, which takes most of a fingerprint's time.

    Args:
        node: The statement, or an expression.
        package: The package that its relative imports begin with.

    Attributes:
        reads: Dotted names that occur in it, as `a.b` of `a.b(c)`.
        strings: Its strings but those that are only read by people.
        imports: What the import statements in it bind names to.
        binds: Names that it gives to its module.
        parts: All names that occur in it, those of attributes and imports as well.
        finds: What it may find by name itself: see `Statement.finds`.
        searches: Whether it may find code that it does not name, as a class that knows its
            subclasses.
    """

    def __init__(self, node: ast.stmt | ast.expr, package: str) -> None:
        self.package = package
        self.reads: set[str] = set()
        self.strings: set[str] = set()
        self.imports: dict[str, list[Imported]] = {}
        self.parts: set[str] = set()
        self.searches = False
        # More than a statement binds, if it holds functions: that does no harm.
        self._stored: set[str] = set()
        self._global: set[str] = set()
        self._walk(node)
        self.finds = frozenset(_finds(self.parts))
        defines = isinstance(node, DEFINITIONS)
        self.binds = frozenset({node.name} | self._global if defines else self._stored)
        self.searches |= {"sys.modules", "__name__"} <= self.reads

    def _walk(self, node: ast.AST) -> None:
        texts: set[int] = set()  # arguments of errors, by identity
        waiting = [(node, False)]
        while waiting:
            node, told = waiting.pop()
            told = told or id(node) in texts
            if isinstance(node, ast.expr):
                if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node)):
                    self._take_name(name, node)
                    continue
                self._look_at_expression(node, told=told)
            elif isinstance(node, ast.stmt):
                self._look_at_statement(node)
                if isinstance(node, ast.Raise):
                    texts.update(map(id, arguments_of(node)))
            for field in node._fields:
                value = getattr(node, field, None)
                for child in value if isinstance(value, list) else (value,):
                    # Operators have no fields.
                    if isinstance(child, ast.AST) and child._fields and not is_bare_string(child):
                        waiting.append((child, told))

    def _take_name(self, name: str, node: ast.Name | ast.Attribute) -> None:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            self._stored.add(name)
        if isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load):
            self.reads.add(name)
        first, *attributes = name.split(".")
        self.parts.update((first, *attributes))
        if first in _SEARCHES or not _SEARCHING_METHODS.isdisjoint(attributes):
            self.searches = True

    def _look_at_expression(self, node: ast.expr, *, told: bool) -> None:
        if isinstance(node, ast.Constant):
            if is_string(node) and not told:
                self.strings.add(node.value)
        elif isinstance(node, ast.Attribute):
            self.parts.add(node.attr)
            self.searches |= node.attr in _SEARCHING_METHODS
        elif isinstance(node, ast.Call):
            self.searches |= not node.args and last_name(node.func) in _SEARCHES_AT_HAND
            if last_name(node.func) == "getattr" and len(node.args) > 1 and is_string(node.args[1]):
                self.reads.add(f"{dotted(node.args[0])}.{node.args[1].value}")

    def _look_at_statement(self, node: ast.stmt) -> None:
        if isinstance(node, IMPORTS):
            for alias in node.names:
                name = bound_by(node, alias)
                imported = _imported(node, alias, self.package)
                self.imports.setdefault(name, []).append(imported)
                self._stored.add(name)
                self.parts.add(alias.name)
        elif isinstance(node, ast.Global):
            self._global.update(node.names)
        elif isinstance(node, DEFINITIONS):
            self._stored.add(node.name)
            self.searches |= node.name == "__init_subclass__"
            if isinstance(node, ast.ClassDef):
                self.reads.update(_imported_by(node.body))  # its methods find them as attributes
                # A metaclass is told of every class, also of those that derive from one of its own.
                metaclasses = (one.value for one in node.keywords if one.arg == "metaclass")
                self.searches |= any(last_name(one) != "ABCMeta" for one in metaclasses)
                self.searches |= any(dotted(base) == "type" for base in node.bases)


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement of a module, outside of functions and classes; one for each name of an import.

    Attributes:
        node: Its syntax tree.
        names: Names in it.
        acts: Whether it does something when the module is imported, besides binding its names.
        entry: Its name in a registry of the project, if it is a registered function.
        finds: What its module finds by name: `modules`, and names of registries.
        looks_beside: Whether it may read files in the folder of its module, or of a package that
            it names.
    """

    node: ast.stmt
    names: Names
    acts: bool
    entry: str | None
    finds: frozenset[str]
    looks_beside: bool

    @cached_property
    def code(self) -> str:
        """Its code as text: see `code_of`."""
        return code_of(self.node)

    @cached_property
    def quotes(self) -> frozenset[str]:
        """Names in its strings, which may be annotations."""
        return frozenset(name for text in self.names.strings for name in _names_in(text))

    @cached_property
    def lists_modules(self) -> bool:
        """Whether it imports what is in the folder of its module."""
        return any(name.rpartition(".")[2] in _OF_FOLDERS for name in self.names.reads)


@dataclass(frozen=True)
class Module:
    """A module of the project.

    Attributes:
        name: Its dotted name.
        package: The package that its relative imports begin with.
        statements: What it consists of, in order; docstrings are left out.
    """

    name: str
    package: str
    statements: list[Statement]

    @cached_property
    def binding(self) -> dict[str, list[int]]:
        """Numbers of the statements that bind a name."""
        found: dict[str, list[int]] = {}
        for number, statement in enumerate(self.statements):
            for name in statement.names.binds:
                found.setdefault(name, []).append(number)
        return found


def read_module(file: Path, name: str) -> Module:
    """A module with its statements.

    Args:
        file: Its file.
        name: Its dotted name.

    Raises:
        ValueError: The file is not valid Python.
    """
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    tree = read_tree(file)
    named = [(node, Names(node, package)) for node in _one_by_one(tree)]
    finds = frozenset(_finds({part for _, names in named for part in names.parts}))
    ours, registries = set(names_of_the_project(tree, package)), _registries(tree)
    beside = _BESIDE | set(_finding_files([names for _, names in named]))
    statements = []
    for node, names in named:
        entry, others = _entry(node, registries)
        acting = others if entry else acts(node, ours)
        looks = not beside.isdisjoint(part for read in names.reads for part in read.split("."))
        statements.append(Statement(node, names, acting, entry, finds, looks))
    return Module(name, package, statements)


def _finding_files(of_statements: list[Names]) -> Iterator[str]:
    """Names that are imported from what finds files beside a module."""
    for names in of_statements:
        for name, imported in names.imports.items():
            origins = {part for of in imported for text in of for part in (text or "").split(".")}
            if origins & _BESIDE:
                yield name


def _one_by_one(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, one for each name of an import; docstrings are left out."""
    for node in tree.body:
        if isinstance(node, IMPORTS):
            for alias in node.names:
                one = _of_one_name(node, alias)
                yield ast.copy_location(one, node)
        elif not is_bare_string(node):
            yield node


def _of_one_name(node: ast.stmt, alias: ast.alias) -> ast.stmt:
    if isinstance(node, ast.ImportFrom):
        return ast.ImportFrom(node.module, [alias], node.level)
    return ast.Import([alias])


def _finds(names: set[str]) -> Iterator[str]:
    """What code with these names in it may find by name: see `Statement.finds`."""
    loads = "load" in names  # a module may only ask what a registry has
    yield from (
        _FIND[name] for name in names if name in _FIND and (loads or name not in REGISTRIES)
    )


def _registries(tree: ast.Module) -> set[str]:
    """Registries of the project that a module imports."""
    return {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in REGISTRIES or alias.name == "registry"
    }


def _entry(node: ast.stmt, registries: set[str]) -> tuple[str | None, bool]:
    """The name of a function that a registry of the project finds, and whether others keep it."""
    decorators = getattr(node, "decorator_list", [])
    registered = [one for one in decorators if _registry(one, registries)]
    others = [one for one in decorators if one not in registered]
    return (node.name, any(map(keeps, others))) if registered else (None, False)


def _registry(decorator: ast.expr, registries: set[str]) -> bool:
    """Whether a decorator is `@X.register()` of a registry that the module imports."""
    *path, method = (dotted(called(decorator)) or "").split(".")
    known = path and path[0] in registries and path[-1] in REGISTRIES
    return method == "register" and bool(known)


def _imported(node: ast.stmt, alias: ast.alias, package: str) -> Imported:
    """What an import binds its name to."""
    if isinstance(node, ast.ImportFrom):
        return imported_from(node, package), alias.name
    return (alias.name if alias.asname else bound_by(node, alias)), None


def _imported_by(nodes: list[ast.stmt]) -> Iterator[str]:
    """Names that statements import, functions in them left out."""
    for node in nodes:
        if isinstance(node, IMPORTS):
            yield from (bound_by(node, alias) for alias in node.names)
        elif not isinstance(node, DEFINITIONS):
            yield from _imported_by(list(statements_below(node)))


def _names_in(text: str) -> Iterator[str]:
    """Names in a string that may be an annotation, such as `list[Meta]`."""
    if text.isidentifier():
        yield text
    elif "[" in text or "|" in text or "." in text:
        try:
            yield from Names(ast.parse(text, mode="eval").body, "").reads
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
