"""Names in pictures: in a system font if the bundled one lacks glyphs, else as numbers."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

_BUNDLED = "fonts/ttf/DejaVuSans.ttf"  # matplotlib's default font
_INVISIBLE = {"Cc", "Cf", "Mn", "Zs"}  # categories that need no glyph of their own


@dataclass(frozen=True)
class Labels:
    """Names as a picture shows them.

    Attributes:
        texts: Names; `#3` in place of the fourth if it has a missing glyph.
        family: Fonts in the order in which they are tried for a glyph.
    """

    texts: list[str]
    family: list[str]


def labels(names: list[str]) -> Labels:
    """How a picture shows names, which are numbered from 0."""
    missing, family = _missing("".join(names)), ["sans-serif"]
    for path in system_fonts() if missing else []:
        if found := missing & _glyphs(path, missing):
            family.append(_usable(path))
            missing -= found
        if not missing:
            break
    texts = [f"#{i}" if missing & set(name) else name for i, name in enumerate(names)]
    return Labels(texts, family)


def legend(names: list[str]) -> dict[str, str]:
    """By number, the names that some machine can't draw since the bundled font lacks a glyph."""
    return {f"#{i}": name for i, name in enumerate(names) if _missing(name)}


def system_fonts() -> list[str]:
    """Font files, upright sans-serif ones first; not from matplotlib's list, which may be stale."""

    def rank(path: str) -> tuple[bool, bool, str]:
        name = Path(path).name.lower()
        return "regular" not in name, "serif" in name or "mono" in name, path

    found = (p for p in font_manager.findSystemFonts() if "lastresort" not in p.lower())
    return sorted(found, key=rank)  # a last-resort font has a box for every character


def _missing(text: str) -> set[str]:
    """Characters without a glyph in the bundled font."""
    visible = {c for c in text if unicodedata.category(c) not in _INVISIBLE}
    bundled = str(Path(matplotlib.get_data_path(), _BUNDLED))
    return visible - _glyphs(bundled, visible)


def _glyphs(path: str, characters: Iterable[str]) -> set[str]:
    """The characters that a font has; none if its file can't be read."""
    try:
        font = _font(path)
    except (OSError, RuntimeError):  # a bitmap font, or a damaged file
        return set()
    return {c for c in characters if font.get_char_index(ord(c))}


@cache
def _font(path: str) -> FT2Font:
    return FT2Font(path)


def _usable(path: str) -> str:
    """The family of a font, added to matplotlib's list if it is not there yet."""
    if all(entry.fname != path for entry in font_manager.fontManager.ttflist):
        font_manager.fontManager.addfont(path)
    return _font(path).family_name
