"""Train, compare and combine small image classifiers, reproducibly."""

from importlib.metadata import version

from thumbnets.runtime import quiet_threads

quiet_threads()  # before torch is imported: the thread pools read the environment only once

__version__ = version("thumbnets")
