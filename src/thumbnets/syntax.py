"""Syntax trees: reading one, its text, and names in it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)


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
    if raised and (is_string(node) or isinstance(node, ast.JoinedStr)):
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
        items = [code_of(item, raised=raised) for item in node if not is_bare_string(item)]
        return f"[{','.join(items)}]"
    return repr(node)


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
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        below = getattr(node, name, None)
        for child in below if isinstance(below, list) else ():
            yield child
            yield from statements_below(child)


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
