"""Jinja templates, filled in by the same rules wherever they lie."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from thumbnets.report.filters import FILTERS


def render(path: Path, *functions: Callable[..., str], **context: Any) -> str:
    """A template filled in; one of HTML escapes what it is given.

    Args:
        path: Path of the template, NAME.html.j2 or NAME.md.j2.
        *functions: Filters beside those of `FILTERS`, by their names.
        **context: Its variables; one that is missing is an error.
    """
    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=path.name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS | {function.__name__: function for function in functions}
    return environment.get_template(path.name).render(context)
