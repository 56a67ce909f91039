"""Cost of a network: operations, activations and parameters of each layer, for one image.

The rules are those of the Netscope CNN analyser, which SimpleNet's source used for its table. A
bias is not counted. Pooling counts every value of every window. Dropout counts as comparisons,
although evaluation does not apply it, and a batch norm with weights as two layers (norm and scale).
The activations are the outputs of all layers, also those computed in place, and the image.
Reshaping is free, since the source's inner product flattens its input. Functions without a rule in
the source have similar rules here (`_RULES`), or are listed as not counted.

Source: Hasanpour et al. 2016, arXiv:1608.06037, appendix; github.com/dgschwend/netscope.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn

from thumbnets.evaluation.receptive_field import (
    Step,
    adaptive_lengths,
    receptive_fields,
    window_of,
)
from thumbnets.evaluation.trace import COPYING, REARRANGING, Call, Layer, trace


@dataclass(frozen=True)
class Cost:
    """Operations and activations for one image."""

    multiply_accumulates: int = 0
    comparisons: int = 0
    additions: int = 0
    divisions: int = 0
    exponentials: int = 0
    activations: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Cost)))


@dataclass(frozen=True)
class LayerCost:
    """One layer of a network.

    Attributes:
        name: Kind and number, `Conv2d-1`.
        kind: Type of the module, or name of the function.
        shape: Shape of the output, without the batch dimension.
        parameters: Number of learnable values that no earlier layer uses.
        cost: Cost of all its calls.
        field: Receptive fields before and after it.
        uncounted: Names of functions without a rule.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    cost: Cost
    field: Step
    uncounted: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The layer as lists and dicts, with kernel, stride and padding if it has a window."""
        field = {"size": self.field.after.size, "jump": self.field.after.jump}
        return {
            "name": self.name,
            "output_shape": list(self.shape),
            "parameters": self.parameters,
            "receptive_field": field | (asdict(self.field.window) if self.field.window else {}),
            **asdict(self.cost),
        }


@dataclass(frozen=True)
class Description:
    """A network with the cost of all its layers.

    Attributes:
        image: Channels, height and width of the image.
        layers: Layers in the order they ran.
        parameters: Number of learnable values of the network.
        trainable: Number of values that require gradients.
        unused: Number of values that no layer used.
    """

    image: tuple[int, ...]
    layers: tuple[LayerCost, ...]
    parameters: int
    trainable: int
    unused: int

    @property
    def total(self) -> Cost:
        """Cost of all layers, with the image among the activations."""
        image = Cost(activations=math.prod(self.image))
        return sum((layer.cost for layer in self.layers), image)

    @property
    def megabytes(self) -> float:
        """Size of the parameters as float32, in units of 2^20 bytes."""
        return megabytes(self.parameters)

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Height and width, in pixels, of the region that a value of the last layer depends on."""
        return self.layers[-1].field.after.size

    @property
    def uncounted(self) -> dict[str, int]:
        """Number of calls of each function without a rule."""
        return dict(sorted(Counter(n for layer in self.layers for n in layer.uncounted).items()))

    def as_dict(self) -> dict[str, Any]:
        """The description as lists and dicts."""
        return {
            "image": list(self.image),
            "layers": [layer.as_dict() for layer in self.layers],
            "total": asdict(self.total),
            "parameters": self.parameters,
            "trainable_parameters": self.trainable,
            "unused_parameters": self.unused,
            "megabytes": self.megabytes,
            "receptive_field": list(self.receptive_field),
            "not_counted": self.uncounted,
        }


def megabytes(parameters: float) -> float:
    """Size of that many float32 values, in units of 2^20 bytes."""
    return parameters * 4 / 2**20


def describe(network: nn.Module, image_shape: tuple[int, int, int]) -> Description:
    """Count what a network costs.

    Args:
        network: Module that takes images float32 [N, C, H, W], on any device (on `meta` nothing is
            computed).
        image_shape: C, H and W of one image.

    Returns:
        The network with its layers: modules without submodules, and functions called outside of
        them, except those that only rearrange values.
    """
    parameters = list(network.parameters())
    device = parameters[0].device if parameters else torch.device("cpu")
    image = torch.zeros(1, *image_shape, device=device)
    layers = trace(network, image)
    steps = receptive_fields(layers, image)
    counted = [
        (layer, step) for layer, step in zip(layers, steps, strict=True) if _is_counted(layer)
    ]
    return Description(
        image=tuple(image_shape),
        layers=tuple(_layer(number, *pair) for number, pair in enumerate(counted, 1)),
        parameters=_values(parameters),
        trainable=_values(p for p in parameters if p.requires_grad),
        unused=_values(parameters) - _values(p for layer in layers for p in layer.parameters),
    )


def _values(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _is_counted(layer: Layer) -> bool:
    return layer.is_module or layer.kind not in REARRANGING | COPYING or _concatenates(layer.kind)


def _concatenates(name: str) -> bool:
    return name in ("cat", "concat", "concatenate", "stack")


def _layer(number: int, layer: Layer, step: Step) -> LayerCost:
    costs = [cost_of(call) for call in layer.calls]
    uncounted = [call.name for call, cost in zip(layer.calls, costs, strict=True) if cost is None]
    if layer.opaque:
        uncounted.append(layer.kind)
    return LayerCost(
        name=f"{layer.kind}-{number}",
        kind=layer.kind,
        shape=step.shape_out[1:],
        parameters=_values(layer.parameters),
        cost=sum((cost for cost in costs if cost), Cost()),
        field=step,
        uncounted=tuple(uncounted),
    )


def cost_of(call: Call) -> Cost | None:
    """Cost of one call; None if there is no rule for its function."""
    if _concatenates(call.name):
        return Cost(activations=call.output.numel())
    if call.name in REARRANGING | COPYING | {"pad"}:
        return Cost()
    rule = _RULES.get(call.name)
    return rule(call) if rule else None


# Each rule gives a function's operations; n is the number of input values. Activations are the
# values of the output unless a rule says otherwise.


def _outputs(call: Call) -> int:
    return call.output.numel()


def _each(**counts: int) -> Callable[[Call], Cost]:
    """A rule for elementwise functions: numbers of operations per value of the output."""

    def rule(call: Call) -> Cost:
        n = _outputs(call)
        return Cost(activations=n, **{name: count * n for name, count in counts.items()})

    return rule


def _inputs(**counts: int) -> Callable[[Call], Cost]:
    """A rule for reductions: numbers of operations per value of the input."""

    def rule(call: Call) -> Cost:
        n = call.inputs[0].numel()
        found = {name: count * n for name, count in counts.items()}
        return Cost(activations=_outputs(call), **found)

    return rule


def _convolution(call: Call) -> Cost:
    of_one_output = call.argument(1, "weight")[0].numel()  # kernel x channels / groups
    return Cost(of_one_output * _outputs(call), activations=_outputs(call))


def _transposed_convolution(call: Call) -> Cost:
    of_one_input = call.argument(1, "weight")[0].numel()
    return Cost(of_one_input * call.inputs[0].numel(), activations=_outputs(call))


def _linear(call: Call) -> Cost:
    return Cost(call.argument(1, "weight").shape[-1] * _outputs(call), activations=_outputs(call))


def _product(call: Call) -> Cost:
    return Cost(call.args[0].shape[-1] * _outputs(call), activations=_outputs(call))


def _pooling(operation: str) -> Callable[[Call], Cost]:
    """A rule that counts every value of every window; an average's division is not counted."""

    def rule(call: Call) -> Cost:
        if call.name.startswith("adaptive"):
            sides = zip(call.inputs[0].shape[-2:], call.output.shape[-2:], strict=True)
            channels = math.prod(call.output.shape[:-2])
            seen = channels * math.prod(sum(adaptive_lengths(n, out)) for n, out in sides)
        else:
            seen = _outputs(call) * math.prod(window_of(call).kernel)
        if seen == _outputs(call) == call.inputs[0].numel():  # windows of one value
            return Cost()
        return Cost(activations=_outputs(call), **{operation: seen})

    return rule


def _norm(*, affine: int, statistics: bool) -> Callable[[Call], Cost]:
    """A rule for a norm, and the scale after it if it has weights.

    Args:
        affine: Position of the weights among the arguments.
        statistics: Whether mean and variance are computed from the input: n additions and n
            multiply-accumulates more.
    """

    def rule(call: Call) -> Cost:
        n = _outputs(call)
        scales = call.argument(affine, "weight") is not None
        return Cost(
            multiply_accumulates=n * (scales + statistics),
            additions=n * (1 + statistics),
            divisions=n,
            activations=n * (1 + scales),
        )

    return rule


def _local_response_norm(call: Call) -> Cost:
    n = _outputs(call)
    size = call.argument(1, "size")
    return Cost(n * size, additions=n, divisions=2 * n, exponentials=n, activations=n)


def _recurrent(*, gates: int, squashed: int = 0, products: int = 0, **others: int) -> Callable:
    """A rule for all steps, layers and directions of a recurrent layer.

    Args:
        gates: Number of gates of a unit.
        squashed: Number of sigmoids and tanhs of one unit in one step.
        products: Number of multiply-accumulates of one unit besides those of the gates.
        **others: Number of other operations of one unit in one step.
    """

    def rule(call: Call) -> Cost | None:
        if not isinstance(call.argument(2, "params"), list):  # a packed sequence
            return None
        weights = [weight for weight in call.argument(2, "params") if weight.dim() == 2]
        cells = call.argument(4, "num_layers") * (1 + call.argument(7, "bidirectional"))
        of_inputs = weights[:: len(weights) // cells]  # the first weight of each cell
        steps = call.inputs[0].numel() // call.inputs[0].shape[-1]  # of all images
        units = steps * sum(len(weight) for weight in of_inputs) // gates
        gated = Cost(steps * sum(weight.numel() for weight in weights) + products * units)
        single = {name: count * units for name, count in others.items()}
        return gated + _squash(squashed * units) + Cost(activations=units, **single)

    return rule


def _squash(n: int) -> Cost:
    """n sigmoids, or tanhs as 2 sigmoid(2x) - 1, or values of a softmax."""
    return Cost(additions=n, divisions=n, exponentials=n)


def _attention(call: Call) -> Cost:
    query, key, value = (call.argument(i, n) for i, n in enumerate(("query", "key", "value")))
    scores = query.numel() // query.shape[-1] * key.shape[-2]
    macs = scores * (query.shape[-1] + value.shape[-1])
    return Cost(macs, activations=scores + _outputs(call)) + _squash(scores)


def _multi_head_attention(call: Call) -> Cost:
    """Projections of queries, keys, values and outputs, and the attention of all heads."""
    query, key, value = call.args[:3]  # [L, N, E]
    width, heads = call.args[3:5]
    at_query, at_key = query.numel() // query.shape[-1], key.numel() // key.shape[-1]
    pairs = at_query * len(key)
    projections = 2 * at_query * width + at_key * (key.shape[-1] + value.shape[-1])
    return Cost(
        width * (projections + 2 * pairs),
        activations=width * (3 * at_query + 2 * at_key) + heads * pairs,
    ) + _squash(heads * pairs)


_SQUASHING = {"additions": 1, "divisions": 1, "exponentials": 1}
_RULES: dict[str, Callable[[Call], Cost | None]] = {
    # from the source
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    "linear": _linear,
    **dict.fromkeys(("max_pool2d", "adaptive_max_pool2d"), _pooling("comparisons")),
    **dict.fromkeys(("avg_pool2d", "adaptive_avg_pool2d"), _pooling("additions")),
    **dict.fromkeys(("amax", "amin", "max", "min"), _inputs(comparisons=1)),
    **dict.fromkeys(("mean", "sum"), _inputs(additions=1)),
    "batch_norm": _norm(affine=3, statistics=False),
    **dict.fromkeys(
        "relu relu6 elu prelu leaky_relu selu celu rrelu hardtanh threshold clamp maximum minimum "
        "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout".split(),
        _each(comparisons=1),
    ),
    "local_response_norm": _local_response_norm,
    **dict.fromkeys(("softmax", "log_softmax"), _each(**_SQUASHING)),
    "logsumexp": _inputs(comparisons=1, additions=1, exponentials=1),
    "mul": _each(multiply_accumulates=1),
    **dict.fromkeys(("add", "sub", "rsub"), _each(additions=1)),
    # not from the source
    "div": _each(divisions=1),
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed_convolution
    ),
    **dict.fromkeys(("matmul", "bmm", "mm"), _product),
    "layer_norm": _norm(affine=2, statistics=True),
    "group_norm": _norm(affine=2, statistics=True),
    "instance_norm": _norm(affine=3, statistics=True),
    **dict.fromkeys(("sigmoid", "tanh"), _each(**_SQUASHING)),
    **dict.fromkeys(("silu", "gelu"), _each(multiply_accumulates=1, **_SQUASHING)),
    **dict.fromkeys(("hardsigmoid", "hardswish"), _each(multiply_accumulates=1, comparisons=1)),
    **dict.fromkeys("eq ne gt ge lt le masked_fill where".split(), _each(comparisons=1)),
    "exp": _each(exponentials=1),
    "lstm": _recurrent(gates=4, squashed=5, products=3),
    "gru": _recurrent(gates=3, squashed=3, products=3, additions=1),
    "rnn_tanh": _recurrent(gates=1, squashed=1),
    "rnn_relu": _recurrent(gates=1, comparisons=1),
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head_attention,
}
