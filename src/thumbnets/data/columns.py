"""Columns of a list of labels, `data.list`, with nearly the name of one that it may have."""

import csv
import difflib
from pathlib import Path

from thumbnets.data.listed import FolderRule
from thumbnets.data.names import shown

_OPTIONAL = ("split", "group")  # a list without `file` or `label` is refused anyway


def check_columns(rule: FolderRule) -> None:
    """Refuse a column named like `Split` or `groups`: it would be ignored, and images divided anew.

    Raises:
        ValueError: The list has such a column.
    """
    if rule.list is None:
        return
    place = Path(rule.path) / rule.list
    try:
        with place.open(encoding="utf-8-sig", newline="") as file:
            names = [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error):  # reported when the list is read
        return
    for column in _OPTIONAL:
        near = [n for n in names if difflib.get_close_matches(n.casefold(), [column], cutoff=0.8)]
        if near and column not in names:
            raise ValueError(
                f"data.list: {place} has a column {shown(near[0])}: call it {column}, or, if it is "
                "something else, by a name of its own."
            )
