"""Fingerprints of code: what a stage or a training depends on, as fine-grained as the params.

A fingerprint lists the project's modules that a root imports, directly or not, each with a hash
of its syntax tree (comments, docstrings and texts of errors left out), and the pinned releases of
the libraries they import. Modules are found by reading import statements; nothing is imported.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

Fingerprint = dict[str, dict[str, str]]

# Modules that can't change a number: where files lie (dvc.yaml says it too), where finished work is
# found and what it depends on, how errors and progress are shown, and how params.yaml and zoo/ are
# read and checked, since the settings that come of them count by their values. If they counted, a
# new path for the report would retrain every model.
WITHOUT_EFFECT = {
    "thumbnets.blocks",
    "thumbnets.checks",
    "thumbnets.choices",
    "thumbnets.claims",
    "thumbnets.fingerprint",
    "thumbnets.messages",
    "thumbnets.options",
    "thumbnets.paths",
    "thumbnets.registry",
    "thumbnets.stage",
    "thumbnets.store",
    "thumbnets.training.progress",
    "thumbnets.yaml_files",
    "thumbnets.zoo",
}

# Import names whose distribution has another name.
_RELEASED_AS = {"sklearn": "scikit-learn", "PIL": "pillow", "ruamel": "ruamel-yaml"}


def fingerprint(roots: list[Path], source: Path, requirements: Path) -> Fingerprint:
    """What `roots` depend on.

    Args:
        roots: Python files to begin with.
        source: Folder that holds the project's package(s), `src`.
        requirements: The lock file with the pinned releases.

    Returns:
        `modules`: module or script name to SHA-256 of its syntax tree; `libraries`: import name
        to pinned release(s).

    Raises:
        ValueError: A file is not valid Python.
    """
    files = [
        file
        for file in sorted(_closure(roots, source))
        if _module_name(file, source) not in WITHOUT_EFFECT
    ]
    modules = {_module_name(file, source): tree_hash(file) for file in files}
    imported = {name.split(".")[0] for file in files for name in _imports(file, source)}
    pins = _pins(requirements)
    libraries = {
        name: pins[release]
        for name in sorted(imported)
        if (release := _normal(_RELEASED_AS.get(name, name))) in pins
    }
    return {"modules": modules, "libraries": libraries}


def changed(modules: Mapping[str, str], source: Path) -> list[str]:
    """Modules whose code no longer matches a fingerprint; files are read anew.

    Args:
        modules: `modules` of a fingerprint, made in this working folder.
        source: As for `fingerprint`.
    """
    forget()
    return [name for name, expected in modules.items() if not _has_hash(name, expected, source)]


def beside(modules: Iterable[str], source: Path, package: Path) -> Iterator[tuple[Path, Path]]:
    """Files of the project that modules of a package import from outside of it.

    Args:
        modules: Names of the modules.
        source: As for `fingerprint`.
        package: Folder of the package; the working folder is the root of the project.

    Yields:
        The file that imports, and the imported one.
    """
    for name in modules:
        for file in files_of(name, source):
            imported = {
                found
                for of_name in _imports(file, source)
                for found in (*files_of(of_name, source), *files_of(of_name, Path()))
            }
            yield from ((file, found) for found in sorted(imported) if package not in found.parents)


def forget() -> None:
    """Read files anew from now on: they may have changed since this process read them."""
    for function in (tree_hash, _tree, _imports, _imported_files, files_of, _pins):
        function.cache_clear()


def _has_hash(name: str, expected: str, source: Path) -> bool:
    for file in (*files_of(name, source), *files_of(name, Path())):  # scripts are in no package
        if _module_name(file, source) == name:
            try:
                return tree_hash(file) == expected
            except ValueError:  # no longer valid Python
                return False
    return False


@cache
def tree_hash(file: Path) -> str:
    """SHA-256 of a file's syntax tree without comments, bare strings and texts of errors."""
    return hashlib.sha256(code_of(_tree(file)).encode()).hexdigest()


@cache
def _tree(file: Path) -> ast.Module:
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


def _is_string(node: object) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_bare_string(node: object) -> bool:
    return isinstance(node, ast.Expr) and _is_string(node.value)


def _closure(roots: list[Path], source: Path) -> set[Path]:
    found: set[Path] = set()
    waiting = list(roots)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting.extend(_imported_files(file, source))
    return found


@cache
def _imported_files(file: Path, source: Path) -> frozenset[Path]:
    """The project's files that importing a file runs, those that they import left out."""
    return frozenset(found for name in _imports(file, source) for found in files_of(name, source))


@cache
def _imports(file: Path, source: Path) -> list[str]:
    """Dotted names that a file imports, wherever the statement stands; `from a import b` is a.b."""
    found: list[str] = []
    for node in _statements(_tree(file)):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = _module_name(file, source).split(".")
                keep = len(package) - node.level + (file.name == "__init__.py")
                base = ".".join([*package[:keep], *([base] if base else [])])
            found += (f"{base}.{alias.name}" for alias in node.names)
    return found


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node, however deep; expressions hold none, and are most of a tree."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        below = getattr(node, name, None)
        for child in below if isinstance(below, list) else ():
            yield child
            yield from _statements(child)


@cache
def files_of(name: str, source: Path) -> tuple[Path, ...]:
    """The project's files that importing `name` runs: packages on the way, then the module."""
    package, _, _ = name.rpartition(".")
    path = source.joinpath(*name.split("."))
    files = (path / "__init__.py", path.with_suffix(".py"))
    return (files_of(package, source) if package else ()) + tuple(filter(Path.is_file, files))


def _module_name(file: Path, source: Path) -> str:
    relative = file.relative_to(source) if file.is_relative_to(source) else file
    return ".".join(relative.with_suffix("").parts).removesuffix(".__init__")


@cache
def _pins(requirements: Path) -> dict[str, str]:
    """Releases by distribution name, several if the lock has one for each Python release."""
    pins: dict[str, list[str]] = {}
    for line in requirements.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", line):
            pins.setdefault(_normal(match[1]), []).append(match[2])
    return {name: " or ".join(releases) for name, releases in pins.items()}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
