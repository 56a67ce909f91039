"""Data sets, their raw files, folds, processed arrays and augmentation."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    # On first use only: training imports this package, but does not rest on the table of data sets.
    if name == "load":
        return importlib.import_module("thumbnets.data.loading").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
