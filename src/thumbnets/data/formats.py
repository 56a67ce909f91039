"""Which files are images, by their first bytes, and which are left behind by other programs."""

import importlib
from collections import Counter
from functools import cache
from pathlib import Path

# Pillow's names of the formats that are read. For some others it would start other programs.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "AVIF")
_HEIF = "HEIF"

# A file with such a suffix must be an image: if its bytes are of no known format, it is broken.
SUFFIXES = frozenset(
    {
        *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp"),
        *(".tif", ".tiff", ".gif", ".avif"),
    }
)
_HEIF_SUFFIXES = frozenset({".heic", ".heif"})
_HEIF_HINT = "pip install pillow-heif"

# Raw files of cameras begin as TIFF does, and have a small preview where its first page is.
_RAW_SUFFIXES = frozenset(
    {".cr2", ".nef", ".nrw", ".arw", ".dng", ".orf", ".pef", ".rw2", ".srw", ".sr2"}
)

# Of NAS boxes, archives, recycle bins, notebooks, cameras; in lower case.
_LEFT_BEHIND = frozenset(
    {
        *("@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin"),
        *("recycler", "system volume information", "lost+found", "found.000"),
        *("__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    }
)

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_BEGINNING = 32  # bytes


@cache
def openable() -> tuple[str, ...]:
    """Pillow's names of the formats that can be read here: HEIC where pillow-heif is installed."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return FORMATS
    return (*FORMATS, _HEIF)


def is_left_behind(name: str) -> bool:
    """Whether a file or folder is hidden, or another program's own: neither image nor class."""
    return name.startswith(".") or name.lower() in _LEFT_BEHIND


def format_of(beginning: bytes) -> str | None:
    """Format of a file, as Pillow calls it, by its first 32 bytes; None: not a known one."""
    if beginning.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if beginning.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if beginning.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if beginning.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "WEBP"
    if beginning[:2] == b"BM" and beginning[6:10] == bytes(4):  # reserved, 0: unlike text
        return "BMP"
    if beginning[4:8] == b"ftyp":
        brands = {beginning[i : i + 4] for i in (8, 16, 20, 24, 28)}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return _HEIF
    return None


def passed_over(path: Path) -> str | None:
    """The kind of a file that is not taken for an image; None: it is one, even if broken.

    Args:
        path: A file, a link that may point to nothing, or a device.

    Returns:
        Its suffix, with what to install if that is all that is missing, or `without a known kind`.
    """
    suffix = path.suffix.lower()
    named = suffix in SUFFIXES
    if suffix in _RAW_SUFFIXES:
        return suffix
    try:
        found = format_of(_beginning(path))
    except OSError:
        found = None
    heif = found == _HEIF or (found is None and suffix in _HEIF_SUFFIXES)
    if heif and _HEIF not in openable():
        return f".heic ({_HEIF_HINT})"
    if found or named or heif:
        return None
    return shown_suffix(suffix)


def shown_suffix(suffix: str) -> str:
    """A suffix as a kind of file; a long or odd one is none."""
    return suffix if len(suffix) in range(2, 9) and suffix.isprintable() else "without a known kind"


def _beginning(path: Path) -> bytes:
    if not path.is_file():  # opening a FIFO would wait forever
        return b""
    with path.open("rb") as file:
        return file.read(_BEGINNING)


def count_kinds(kinds: Counter[str]) -> str:
    """Files that were passed over, in words: `59 files passed over: 50 .heic (…), 9 .txt`."""
    total = kinds.total()
    each = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items(), key=_most_first))
    return f"{total:,} file{'s' * (total != 1)} passed over: {each}"


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
