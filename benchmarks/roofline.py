"""What limits a training step, layer by layer: its bytes and operations against a core's speed."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import harness
from benchmarks.harness import Contender, Options, table
from benchmarks.process import Measured, answer
from benchmarks.task import Task
from thumbnets import runtime
from thumbnets.evaluation.cost import cost_of
from thumbnets.evaluation.trace import trace
from thumbnets.models.patches import build
from thumbnets.models.pooling import pool_first

ROUNDS = 1
MODELS = ("cnn_c", "tiny_cnn")
BATCH = 128
_FLOAT = 4  # bytes
_SHAPE = {"in_channels": 1, "image_size": 28, "num_classes": 10}


@dataclass(frozen=True)
class Work:
    """The work of a layer on a batch, forward and backward.

    Attributes:
        operations: Number of arithmetic operations; a multiply-accumulate is two.
        bytes: Bytes read and written, each value once per use.
    """

    operations: int
    bytes: int


def work_of(layer: nn.Module, image: Tensor, output: Tensor, *, first: bool) -> Work:
    """Work of one layer, forward and backward.

    The backward pass of a layer with weights has two products of the same size as the forward pass,
    that of a first layer one. It reads the gradient of its output and once more its input, and
    writes the gradient of its input. Other layers have their cost in each direction.

    Args:
        layer: A module without submodules.
        image: Its input.
        output: Its output.
        first: Whether its input needs no gradient.
    """
    (traced,) = [found for found in trace(layer, image[:1]) if found.calls]
    cost = cost_of(traced.calls[0])
    macs = cost.multiply_accumulates
    others = cost.comparisons + cost.additions + cost.divisions + cost.exponentials
    passes = 2 if first else 3
    parameters = sum(parameter.numel() for parameter in layer.parameters())
    moved = image.numel() * (2 if first else 3) + 2 * output.numel() + 2 * parameters
    if macs and isinstance(layer, nn.Conv2d | nn.Linear):
        return Work(2 * macs * len(image) * passes, _FLOAT * moved)
    return Work((2 * macs + others) * len(image) * 2, _FLOAT * moved)


def leaves(network: nn.Module, images: Tensor) -> list[tuple[nn.Module, Tensor, Tensor]]:
    """The layers that compute something, in order, with input and output."""
    found: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append((layer, inputs[0].detach().clone(), output.detach().clone()))

    for layer in network.modules():
        if isinstance(layer, nn.ReLU | nn.LeakyReLU):
            layer.inplace = False  # the input of a layer that is timed alone must survive
        if not list(layer.children()) and not isinstance(layer, nn.Identity | nn.Flatten):
            layer.register_forward_hook(note)
    with torch.no_grad():
        network(images)
    for layer in network.modules():
        layer._forward_hooks.clear()
    return found


def least(function: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several calls."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def both_ways(layer: nn.Module, image: Tensor, output: Tensor, first: bool) -> None:
    """Run a layer forward and backward."""
    image = image.requires_grad_(not first)
    wanted = [*layer.parameters(), *([] if first else [image])]
    torch.autograd.grad(layer(image), wanted, output)


def bytes_a_second(count: int, repeats: int) -> float:
    """Bytes per second that a core reads and writes when it copies, `count` bytes in all."""
    source = torch.rand(max(1, count // (2 * _FLOAT)))
    target = torch.empty_like(source)
    return 2 * _FLOAT * source.numel() / least(partial(target.copy_, source), repeats)


def operations_a_second(repeats: int) -> float:
    """Operations per second of a core in a product of two float32 matrices of 1024 x 1024."""
    a, b, c = (torch.rand(1024, 1024) for _ in range(3))
    return 2 * 1024**3 / least(partial(torch.mm, a, b, out=c), repeats)


def layers(model: str, batch: int = BATCH, repeats: int = 30) -> Measured:
    """Time each layer of a network; gives `peak`, operations per second, and `layers`."""
    runtime.prepare(threads=1)
    torch.manual_seed(0)
    network = pool_first(build(Task(model, "mnist").settings, **_SHAPE)).train()
    parts = leaves(network, torch.randn(batch, 1, 28, 28))

    def measured() -> dict:
        found = []
        for number, (layer, image, output) in enumerate(parts):
            first = number == 0
            work = work_of(layer, image, output, first=first)
            layer.train()
            call = partial(both_ways, layer, image, output, first)
            call()
            found.append(
                {
                    "layer": type(layer).__name__,
                    "output": list(output.shape[1:]),
                    "operations": work.operations,
                    "bytes": work.bytes,
                    "bytes_a_second": bytes_a_second(work.bytes, repeats),
                    "seconds": least(call, repeats),
                }
            )
        return {"peak": operations_a_second(repeats), "layers": found}

    return measured


def row_of(layer: dict, peak: float) -> tuple[list[str], float]:
    """The row of a layer in the table, and the least time that its work can take."""
    computing = layer["operations"] / peak
    moving = layer["bytes"] / layer["bytes_a_second"]
    bound = max(computing, moving)
    row = [
        layer["layer"],
        " × ".join(map(str, layer["output"])),
        f"{layer['operations'] / 1e6:.1f}",
        f"{layer['bytes'] / 1e6:.1f}",
        f"{1e3 * layer['seconds']:.2f}",
        f"{1e3 * bound:.2f}",
        f"{layer['seconds'] / bound:.1f}",
        "operations" if computing > moving else "bytes",
    ]
    return row, bound


def section(model: str, said: dict) -> str:
    """The table of one network."""
    rows, bounds = zip(*(row_of(layer, said["peak"]) for layer in said["layers"]), strict=True)
    seconds = math.fsum(layer["seconds"] for layer in said["layers"])
    total = math.fsum(bounds)
    sums = (sum(layer[key] for layer in said["layers"]) / 1e6 for key in ("operations", "bytes"))
    last = ["together", "", *(f"{value:.1f}" for value in sums)]
    last += [f"{1e3 * seconds:.2f}", f"{1e3 * total:.2f}", f"{seconds / total:.1f}", ""]
    columns = ["layer", "output", "Mop", "MB", "ms", "least ms", "times the least", "bound by"]
    rate = f"{said['peak'] / 1e9:.0f} billion operations a second"
    return f"### {model}\n\nA product of matrices: {rate}.\n\n{table(columns, [*rows, last])}"


def question(options: Options) -> str:
    """Tables of all networks."""
    how = {"batch": 16, "repeats": 2} if options.quick else {}
    results = harness.compare(
        lambda _: [Contender.of(model, "roofline.layers", model=model, **how) for model in MODELS],
        options.repeats,
    )
    head = (
        f"## What bounds a step\n\nEach layer by itself, forwards and backwards, {BATCH} images, "
        "one thread, float32; the least of 30 runs. The least time is that of its operations at "
        "the rate of a product of two large matrices, or that of its bytes at the rate of copying "
        "as many, whichever is longer. What lies between layers is in no row: the optimizer, the "
        "batch, autograd's own work."
    )
    return "\n\n".join([head, *(section(model, said[0][0]) for model, said in results.items())])


if __name__ == "__main__":
    answer(layers)
