"""The result of a check."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that is broken or odd.

    Attributes:
        problem: What is wrong, naming the file or setting.
        remedy: The one command that repairs it, or what to do.
        mend: Function that repairs it without losing a result; None if a person has to decide.
        broken: Whether commands fail or results are wrong; False if it is merely worth knowing.
    """

    problem: str
    remedy: str
    mend: Callable[[], None] | None = None
    broken: bool = True
