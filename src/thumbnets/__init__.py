"""Train, compare and combine small image classifiers, reproducibly."""

from thumbnets.runtime import quiet_threads

quiet_threads()  # before torch is imported: the thread pools read the environment only once


def __getattr__(name: str) -> str:
    """The version, looked up when it is asked for: a checkout may be used without being installed.

    Raises:
        AttributeError: The package has no such name.
    """
    if name != "__version__":
        raise AttributeError(f"module 'thumbnets' has no attribute {name!r}")
    from importlib.metadata import version

    return version("thumbnets")
