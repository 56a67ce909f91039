"""Values and errors of other libraries as messages quote them: on one line, never long."""

from collections.abc import Iterable
from pickle import UnpicklingError
from reprlib import Repr

LONGEST_QUOTE = 200  # characters

_REPR = Repr()
_REPR.maxlevel, _REPR.maxlist, _REPR.maxtuple, _REPR.maxdict, _REPR.maxset = 3, 20, 20, 20, 20
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = LONGEST_QUOTE


def shorten(text: str) -> str:
    """Text on one line, cut after 200 characters."""
    line = " ".join(text[: 10 * LONGEST_QUOTE].split())
    return line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 1] + "…"


def quote(value: object) -> str:
    """The `repr` of a value on one line, cut after 200 characters; fast for nested values too."""
    return shorten(_REPR.repr(value))


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names on one line: the first `most`, and how many more there are."""
    names = list(names)
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def plural(count: int, noun: str) -> str:
    """1 seed, 2 seeds, 10,000 images."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def reason(error: Exception) -> str:
    """What an error of a parser says, or its type where the text alone would be a riddle."""
    text = shorten(str(error))
    if isinstance(error, MemoryError):
        return "needs more memory than is available"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, KeyError):
        return f"{text} is missing"
    if isinstance(error, UnpicklingError) and "Unsupported global" in str(error):  # of torch
        return "it holds other objects than tensors, such as a whole network"
    if not text or isinstance(error, LookupError):
        return f"{type(error).__name__}: {text}".removesuffix(": ")
    return text.rstrip(".")
