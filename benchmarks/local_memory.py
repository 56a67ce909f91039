"""How much memory does a training of vgg8b hold with local losses, and with a global loss?"""

import resource
import sys
from collections import Counter

import torch
from torch import Tensor, nn

from benchmarks.harness import Options, table
from benchmarks.process import Job, Measured, answer, measure
from thumbnets import runtime
from thumbnets.data.arrays import Meta
from thumbnets.methods.base import build_method
from thumbnets.params import load_params
from thumbnets.training.batches import Images
from thumbnets.training.loop import Training

ROUNDS = 1
_BLOCKS = ("vgg8b", "vgg8b_pred", "vgg8b_sim", "vgg8b_predsim", "vgg8b_bio_predsim")
_BATCHES = 2  # the state of the optimizer exists after the first
_MIB = 2**20


class Saved:
    """Counts the bytes that graphs keep for the backward pass, without parameters.

    They are a deterministic part of the resident memory, without buffers of single operations and
    without outputs of the network that no gradient needs.

    Attributes:
        most: Largest number of bytes that were kept at the same time.
    """

    def __init__(self, network: nn.Module) -> None:
        self._parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}
        self._held: Counter[int] = Counter()  # how many times each storage is kept
        self._now = self.most = 0

    def hooks(self) -> torch.autograd.graph.saved_tensors_hooks:
        """The context in which bytes are counted."""
        return torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: _Kept(self, tensor), lambda kept: kept.tensor
        )

    def count(self, tensor: Tensor, times: int) -> None:
        """Note that a graph keeps a tensor (1), or releases it (-1)."""
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place in self._parameters:
            return
        before = self._held[place] > 0
        self._held[place] += times
        self._now += storage.nbytes() * ((self._held[place] > 0) - before)
        self.most = max(self.most, self._now)


class _Kept:
    """A tensor that a graph keeps, for as long as the graph does."""

    def __init__(self, saved: Saved, tensor: Tensor) -> None:
        self.tensor, self._saved = tensor.detach(), saved  # an output would keep its own graph
        saved.count(self.tensor, 1)

    def __del__(self) -> None:
        self._saved.count(self.tensor, -1)


class _Silent:
    """A watcher that shows nothing."""

    def start(self, epochs: int, steps: int, done: int) -> None: ...

    def batch(self) -> None: ...

    def epoch(self, row: object) -> None: ...


def training_of(block: str, *, batch: int, side: int = 28) -> Training:
    """A training of a block of params.yaml on two batches of noise, on the CPU."""
    settings = load_params().settings[block]
    changes = {"epochs": 1, "batch_size": batch}
    settings = settings.model_copy(update={"train": settings.train.model_copy(update=changes)})
    count = _BATCHES * batch
    images = torch.randint(256, (count, 1, side, side), dtype=torch.uint8)
    data = Images(images, torch.arange(count) % 10)
    meta = Meta("noise", list("0123456789"), 1, side, [0.5], [0.3], [count // 10] * 10, "0" * 64)
    return Training(build_method(settings, meta), data, None, seed=0)


def saved_bytes(training: Training) -> int:
    """Run a training; returns the most bytes that its graphs kept at once."""
    saved = Saved(training.module)
    with saved.hooks():
        training.run(_Silent())
    return saved.most


def _resident() -> int:
    """Peak of resident bytes so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def kept(block: str, batch: int) -> Measured:
    """Gives `bytes` that graphs keep."""
    runtime.prepare(threads=1)
    training = training_of(block, batch=batch)
    return lambda: {"bytes": saved_bytes(training)}


def resident(block: str, batch: int) -> Measured:
    """Gives `bytes`: by how much training raised the peak of resident memory."""
    runtime.prepare(threads=1)
    training = training_of(block, batch=batch)

    def measured() -> dict:
        before = _resident()
        training.run(_Silent())
        return {"bytes": _resident() - before}

    return measured


def question(options: Options) -> str:
    """The table of losses."""
    batch = 16 if options.quick else 128
    rows, whole = [], {}
    for block in _BLOCKS:
        cells = []
        for job in ("kept", "resident"):
            arguments = {"block": block, "batch": batch}
            found = measure(Job(f"local_memory.{job}", arguments))[0]["bytes"]
            share = found / whole.setdefault(job, found)
            cells += [f"{found / _MIB:,.0f}", f"{share:.2f}"]
            print(f"  {block}, {job}: {found / _MIB:,.0f} MiB", flush=True)
        rows.append([block, *cells])
    head = (
        "## Memory of a training by local losses\n\n"
        f"vgg8b on 28 x 28 grey images, {_BATCHES} batches of {batch}, Adam, one process for each "
        "number. Kept: the most bytes that graphs hold at once for their backward pass, parameters "
        "not counted; the same in every run. Resident: by how much the most that was resident grew "
        "in training, with gradients and the optimizer's two values a parameter (of the heads of "
        "local losses, too), and with buffers of single operations. MiB, and as a share of the "
        "global loss's."
    )
    columns = ["", "kept", "share", "resident", "share"]
    return f"{head}\n\n{table(columns, rows)}"


if __name__ == "__main__":
    answer(kept, resident)
