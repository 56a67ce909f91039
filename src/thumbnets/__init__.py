"""Train, compare and combine small image classifiers, reproducibly."""

import importlib
from typing import TYPE_CHECKING, Any

from thumbnets.runtime import quiet_threads

__all__ = ["ImageClassifier", "NetworkClassifier", "fit", "load"]

quiet_threads()  # before torch is imported: the thread pools read the environment only once


_LAZY = {
    "ImageClassifier": "thumbnets.api",
    "NetworkClassifier": "thumbnets.estimator",
    "fit": "thumbnets.estimator",
    "load": "thumbnets.api",
}

if TYPE_CHECKING:
    from thumbnets.api import ImageClassifier, load
    from thumbnets.estimator import NetworkClassifier, fit


def __getattr__(name: str) -> Any:
    """What is looked up on first use: the version, since a checkout may not be installed, and what
    takes time to import.

    Raises:
        AttributeError: The package has no such name.
    """
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name != "__version__":
        raise AttributeError(f"module 'thumbnets' has no attribute {name!r}")
    from importlib.metadata import version

    return version("thumbnets")
