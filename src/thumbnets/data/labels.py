"""A list of labels beside the images, `data.list`: a CSV file with columns file and label."""

import csv
import unicodedata
from collections import Counter
from pathlib import Path

from thumbnets.data.formats import passed_over
from thumbnets.data.listed import FolderRule
from thumbnets.data.listing import images_below
from thumbnets.data.names import shown
from thumbnets.data.parts import PARTS

_COLUMNS = ("file", "label", "split", "group")

Named = tuple[str, str, str, Path]  # part, label, group and path of an image


def read_labels(rule: FolderRule, kinds: Counter[str]) -> list[Named]:
    """The images that a list names, in its order.

    It has columns file (relative to the list) and label, and may have split and group; others are
    not read.

    Args:
        rule: Options for reading the images.
        kinds: Counts the images and other files of the folder that the list does not name.

    Raises:
        ValueError: The list is missing or has another form; in one line, which row and why.
    """
    place, root = Path(rule.path) / rule.list, Path(rule.path).resolve()
    rows = _rows(place)
    if root not in place.resolve().parents:
        raise ValueError(
            f"data.list: {place} lies outside of data.path, where no change is noticed."
        )
    seen, found = set[Path](), []
    for number, row in rows:
        path = _on_disk(place.parent, row["file"])
        where = f"{place}, line {number}: {shown(row['file'])}"
        if not row["label"]:
            raise ValueError(f"{where} has no label: give it one, or remove the line.")
        if "\0" in row["file"] or not path.is_file():
            raise ValueError(f"{where} does not exist; files are relative to the list.")
        if root not in Path(path.parent.resolve()).joinpath(path.name).parents:
            raise ValueError(f"{where} lies outside of data.path, where no change is noticed.")
        if kind := passed_over(path):
            raise ValueError(f"{where} is no image that can be read: {kind}.")
        if (real := path.parent.resolve() / path.name) in seen:
            raise ValueError(f"{where} is named twice: remove one of the lines.")
        seen.add(real)
        part = row.get("split", "")
        if part and part.lower() not in PARTS:
            raise ValueError(
                f"{where} has an unknown split, {shown(part)}: use train, val, test, or none."
            )
        found.append((PARTS.get(part.lower(), ""), row["label"], row.get("group", ""), real))
    found = [
        (part, label, group, Path(rule.path) / real.relative_to(root))
        for part, label, group, real in _with_parts(found, place)
    ]
    inside = Counter[str]()
    others = [path for path in images_below(root, inside) if path.resolve() not in seen]
    kinds.update(inside - Counter([passed_over(place)]))  # without the list itself
    if others:
        kinds["that the list does not name"] += len(others)
    return found


def _on_disk(folder: Path, name: str) -> Path:
    """The path of a file, whose name may be there in another Unicode form, as a Mac writes it."""
    forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    paths = [folder / form for form in forms]
    return next((path for path in paths if "\0" not in name and path.is_file()), paths[0])


def _rows(place: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows of the list with the number of their line; no value begins or ends with a space."""
    try:
        with place.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            # Spreadsheets save empty rows below a table as commas alone.
            rows = [(reader.line_num, row) for row in reader if any(map(_filled, row.values()))]
            columns = [name.strip() for name in reader.fieldnames or []]
    except FileNotFoundError:
        raise ValueError(f"data.list: {place} does not exist; it lies in data.path.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"data.list: {place} is no CSV file in UTF-8: {error}") from None
    for column in ("file", "label"):
        if column not in columns:
            raise ValueError(
                f"data.list: {place} must have a column {column}, got "
                f"{shown(', '.join(columns)) or 'an empty file'}; columns are separated by commas."
            )
    if twice := next((name for name in _COLUMNS if columns.count(name) > 1), None):
        raise ValueError(f"data.list: {place} has two columns {twice}: remove one.")
    for number, row in rows:
        if None in row or None in row.values():
            compared = "more" if None in row else "fewer"
            raise ValueError(f"{place}, line {number}: has {compared} columns than the first line.")
    return [
        (number, {name.strip(): value.strip() for name, value in row.items()})
        for number, row in rows
    ]


def _filled(cell: str | list[str] | None) -> bool:
    return bool(cell and "".join(cell).strip())


def _with_parts(found: list[Named], place: Path) -> list[Named]:
    """Parts `train` and `test`, or none: as with folders, val tests only where there is no test."""
    parts = {part for part, *_ in found}
    if "" in parts and len(parts) > 1:
        raise ValueError(f"{place}: some rows have a split and some have none: give all or none.")
    if parts == {"val"} or parts == {"test"} or parts == {"val", "test"}:
        raise ValueError(f"{place}: no row has split train: some must, to train on.")
    if parts <= {"", "train"}:
        return [("", *rest) for _, *rest in found]
    test = "test" if "test" in parts else "val"
    return [("test" if part == test else "train", *rest) for part, *rest in found]
