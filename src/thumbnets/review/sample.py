"""Which test images the results of a commit are on.

Labels alone do not tell: of the user's own images another draw often has the same ones, class by
class.
"""

from dataclasses import dataclass
from typing import Any

from thumbnets.evaluation.correctness import Correctness, why_not_paired
from thumbnets.paths import RAW
from thumbnets.review.code import checksums
from thumbnets.review.stale import run_params

# Keys of `data` that decide which images test. Others say only how an image is read, or what is
# learnt from.
_DRAW = ("name", "test", "seed", "broken", "max_pixels", "list", "group")


@dataclass(frozen=True)
class Sample:
    """The test images of a commit.

    Attributes:
        sha256: Checksum of their pixels, labels and groups; None in metrics of older versions.
        lock: Text of dvc.lock, which tells what they were drawn from.
    """

    sha256: str | None
    lock: str

    @classmethod
    def of(cls, metrics: dict[str, Any], lock: str) -> "Sample":
        """The test images of a classifier's metrics."""
        found = metrics.get("test_sha256")
        return cls(found if isinstance(found, str) else None, lock)


def why_not_same_images(
    before: tuple[Correctness, Sample], after: tuple[Correctness, Sample]
) -> str | None:
    """Why two results can't be paired; None if they can: on the same images, maybe of other size.

    Args:
        before, after: Recognised images of a classifier in a commit, and which they are.
    """
    if reason := why_not_paired(before[0], after[0]):
        return reason
    old, new = before[1], after[1]
    if None in (old.sha256, new.sha256) or old.sha256 == new.sha256:
        return None
    drawn = _drawn(old.lock)
    return None if drawn and drawn == _drawn(new.lock) else "other test images"


def _drawn(lock: str) -> tuple[str, dict[str, Any]] | None:
    """What the test images of a run were drawn from, and how; None if dvc.lock does not tell."""
    try:
        data = run_params(lock)["data"]
        return checksums(lock)[str(RAW / "dataset")], {key: data.get(key) for key in _DRAW}
    except (LookupError, TypeError, AttributeError):
        return None
