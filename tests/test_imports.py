"""Packages import downwards only, in the order of `LEVELS`; read from the import statements."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import thumbnets

SOURCE = Path(thumbnets.__file__).parent

# From the bottom to the top; what is on one level may not import from a higher one. Modules and
# packages that are not listed (cli, params, report, launch, …) are the top.
LEVELS = [
    {
        "options",
        "messages",
        "registry",
        "choices",
        "compiler",
        "paths",
        "artifacts",
        "runtime",
        "stage",
        "syntax",
        "yaml_files",
    },
    {"data"},
    {"models"},
    {"training"},
    {"methods"},
    {"evaluation", "quality"},
    {"ensembles"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
TOP = len(LEVELS)


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all that is imported from the project, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what is imported"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(dotted: str) -> str | None:
    """The package or top-level module of a dotted name, `data` of `thumbnets.data.arrays.Meta`."""
    root, _, rest = dotted.partition(".")
    return rest.partition(".")[0] if root == "thumbnets" and rest else None


def part_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def test_parts_of_names():
    assert part("thumbnets.data.arrays.Meta") == "data"
    assert part("thumbnets.paths") == "paths"
    assert part("numpy.typing") is None and part("thumbnets") is None
    code = "import thumbnets.stage\ndef f():\n    from thumbnets import runtime, paths"
    found = ["thumbnets.stage", "thumbnets.runtime", "thumbnets.paths"]
    assert list(imports(ast.parse(code))) == found


def test_all_that_is_listed_exists():
    assert {name for name in LEVEL if not (SOURCE / name).is_dir()} == {
        name for name in LEVEL if (SOURCE / f"{name}.py").is_file()
    }


@pytest.mark.parametrize("level", range(TOP), ids=[", ".join(sorted(names)) for names in LEVELS])
def test_packages_import_downwards_only(level):
    upwards = []
    for file in sorted(SOURCE.rglob("*.py")):
        if LEVEL.get(part_of(file), TOP) != level:
            continue
        for dotted in imports(ast.parse(file.read_text(encoding="utf-8"))):
            name = part(dotted)
            if name is not None and LEVEL.get(name, TOP) > level:
                upwards.append(f"{file.relative_to(SOURCE)} imports {dotted}")
    assert not upwards
