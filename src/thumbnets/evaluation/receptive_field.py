"""Receptive fields: the part of the image that a value of each layer depends on.

Sizes follow the usual recurrence over kernels and strides, which counts padding as image: a field
may be larger than the image. Where branches meet, the largest field counts.

Source: Araujo, Norris and Sim 2019, Distill, "Computing receptive fields of convolutional neural
networks"; the columns are those of Not-Just-Another-MNIST.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from thumbnets.evaluation.trace import REARRANGING, Call, Layer

Pair = tuple[int, int]  # down and across


@dataclass(frozen=True)
class Window:
    """The window that a convolution or a pooling moves over its input.

    Attributes:
        kernel: Height and width, including the gaps of a dilation.
        stride: Step between windows, down and across.
        padding: Number of values added above and on the left.
    """

    kernel: Pair
    stride: Pair
    padding: Pair


@dataclass(frozen=True)
class Field:
    """Receptive fields of the values of a tensor, in pixels of the image.

    Attributes:
        size: Height and width of a field.
        jump: Distance between neighbouring values of a feature map, in pixels of the image.
        centre: Row, and column, of the middle of each value's field: float, in the shape of the
            tensor. They show which values are neighbours even in maps cut up or flattened.
    """

    size: Pair
    jump: Pair
    centre: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Step:
    """The receptive fields before and after one layer.

    Attributes:
        before, after: Receptive fields of its input and its output.
        window: Window of a convolution or pooling; None of other layers.
        shape_in, shape_out: Shapes of its input and its output, with the batch dimension.
    """

    before: Field
    after: Field
    window: Window | None
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]


def receptive_fields(layers: list[Layer], image: Tensor) -> list[Step]:
    """Follow the receptive fields through the layers of `trace`.

    Args:
        layers: Layers of the network, as `trace` returns them.
        image: float [1, C, H, W], the image that it was traced with.

    Returns:
        One step per layer.
    """
    fields = {id(image): _of_pixels(image)}
    steps, last = [], image
    for layer in layers:
        inputs, window = layer.calls[0].inputs if layer.calls else (last,), None
        before = _largest([fields[id(t)] for t in inputs])
        for call in layer.calls:
            window = window or window_of(call)
            _follow(call, fields)
        output = last if layer.output is None else layer.output
        if id(output) not in fields:  # computed by unrecorded functions
            fields[id(output)] = _over_all([before], output.shape)
        after, last = fields[id(output)], output
        steps.append(Step(before, after, window, tuple(inputs[0].shape), tuple(output.shape)))
    return steps


def _of_pixels(image: Tensor) -> Field:
    rows, columns = (torch.arange(float(n)) for n in image.shape[-2:])
    return Field((1, 1), (1, 1), (rows[:, None].expand(image.shape), columns.expand(image.shape)))


def _largest(fields: list[Field]) -> Field:
    """Field of several inputs: centres and jump of the largest tensor, with the largest size."""
    first = max(fields, key=lambda field: field.centre[0].numel())
    rows, columns = zip(*(field.size for field in fields), strict=True)
    return replace(first, size=(max(rows), max(columns)))


def _follow(call: Call, fields: dict[int, Field]) -> None:
    """Compute the fields of the outputs of a call."""
    known = [fields[id(tensor)] for tensor in call.inputs]
    largest = _largest(known)
    if call.name in REARRANGING:
        found = _rearranged(call, fields)
    elif window := window_of(call):
        found = [_through(window, known[0], call.output.shape)] * len(call.outputs)
    elif call.name in _MIXED_DIMS:
        dims = _MIXED_DIMS[call.name](call)
        found = [_over(known[0], dims, output.shape) for output in call.outputs]
    elif call.name not in _MIXING_EVERYTHING and call.output.shape == largest.centre[0].shape:
        found = [largest] * len(call.outputs)  # each value by itself
    else:
        found = [_over_all(known, output.shape) for output in call.outputs]
    fields.update((id(t), f) for t, f in zip(call.outputs, found, strict=True))


def _rearranged(call: Call, fields: dict[int, Field]) -> list[Field]:
    """Rearrange the centres by the same function as the values."""

    def moved(axis: int) -> list[Tensor]:
        def centre(value: Any) -> Any:
            if isinstance(value, Tensor) and id(value) in fields:
                found = fields[id(value)].centre[axis]
                return found.contiguous() if call.name.startswith("view") else found
            if isinstance(value, Tensor):  # indices, or values that see nothing (a class token)
                return torch.zeros(value.shape).to(value.dtype) if value.is_meta else value.cpu()
            if type(value) in (tuple, list):
                return type(value)(centre(item) for item in value)
            return value

        given = {key: centre(value) for key, value in call.kwargs.items()}
        result = call.function(*centre(call.args), **given)
        return [_compacted(t) for t in ([result] if isinstance(result, Tensor) else result)]

    largest = _largest([fields[id(tensor)] for tensor in call.inputs])
    return [
        replace(largest, centre=pair, jump=tuple(map(_jump, pair, (-2, -1), largest.jump)))
        for pair in zip(moved(0), moved(1), strict=True)
    ]


def _jump(centre: Tensor, dim: int, before: int) -> int:
    """Distance from one value of a map to the next, after rows or columns were dropped."""
    if centre.dim() < 4 or centre.shape[dim] < 2:
        return before
    return int((centre.select(dim, 1) - centre.select(dim, 0)).flatten()[0]) or before


def _compacted(centre: Tensor) -> Tensor:
    """The same values, stored once along every dimension in which they repeat."""
    found = centre
    for dim in range(centre.dim()):
        if (found == found.narrow(dim, 0, 1)).all():
            found = found.narrow(dim, 0, 1)
    return found.expand(centre.shape)


def _once(centre: Tensor) -> Tensor:
    """A compacted tensor with size 1 along every dimension in which its values repeat."""
    for dim, stride in enumerate(centre.stride()):
        centre = centre if stride else centre.narrow(dim, 0, 1)
    return centre


def _through(window: Window, field: Field, shape: torch.Size) -> Field:
    """The recurrence: sizes grow by (kernel - 1) * jump, jumps by the stride."""
    size, jump, centres = [], [], []
    for axis, dim in enumerate((-2, -1)):
        centre, step, kernel = _once(field.centre[axis]), field.jump[axis], window.kernel[axis]
        if _runs_along(field.centre[axis], dim, step):
            low, high = centre.amin(-3, keepdim=True), centre.amax(-3, keepdim=True)
            size.append(field.size[axis] + (kernel - 1) * step + int((high - low).max()))
            first = ((low + high) / 2).narrow(dim, 0, 1)
            first = first + ((kernel - 1) / 2 - window.padding[axis]) * step
            along = torch.arange(shape[dim]) * step * window.stride[axis]
            middle = first + (along[:, None] if axis == 0 else along)
        else:  # neighbouring values come from arbitrary positions
            size.append(field.size[axis] + int(centre.max() - centre.min()))
            middle = (
                centre.amin((1, 2, 3), keepdim=True) + centre.amax((1, 2, 3), keepdim=True)
            ) / 2
        centres.append(middle.expand(shape))
        jump.append(step * window.stride[axis])
    return Field(tuple(size), tuple(jump), tuple(centres))


def _runs_along(centre: Tensor, dim: int, step: int) -> bool:
    """Whether centres grow by `step` along one dimension of a map, and not along the other."""
    one = _once(centre)
    alone = centre.shape[dim] == 1 or (one.shape[dim] > 1 and (one.diff(dim=dim) == step).all())
    return bool(alone and one.shape[-3 - dim] == 1)


def _over(field: Field, dims: tuple[int, ...], shape: torch.Size) -> Field:
    """Field of an output whose values each depend on all values along `dims` of the input."""
    size, centres = [], []
    for axis, centre in enumerate(map(_once, field.centre)):
        low, high = centre.amin(dims, keepdim=True), centre.amax(dims, keepdim=True)
        size.append(field.size[axis] + int((high - low).max()))
        middle = (low + high) / 2
        middle = middle if centre.dim() == len(shape) else middle.squeeze(dims)
        centres.append(middle.expand(shape))
    return replace(field, size=tuple(size), centre=tuple(centres))


def _over_all(fields: list[Field], shape: torch.Size) -> Field:
    """Field of an output whose values each may depend on all values of the inputs."""
    whole = [_over(f, tuple(range(f.centre[0].dim())), f.centre[0].shape) for f in fields]
    largest = _largest(whole)
    return replace(largest, centre=tuple(c.flatten()[0].expand(shape) for c in largest.centre))


def window_of(call: Call) -> Window | None:
    """The window of a two-dimensional convolution, pooling or padding; else None."""
    if call.name == "conv2d":
        kernel, padding = call.argument(1, "weight").shape[-2:], call.argument(4, "padding", 0)
        wide = _wide(kernel, call.argument(5, "dilation", 1))
        if isinstance(padding, str):
            padding = tuple((k - 1) // 2 for k in wide) if padding == "same" else 0
        return Window(wide, _pair(call.argument(3, "stride", 1)), _pair(padding))
    if call.name in ("max_pool2d", "avg_pool2d"):
        kernel, dilation = _pair(call.argument(1, "kernel_size")), 1
        if call.name == "max_pool2d":
            dilation = call.argument(4, "dilation", 1)
        stride = call.argument(2, "stride") or kernel
        padding = call.argument(3, "padding", 0)
        return Window(_wide(kernel, dilation), _pair(stride), _pair(padding))
    if call.name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        sides = list(zip(call.inputs[0].shape[-2:], call.output.shape[-2:], strict=True))
        kernel = tuple(max(adaptive_lengths(n, out)) for n, out in sides)
        # A global pooling has stride 1, as in the source's table.
        return Window(kernel, tuple(1 if out == 1 else n // out for n, out in sides), (0, 0))
    if call.name == "pad" and call.output.dim() == 4:
        sides = call.argument(1, "pad")  # left, right, above, below
        return Window((1, 1), (1, 1), (sides[2] if len(sides) > 2 else 0, sides[0]))
    return None


def adaptive_lengths(size: int, outputs: int) -> list[int]:
    """How many values each window of an adaptive pooling takes, along one side."""
    return [-(-(i + 1) * size // outputs) - i * size // outputs for i in range(outputs)]


def _wide(kernel: Any, dilation: Any) -> Pair:
    return tuple(d * (k - 1) + 1 for k, d in zip(_pair(kernel), _pair(dilation), strict=True))


def _pair(value: Any) -> Pair:
    pair = tuple(value) if isinstance(value, tuple | list) else (value,)
    return pair * 2 if len(pair) == 1 else pair


def _dim_argument(call: Call) -> tuple[int, ...]:
    dim = call.argument(1, "dim")
    if dim is None or dim == ():
        return tuple(range(call.inputs[0].dim()))
    return (dim,) if isinstance(dim, int) else tuple(dim)


def _last_dims(call: Call) -> tuple[int, ...]:
    return tuple(range(-len(call.argument(1, "normalized_shape")), 0))


# Functions that mix values along some dimensions, with those dimensions.
_MIXED_DIMS: dict[str, Callable[[Call], tuple[int, ...]]] = {
    "linear": lambda call: (-1,),
    "layer_norm": _last_dims,
    "rms_norm": _last_dims,
    "group_norm": lambda call: tuple(range(1, call.inputs[0].dim())),
    "instance_norm": lambda call: tuple(range(2, call.inputs[0].dim())),
    **dict.fromkeys(
        "mean sum amax amin softmax log_softmax logsumexp normalize".split(), _dim_argument
    ),
}
# Functions that mix all values, although their output may have the shape of their input.
_MIXING_EVERYTHING = frozenset(
    "lstm gru rnn_tanh rnn_relu matmul bmm mm einsum scaled_dot_product_attention "
    "multi_head_attention_forward".split()
)
