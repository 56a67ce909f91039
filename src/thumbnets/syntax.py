"""Syntax trees: reading one, its text, and names in it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from thumbnets.messages import reason

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)


@cache
def read_tree(file: Path) -> ast.Module:
    """The syntax tree of a file, read once, in the encoding that it declares.

    Raises:
        ValueError: The file is not valid Python.
    """
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise ValueError(f"{file}{line}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # a zero byte; too deeply nested
        raise ValueError(f"{file}: {reason(error)}") from None


def code_of(node: ast.AST) -> str:
    """A syntax tree as text, without what is only read by people: bare strings, texts of errors.

    It is the same for every Python release from 3.11 on: `ast.dump` prints fields that newer
    releases added; here empty fields are left out.
    """
    parts: list[str] = []
    told: set[int] = set()  # nodes in texts of errors, by identity
    waiting: list[ast.AST | list | str] = [node]  # a string is code already
    while waiting:  # a tree may be deeper than Python's stack
        part = waiting.pop()
        if isinstance(part, str):
            parts.append(part)
        elif id(part) in told and (is_string(part) or isinstance(part, ast.JoinedStr)):
            parts.append("text")
        else:
            pieces = _pieces(part)
            below = [one for one in pieces if not isinstance(one, str)]
            if id(part) in told:
                told.update(map(id, below))
            elif isinstance(part, ast.Raise):
                told.update(map(id, arguments_of(part)))
            waiting += reversed(pieces)
    return "".join(parts)


def _pieces(part: ast.AST | list) -> list[ast.AST | list | str]:
    """A node or a list of them as code, with what is below still to be told."""
    if isinstance(part, list):
        items = [_piece(item) for item in part if not is_bare_string(item)]
        return ["[", *_joined([[item] for item in items]), "]"]
    fields = [
        [f"{name}=", _piece(value)]
        for name in part._fields
        if (value := getattr(part, name, None)) is not None and value != []
    ]
    return [f"{type(part).__name__}(", *_joined(fields), ")"]


def _piece(value: object) -> ast.AST | list | str:
    return value if isinstance(value, ast.AST | list) else repr(value)


def _joined(items: list[list]) -> list:
    pieces = [piece for item in items for piece in (",", *item)]
    return pieces[1:]


def arguments_of(node: ast.Raise) -> list[ast.AST]:
    """What the exception that a statement raises is given: texts, which only people read."""
    return [*node.exc.args, *node.exc.keywords] if isinstance(node.exc, ast.Call) else []


def imported_names(file: Path, package: str) -> list[str]:
    """Dotted names that a file imports, wherever the statement stands; `from a import b` is a.b.

    Args:
        file: The file.
        package: The package that its relative imports begin with.
    """
    found: list[str] = []
    for node in statements_below(read_tree(file)):
        if isinstance(node, IMPORTS):
            for alias in node.names:
                if isinstance(node, ast.Import):
                    found.append(alias.name)
                else:
                    found.append(f"{imported_from(node, package)}.{alias.name}")
    return found


def statements_below(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements below a node, however deep; expressions hold none, and are most of a tree."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, name, None)
            if isinstance(below, list):
                yield from below
                waiting += below


def imported_from(node: ast.ImportFrom, package: str) -> str:
    """The module that `from … import` names.

    Args:
        node: The statement.
        package: The package that its relative imports begin with.
    """
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def bound_by(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    """The name that an import binds; `a` of `import a.b`."""
    whole = isinstance(node, ast.ImportFrom)
    return alias.asname or (alias.name if whole else alias.name.partition(".")[0])


def dotted(node: ast.expr) -> str | None:
    """`a.b.c` of an attribute of a name; None of another expression's."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (above := dotted(node.value)):
        return f"{above}.{node.attr}"
    return None


def last_name(function: ast.expr) -> str:
    """`c` of `a.b.c`."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def called(function: ast.expr) -> ast.expr:
    """`f` of `f` or `f(…)`."""
    return function.func if isinstance(function, ast.Call) else function


def is_string(node: object) -> bool:
    """Whether a node is a string."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_bare_string(node: object) -> bool:
    """Whether a statement is a string alone, as a docstring."""
    return isinstance(node, ast.Expr) and is_string(node.value)
