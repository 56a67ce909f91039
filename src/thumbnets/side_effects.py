"""Side effects of statements at import: what a module may do besides binding its names."""

import ast
from collections.abc import Iterator

from thumbnets.syntax import (
    DEFINITIONS,
    IMPORTS,
    bound_by,
    called,
    dotted,
    imported_from,
    is_bare_string,
    last_name,
)

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


def names_of_the_project(tree: ast.Module, package: str) -> Iterator[str]:
    """Names of what the project defines or assigns, here or where it comes from.

    Args:
        tree: A module.
        package: The package that its relative imports begin with.
    """
    top = package.partition(".")[0]
    for node in tree.body:
        if isinstance(node, DEFINITIONS):
            yield node.name
        elif isinstance(node, IMPORTS):
            base = imported_from(node, package) if isinstance(node, ast.ImportFrom) else None
            ours = (one for one in node.names if (base or one.name).partition(".")[0] == top)
            yield from (bound_by(node, alias) for alias in ours)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield from (
                part.id
                for part in ast.walk(node)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            )


def acts(node: ast.stmt, ours: set[str]) -> bool:
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
            or any(acts(part, ours) for part in node.body)
            or any(_is_told_of_subclasses(part) for part in node.body)
        )
    if isinstance(node, DEFINITIONS):
        defaults = (*node.args.defaults, *filter(None, node.args.kw_defaults))
        return _decorates(node, ours) or any(_calls(default, ours) for default in defaults)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named = all(isinstance(part, ast.Name) for one in targets for part in _targets(one))
        return not named or (node.value is not None and _calls(node.value, ours))
    if isinstance(node, ast.Assert):  # it can stop a run, but not change what it finds
        return _calls(node, ours)
    if isinstance(node, IMPORTS):  # names that it does not tell
        return any(alias.name == "*" for alias in node.names)
    return not (is_bare_string(node) or isinstance(node, ast.Pass))


def _is_told_of_subclasses(node: ast.stmt) -> bool:
    """Whether a statement of a class gives it an `__init_subclass__`."""
    names = [getattr(node, "name", "")]
    if isinstance(node, ast.Assign):
        names += [one.id for one in node.targets if isinstance(one, ast.Name)]
    return "__init_subclass__" in names


def keeps(decorator: ast.expr) -> bool:
    """Whether what decorates a registered function may do more than wrap it."""
    return last_name(called(decorator)) not in _PLAIN


def _decorates(node: ast.stmt, ours: set[str]) -> bool:
    """Whether a decorator may do more than wrap."""
    return any(
        last_name(called(one)) == "partial" or not _is_plain(called(one), ours)
        for one in node.decorator_list
    )


def _calls(node: ast.AST, ours: set[str]) -> bool:
    """Whether an expression calls what may do more than give a value."""
    waiting = [node]
    while waiting:  # an expression may be deeper than Python's stack
        part = waiting.pop()
        if isinstance(part, ast.Call):
            given = part.args[:1] if last_name(part.func) == "map" else []
            given += [keyword.value for keyword in part.keywords if keyword.arg == "key"]
            if not all(_is_plain(function, ours) for function in (part.func, *given)):
                return True
        if not isinstance(part, ast.Lambda):  # which is called later
            waiting += ast.iter_child_nodes(part)
    return False


def _is_plain(function: ast.expr, ours: set[str]) -> bool:
    """Whether a function only gives a value or wraps."""
    first = (dotted(function) or "").partition(".")[0]
    return last_name(function) in _PLAIN and first not in ours


def _targets(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        return [part for one in target.elts for part in _targets(one)]
    return [target]
