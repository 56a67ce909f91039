"""Tracing a network on one image: its layers in execution order, with the functions they call.

Tensor functions are recorded as they are called, so functions that a forward method calls outside
of a layer (`F.relu`, `torch.cat`, `x + y`) are recorded as well. Any `nn.Module` can be traced.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thumbnets.models.layers import Dropout

# Names of functions that move or reshape values without computing anything.
REARRANGING = frozenset(
    "cat chunk concat concatenate channel_shuffle expand expand_as flatten flip getitem mT movedim "
    "moveaxis narrow permute pixel_shuffle pixel_unshuffle ravel repeat reshape reshape_as roll "
    "select split squeeze stack swapaxes swapdims t T tensor_split tile transpose unbind unflatten "
    "unsqueeze view view_as".split()
)
# Names of functions that return the same values: copies and casts.
COPYING = frozenset(
    "bfloat16 clone contiguous data detach double float half positive to type type_as".split()
)


@dataclass(frozen=True)
class Call:
    """One call of a tensor function.

    Attributes:
        name: Name of the function, the same for all its forms: `relu` of `F.relu(x)` and
            `x.relu_()`.
        function: Function that was called.
        args, kwargs: Arguments of the call.
        inputs: Tensors among the arguments that were computed from the image, at least one.
        outputs: Tensors that it returned, at least one.
    """

    name: str
    function: Callable
    args: tuple
    kwargs: dict[str, Any]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def output(self) -> Tensor:
        """The first returned tensor."""
        return self.outputs[0]

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """An argument, by position or by name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)


@dataclass
class Layer:
    """One module without submodules, or one function that was called outside of such a module.

    Attributes:
        kind: Type of the module, or name of the function.
        calls: Calls that it made; the call itself for a function.
        output: First tensor that it returned.
        parameters: Learnable tensors that no earlier layer uses.
        is_module: Whether it is a module.
        opaque: Whether it computes something that could not be recorded.
    """

    kind: str
    calls: list[Call] = field(default_factory=list)
    output: Tensor | None = None
    parameters: list[nn.Parameter] = field(default_factory=list)
    is_module: bool = False
    opaque: bool = False


def trace(network: nn.Module, image: Tensor) -> list[Layer]:
    """Run a network in evaluation mode and record its layers.

    Args:
        network: Module that takes one tensor; it is left unchanged.
        image: float [1, C, H, W], on the device of the network (`meta` will do).

    Returns:
        Its layers, in the order they ran. Their tensors are kept alive, so that ids are unique.

    Raises:
        ValueError: A part of it is TorchScript, which cannot be traced.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise ValueError("TorchScript cannot be traced: pass the module that it was made from.")
    recorder = _Recorder(image)
    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [leaf.register_forward_pre_hook(recorder.enter) for leaf in leaves]
    hooks += [leaf.register_forward_hook(recorder.leave) for leaf in leaves]
    training = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad(), recorder:
            network.eval()(image)
    finally:
        for hook in hooks:
            hook.remove()
        for module, was_training in training.items():
            module.training = was_training
    return recorder.layers


class _Recorder(TorchFunctionMode):
    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self.inside: Layer | None = None
        self.computed = {id(image): image}  # kept alive: ids of freed tensors are reused
        self.used: set[int] = set()
        self.made_of: dict[int, list[nn.Parameter]] = {}  # tensors computed from parameters alone
        self.kept: list[Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given, outputs = list(_tensors([args, kwargs])), tuple(_tensors(result))
        inputs = tuple(tensor for tensor in given if id(tensor) in self.computed)
        name = _name(func)
        if inputs and outputs and not (name.startswith("new_") or name.endswith("_like")):
            call = Call(name, func, _copied(args), _copied(kwargs), inputs, outputs)
            self._note(call, self._parameters(given))
        elif outputs and (parameters := self._parameters(given)):
            self.made_of |= {id(tensor): parameters for tensor in outputs}
            self.kept += outputs
        return result

    def _parameters(self, tensors: list[Tensor]) -> list[nn.Parameter]:
        own = [tensor for tensor in tensors if isinstance(tensor, nn.Parameter)]
        return own + [p for tensor in tensors for p in self.made_of.get(id(tensor), [])]

    def _note(self, call: Call, parameters: list[nn.Parameter]) -> None:
        self.computed |= {id(tensor): tensor for tensor in call.outputs}
        layer = self.inside
        if layer is None:
            layer = Layer(call.name)
            self.layers.append(layer)
        layer.calls.append(call)
        layer.output = call.output
        self._use(layer, parameters)

    def _use(self, layer: Layer, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            if id(parameter) not in self.used:
                self.used.add(id(parameter))
                layer.parameters.append(parameter)

    def enter(self, module: nn.Module, args: tuple) -> None:
        self.inside = Layer(type(module).__name__, is_module=True)
        self.layers.append(self.inside)
        self._use(self.inside, module.parameters())

    def leave(self, module: nn.Module, args: tuple, result: Any) -> None:
        layer, self.inside = self.inside, None
        outputs = tuple(_tensors(result))
        if isinstance(module, Dropout):  # which calls no function in evaluation mode
            layer.calls.append(Call("dropout", module, args, {}, args[:1], outputs))
        layer.opaque = any(id(tensor) not in self.computed for tensor in outputs)
        self.computed |= {id(tensor): tensor for tensor in outputs}
        layer.output = outputs[0] if outputs else None


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _copied(value: Any) -> Any:
    """Nested tuples, lists and dicts as they are now: a network may append to a list later."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_copied(item) for item in value)
    return value


def _name(function: Callable) -> str:
    """`relu` of relu, relu_ and Tensor.relu; `add` of x + y, y + x and x += y; `T` of x.T."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":  # of an attribute
        return function.__self__.__name__
    bare = name.strip("_")
    if name.startswith("__") and bare[1:] in _OPERATORS and bare not in _OPERATORS:
        return _OPERATORS[bare[1:]]
    return _OPERATORS.get(bare, bare)


# Operators may be reflected (`__radd__`) or in place (`__iadd__`).
_OPERATORS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "matmul": "matmul",
    "truediv": "div",
    "div": "div",
}
