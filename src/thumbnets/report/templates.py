"""Jinja templates, filled in by the same rules wherever they are."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from thumbnets.report.filters import FILTERS


def render(path: Path, *functions: Callable[..., str], **context: Any) -> str:
    """Fill in a template; an HTML template escapes its variables.

    Args:
        path: Path of the template, NAME.html.j2 or NAME.md.j2.
        *functions: Filters besides those of `FILTERS`, under their own names.
        **context: Variables of the template; a missing one is an error.
    """
    return _template(path, functions).render(context)


@cache  # compiling takes longer than filling in, and the pages of recipes share a template
def _template(path: Path, functions: tuple[Callable[..., str], ...]) -> Template:
    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=path.name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS | {function.__name__: function for function in functions}
    return environment.get_template(path.name)
