"""torch's compiler, kept out: its optimizers import it, which takes a second, and need none of it.

Modules that a training imports later may need it, as torchvision does, and then get the real one.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_COMPILER = "torch._dynamo"


class _Placeholder(ModuleType):
    """Placeholder for the compiler that imports it once anything but two functions is used.

    `__path__` is asked for by `import torch._dynamo.utils`; other names of that kind are asked of
    any module, as by `inspect`.
    """

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if _is_deferred():
            _drop()
            importlib.import_module(_COMPILER)
        return getattr(sys.modules[_COMPILER], name)


def defer() -> None:
    """Keep torch's optimizers from importing the compiler.

    They only use `disable`, which returns the function, and `graph_break`, which does nothing.
    """
    import torch

    if _COMPILER not in sys.modules:
        compiler = _Placeholder(_COMPILER)
        compiler.disable = lambda function, *_, **__: function
        compiler.graph_break = lambda *_, **__: None
        sys.modules[_COMPILER] = torch._dynamo = compiler


@contextmanager
def restored() -> Iterator[None]:
    """Take the placeholder away at the end unless it was there before.

    The caller may trace a network, which fails by the placeholder.
    """
    before = _COMPILER in sys.modules
    try:
        yield
    finally:
        if not before and _is_deferred():
            _drop()


def _is_deferred() -> bool:
    return isinstance(sys.modules.get(_COMPILER), _Placeholder)


def _drop() -> None:
    import torch

    del sys.modules[_COMPILER], torch._dynamo
