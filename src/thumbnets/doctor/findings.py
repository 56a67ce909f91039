"""What a check finds."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that is broken or odd.

    Attributes:
        problem: What is wrong, naming the file or setting.
        remedy: The one command that mends it, or what to do.
        mend: Does so, where it can lose no result; None where a person has to decide.
        broken: Whether commands fail or results are wrong; False for what is merely worth knowing.
    """

    problem: str
    remedy: str
    mend: Callable[[], None] | None = None
    broken: bool = True
