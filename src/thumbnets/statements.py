"""The statements of a module, with the names that each binds and reads; nothing is imported.

Fingerprints follow these names, so that a stage depends on the functions that it uses and not on
all that stands beside them.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

# Functions of libraries that only give a value, or only wrap what they decorate, by the last part
# of their name. Others, and those of the project, may do more: a registry keeps what it is given,
# so that it is used without being named.
_PLAIN = {
    *("AfterValidator", "ConfigDict", "Field", "Lock", "Path", "PrivateAttr", "Repr", "TypeVar"),
    *("abstractmethod", "cache", "cached_property", "checked_dataclass", "classmethod", "compile"),
    *("contextmanager", "dataclass", "dtype", "field", "field_validator", "fromkeys", "get"),
    *("items", "joinpath", "keys", "lower", "lru_cache", "model_serializer", "model_validator"),
    *("namedtuple", "no_grad", "partial", "property", "runtime_checkable", "setter", "split"),
    *("staticmethod", "upper", "values", "with_name", "wrap"),
    *("dict", "frozenset", "len", "list", "map", "max", "min", "object", "ord", "range", "set"),
    *("sorted", "str", "sum", "tuple", "vars", "zip"),
}

REGISTRIES = {
    *("AUGMENTATIONS", "AVERAGES", "INITIALISATIONS", "METHODS", "MIXES", "NETWORKS"),
    *("OPTIMIZERS", "SCHEDULES"),
}

# What gives an entry of a registry, or a module, by its name.
_FIND = {
    "create_model": "NETWORKS",
    **dict.fromkeys(("__import__", "import_module", "importlib"), "modules"),
    **{name: name for name in REGISTRIES},
}

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)

# What finds code without naming it: functions, functions without arguments, methods.
_OF_FOLDERS = {"iter_modules", "walk_packages"}
_SEARCHES = {"eval", "exec", "globals"} | _OF_FOLDERS
_SEARCHES_AT_HAND = {"locals", "vars"}
_SEARCHING_METHODS = {"__subclasses__"} | _OF_FOLDERS

# What an import binds a name to: a module, or (of `from a import b`) a module and a name in it.
Imported = tuple[str, str | None]


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement of a module, outside of functions and classes; one for each name of an import.

    Attributes:
        node: Its syntax tree.
        binds: Names that it gives to the module.
        acts: Whether it does something when the module is imported, besides binding its names.
        entry: Its name in a registry of the project, if it is a registered function.
        package: The package that its relative imports begin with.
        finds: What its module finds by name: `modules`, and names of registries.
    """

    node: ast.stmt
    binds: frozenset[str]
    acts: bool
    entry: str | None
    package: str
    finds: frozenset[str]

    @cached_property
    def code(self) -> str:
        """Its code as text: see `code_of`."""
        return code_of(self.node)

    @cached_property
    def parts(self) -> list[ast.AST]:
        """Its node and all below it; walking over them takes most of the time of a fingerprint."""
        return list(ast.walk(self.node))

    @cached_property
    def imports(self) -> dict[str, list[Imported]]:
        """What the import statements in it bind names to."""
        found: dict[str, list[Imported]] = {}
        for node in self.parts:
            if isinstance(node, _IMPORTS):
                for alias in node.names:
                    name, imported = _imported(node, alias, self.package)
                    found.setdefault(name, []).append(imported)
        return found

    @cached_property
    def reads(self) -> frozenset[str]:
        """Dotted names that occur in it, as `a.b` of `a.b(c)`."""
        return frozenset(_dotted_names(self.node))

    @cached_property
    def quotes(self) -> frozenset[str]:
        """Names in its strings, which may be annotations."""
        return frozenset(name for text in _strings(self.node) for name in _names_in(text))

    @cached_property
    def asks_for(self) -> frozenset[str]:
        """Strings that may be names of modules or entries, if its module finds any by name."""
        return frozenset(_strings(self.node)) if self.finds else frozenset()

    @cached_property
    def looks_beside(self) -> bool:
        """Whether it may read files in the folder of its module."""
        parts = {part for name in self.reads for part in name.split(".")}
        return bool(parts & {"__file__", "__path__", "resources"})

    @cached_property
    def lists_modules(self) -> bool:
        """Whether it imports what is in the folder of its module."""
        return any(name.rpartition(".")[2] in _OF_FOLDERS for name in self.reads)

    @cached_property
    def searches(self) -> bool:
        """Whether it may find code that it does not name, as a class that knows its subclasses."""
        own = {"sys.modules", "__name__"} <= self.reads
        return own or any(map(_searches, self.parts))


@dataclass(frozen=True)
class Module:
    """A module of the project.

    Attributes:
        name: Its dotted name.
        statements: What it consists of, in order; docstrings are left out.
    """

    name: str
    statements: list[Statement]

    @cached_property
    def binding(self) -> dict[str, list[int]]:
        """Numbers of the statements that bind a name."""
        found: dict[str, list[int]] = {}
        for number, statement in enumerate(self.statements):
            for name in statement.binds:
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
    return Module(name, list(_statements(read_tree(file), package)))


@cache
def read_tree(file: Path) -> ast.Module:
    """The syntax tree of a file, read once.

    Raises:
        ValueError: The file is not valid Python.
    """
    try:
        return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except SyntaxError as error:
        raise ValueError(f"{file}, line {error.lineno}: {error.msg}") from None


def code_of(node: object, *, raised: bool = False) -> str:
    """A syntax tree as text, without what is only read by people: bare strings, texts of errors.

    It is the same for every Python release from 3.11 on: `ast.dump` prints fields that newer
    releases added; here empty fields are left out.

    Args:
        node: A node, a list of nodes, or a value.
        raised: Whether it is in a `raise` statement, whose strings are texts of errors.
    """
    if raised and (_is_string(node) or isinstance(node, ast.JoinedStr)):
        return "text"
    if isinstance(node, ast.AST):
        raised = raised or isinstance(node, ast.Raise)
        fields = [
            f"{name}={code_of(value, raised=raised)}"
            for name in node._fields
            if (value := getattr(node, name, None)) is not None and value != []
        ]
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        items = [code_of(item, raised=raised) for item in node if not _is_bare_string(item)]
        return f"[{','.join(items)}]"
    return repr(node)


def imported_names(file: Path, package: str) -> list[str]:
    """Dotted names that a file imports, wherever the statement stands; `from a import b` is a.b.

    Args:
        file: The file.
        package: The package that its relative imports begin with.
    """
    found: list[str] = []
    for node in _below(read_tree(file)):
        if isinstance(node, _IMPORTS):
            for alias in node.names:
                if isinstance(node, ast.Import):
                    found.append(alias.name)
                else:
                    found.append(f"{_base(node, package)}.{alias.name}")
    return found


def _below(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements below a node, however deep; expressions hold none, and are most of a tree."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        below = getattr(node, name, None)
        for child in below if isinstance(below, list) else ():
            yield child
            yield from _below(child)


def _statements(tree: ast.Module, package: str) -> Iterator[Statement]:
    ours, finds = set(_of_the_project(tree, package)), frozenset(_finds(tree))
    registries = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in REGISTRIES or alias.name == "registry"
    }
    for node in tree.body:
        if _is_bare_string(node):
            continue
        if isinstance(node, _IMPORTS):
            for alias in node.names:
                one = ast.copy_location(_of_one_name(node, alias), node)
                name, _ = _imported(node, alias, package)
                yield Statement(one, frozenset([name]), name == "*", None, package, finds)
        else:
            entry, others = _entry(node, registries)
            acts = others if entry else _acts(node, ours)
            yield Statement(node, frozenset(_bound(node)), acts, entry, package, finds)


def _finds(tree: ast.Module) -> Iterator[str]:
    """What a module may find by name: see `Statement.finds`."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        elif isinstance(node, ast.Name):
            names.append(node.id)
        elif isinstance(node, _IMPORTS):
            names += (alias.name for alias in node.names)
    loads = "load" in names  # a module may only ask what a registry has
    yield from (
        _FIND[name] for name in names if name in _FIND and (loads or name not in REGISTRIES)
    )


def _of_the_project(tree: ast.Module, package: str) -> Iterator[str]:
    """Names of what the project defines, here or where it comes from, and of what calls give."""
    top = package.partition(".")[0]
    for node in tree.body:
        if isinstance(node, _DEFINITIONS):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            if _base(node, package).partition(".")[0] == top:
                yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            ours = (alias for alias in node.names if alias.name.partition(".")[0] == top)
            yield from (_imported(node, alias, package)[0] for alias in ours)
        elif isinstance(getattr(node, "value", None), ast.Call):
            yield from _bound(node)


def _entry(node: ast.stmt, registries: set[str]) -> tuple[str | None, bool]:
    """The name of a function that a registry of the project finds, and whether others keep it."""
    decorators = getattr(node, "decorator_list", [])
    registered = [one for one in decorators if _registry(one, registries)]
    others = [_last_name(_called(one)) for one in decorators if one not in registered]
    return (node.name, not _PLAIN.issuperset(others)) if registered else (None, False)


def _registry(decorator: ast.expr, registries: set[str]) -> bool:
    """Whether a decorator is `@X.register()` of a registry that the module imports."""
    *path, method = (_dotted(_called(decorator)) or "").split(".")
    known = path and path[0] in registries and path[-1] in REGISTRIES
    return method == "register" and bool(known)


def _called(function: ast.expr) -> ast.expr:
    """`f` of `f` or `f(…)`."""
    return function.func if isinstance(function, ast.Call) else function


def _of_one_name(node: ast.stmt, alias: ast.alias) -> ast.stmt:
    if isinstance(node, ast.ImportFrom):
        return ast.ImportFrom(node.module, [alias], node.level)
    return ast.Import([alias])


def _imported(node: ast.stmt, alias: ast.alias, package: str) -> tuple[str, Imported]:
    """The name that an import binds, and what it binds it to."""
    if isinstance(node, ast.ImportFrom):
        return alias.asname or alias.name, (_base(node, package), alias.name)
    if alias.asname:
        return alias.asname, (alias.name, None)
    first = alias.name.partition(".")[0]
    return first, (first, None)


def _base(node: ast.ImportFrom, package: str) -> str:
    """The module that `from … import` names."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _bound(node: ast.stmt) -> Iterator[str]:
    """Names that a statement other than an import gives to its module."""
    if isinstance(node, _DEFINITIONS):
        yield node.name
        for part in ast.walk(node):
            if isinstance(part, ast.Global):
                yield from part.names
        return
    for part in ast.walk(node):  # more than it binds, if it holds functions: that does no harm
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, _DEFINITIONS):
            yield part.name
        elif isinstance(part, _IMPORTS):
            yield from (_imported(part, alias, "")[0] for alias in part.names)


def _acts(node: ast.stmt, ours: set[str]) -> bool:
    """Whether a statement may do more than bind its names.

    Args:
        node: The statement, of a module or of the body of a class.
        ours: Names of functions and classes of the project.
    """
    if isinstance(node, ast.ClassDef):
        return (
            bool(node.keywords)  # as of a metaclass
            or _decorates(node, ours)
            or any(_calls(base, ours) for base in node.bases)
            or any(_acts(part, ours) for part in node.body)
            or any(getattr(part, "name", "") == "__init_subclass__" for part in node.body)
        )
    if isinstance(node, _DEFINITIONS):
        defaults = (*node.args.defaults, *filter(None, node.args.kw_defaults))
        return _decorates(node, ours) or any(_calls(default, ours) for default in defaults)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named = all(isinstance(part, ast.Name) for one in targets for part in _targets(one))
        return not named or (node.value is not None and _calls(node.value, ours))
    if isinstance(node, ast.Assert):  # it can stop a run, but not change what it finds
        return _calls(node, ours)
    return not (_is_bare_string(node) or isinstance(node, (*_IMPORTS, ast.Pass)))


def _decorates(node: ast.stmt, ours: set[str]) -> bool:
    """Whether a decorator may do more than wrap."""
    return any(
        _last_name(_called(one)) == "partial" or not _is_plain(_called(one), ours)
        for one in node.decorator_list
    )


def _calls(node: ast.AST, ours: set[str]) -> bool:
    """Whether an expression calls what may do more than give a value."""
    if isinstance(node, ast.Lambda):  # called later
        return False
    if isinstance(node, ast.Call):
        given = node.args[:1] if _last_name(node.func) == "map" else []
        given += [keyword.value for keyword in node.keywords if keyword.arg == "key"]
        if not all(_is_plain(function, ours) for function in (node.func, *given)):
            return True
    return any(_calls(part, ours) for part in ast.iter_child_nodes(node))


def _is_plain(function: ast.expr, ours: set[str]) -> bool:
    """Whether a function only gives a value or wraps."""
    first = (_dotted(function) or "").partition(".")[0]
    return _last_name(function) in _PLAIN and first not in ours


def _targets(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        return [part for one in target.elts for part in _targets(one)]
    return [target]


def _last_name(function: ast.expr) -> str:
    """`c` of `a.b.c`."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _searches(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _SEARCHES
    if isinstance(node, ast.Attribute):
        return node.attr in _SEARCHING_METHODS
    if isinstance(node, ast.Call):
        return not node.args and _last_name(node.func) in _SEARCHES_AT_HAND
    if isinstance(node, ast.ClassDef):  # a metaclass is told of every class
        return any(_dotted(base) == "type" for base in node.bases)
    return isinstance(node, ast.FunctionDef) and node.name == "__init_subclass__"


def _dotted_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load):
            yield node.id
    elif isinstance(node, ast.Attribute) and (name := _dotted(node)):
        yield name
    else:
        if isinstance(node, ast.ClassDef):  # its methods find what it imports as attributes
            yield from (name for part in node.body for name in _imported_by(part))
        for child in ast.iter_child_nodes(node):
            yield from _dotted_names(child)


def _imported_by(node: ast.stmt) -> Iterator[str]:
    """Names that a statement imports, functions in it left out."""
    if isinstance(node, _IMPORTS):
        yield from (_imported(node, alias, "")[0] for alias in node.names)
    elif not isinstance(node, _DEFINITIONS):
        yield from (name for part in _below(node) for name in _imported_by(part))


def _strings(node: ast.AST, *, raised: bool = False) -> Iterator[str]:
    """Strings in a statement but those that are only read by people."""
    raised = raised or isinstance(node, ast.Raise)
    if _is_string(node) and not raised:
        yield node.value
    for child in ast.iter_child_nodes(node):
        if not _is_bare_string(child):
            yield from _strings(child, raised=raised)


def _dotted(node: ast.expr) -> str | None:
    """`a.b.c` of an attribute of a name; None of another expression's."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (above := _dotted(node.value)):
        return f"{above}.{node.attr}"
    return None


def _names_in(text: str) -> Iterator[str]:
    """Names in a string that may be an annotation, such as `list[Meta]`."""
    if text.isidentifier():
        yield text
    elif "[" in text or "|" in text or "." in text:
        try:
            yield from _dotted_names(ast.parse(text, mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return


def _is_string(node: object) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_bare_string(node: object) -> bool:
    return isinstance(node, ast.Expr) and _is_string(node.value)
