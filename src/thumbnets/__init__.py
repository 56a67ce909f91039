"""Train, compare and combine small image classifiers, reproducibly."""

import importlib
from typing import Any

from thumbnets.runtime import quiet_threads

quiet_threads()  # before torch is imported: the thread pools read the environment only once

# As strings: training code imports this package too, and must not depend on what these import.
_PLACES = {
    "ImageClassifier": "thumbnets.api",
    "NetworkClassifier": "thumbnets.estimator",
    "fit": "thumbnets.estimator",
    "load": "thumbnets.api",
}


def __dir__() -> list[str]:
    return [*_PLACES, "__version__"]


def __getattr__(name: str) -> Any:
    """Look up on first use what takes time to import, and the version, since a checkout may be
    used without being installed.

    Raises:
        AttributeError: The package has no such name.
    """
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    if name != "__version__":
        raise AttributeError(f"module 'thumbnets' has no attribute {name!r}")
    from importlib.metadata import version

    return version("thumbnets")
