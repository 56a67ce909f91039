"""The project's modules: the files that they lie in, and what importing them runs.

Files are read once and remembered, until `forget_files` is called. `source` is everywhere the
folder that holds the project's package(s); scripts lie outside of it, below the working folder.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from thumbnets.statements import Module, read_module
from thumbnets.syntax import imported_names, read_tree


def named(name: str, source: Path) -> Module | None:
    """The module of the project of this name; none if it is of a library.

    Raises:
        ValueError: Its file is not valid Python.
    """
    file = file_of(name, source)
    return module_of(file, source) if file else None


@cache
def module_of(file: Path, source: Path) -> Module:
    """The module in a file.

    Raises:
        ValueError: The file is not valid Python.
    """
    return read_module(file, module_name(file, source))


@cache
def file_of(name: str, source: Path) -> Path | None:
    """The file of a module of the project by its name; scripts are in no package."""
    for file in reversed((*files_of(name, Path()), *files_of(name, source))):
        if module_name(file, source) == name:
            return file
    return None


@cache
def files_of(name: str, source: Path) -> tuple[Path, ...]:
    """The project's files that importing `name` runs: packages on the way, then the module."""
    package, _, _ = name.rpartition(".")
    path = source.joinpath(*name.split("."))
    files = (path / "__init__.py", path.with_suffix(".py"))  # Python takes the first
    first = [file for file in files if file.is_file()][:1]
    return (*(files_of(package, source) if package else ()), *first)


def module_name(file: Path, source: Path) -> str:
    """The dotted name of the module in a file; of a script, that of its path."""
    relative = file.relative_to(source) if file.is_relative_to(source) else file
    return ".".join(relative.with_suffix("").parts).removesuffix(".__init__")


def is_module(name: str, source: Path) -> bool:
    """Whether a name is that of a module, or of a folder of modules without `__init__.py`."""
    place = Path(*name.split("."))
    return bool(named(name, source)) or (source / place).is_dir() or place.is_dir()


@cache
def imports(file: Path, source: Path) -> list[str]:
    """Dotted names that a file imports, wherever the statement stands; `from a import b` is a.b."""
    name = module_name(file, source)
    return imported_names(file, name if file.name == "__init__.py" else name.rpartition(".")[0])


@cache
def imported_files(file: Path, source: Path) -> frozenset[Path]:
    """The project's files that importing a file runs, those that they import left out."""
    return frozenset(found for name in imports(file, source) for found in files_of(name, source))


def beside(modules: Iterable[str], source: Path, package: Path) -> Iterator[tuple[Path, Path]]:
    """Files of the project that modules of a package import from outside of it.

    Args:
        modules: Names of the modules.
        source: See above.
        package: Folder of the package; the working folder is the root of the project.

    Yields:
        The file that imports, and the imported one.
    """
    for name in modules:
        for file in files_of(name, source):
            imported = {
                found
                for of_name in imports(file, source)
                for found in (*files_of(of_name, source), *files_of(of_name, Path()))
            }
            yield from ((file, found) for found in sorted(imported) if package not in found.parents)


def forget_files() -> None:
    """Read files anew from now on: they may have changed since this process read them."""
    for function in (read_tree, module_of, file_of, files_of, imports, imported_files):
        function.cache_clear()
