"""Names of files and classes as they are shown: no name can forge what a user reads."""

import unicodedata

# Zero-width joiner and non-joiner: spelling in Persian and Hindi, and parts of some emoji.
_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))


def shown(name: object) -> str:
    r"""A name for terminals and messages: what is not printable is escaped, as `\n` or `\udce9`.

    Args:
        name: Path or text; bytes of a path that are not UTF-8 are surrogates, as Python gives them.
    """
    return "".join(
        c if is_text(c) else c.encode("unicode_escape").decode("ascii") for c in str(name)
    )


def spelled(name: str) -> str:
    r"""A name that may look like another one: all but ASCII is escaped, as `k\xf6p`."""
    return ascii(name)[1:-1]


def is_text(name: str) -> bool:
    """Whether all of a name is printable, or joins letters; what is not UTF-8 on disk is not."""
    return name.translate(_JOINERS).isprintable()


def is_utf8(name: str) -> bool:
    """Whether a name on disk was UTF-8, so that it can be written to a file."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def alike(names: list[str]) -> tuple[str, str] | None:
    """The first two names that differ in case, Unicode form or invisible joiners alone."""
    first: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFC", name.translate(_JOINERS)).casefold()
        key = unicodedata.normalize("NFC", folded)
        if first.setdefault(key, name) != name:
            return first[key], name
    return None


def csv_cell(text: str) -> str:
    """Text as a cell of a table: a spreadsheet does not take it for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
