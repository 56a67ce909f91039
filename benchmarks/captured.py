"""The forward and backward pass of a training as one CUDA graph: an experiment of `gpu.py`.

Networks this small are limited by kernel launches (`README.md`, "On a GPU"), and a graph is
launched as a whole. Its kernels are those of the captured step, and its random numbers continue
where the last step's ended, so the bits are the same.

Source: PyTorch's documentation, "CUDA semantics", section "CUDA Graphs".
"""

import torch
from torch import Tensor, nn

from thumbnets.training.replicas import Gradients

_EAGER_STEPS = 3  # before one is captured, so that libraries choose kernels and allocate memory


class Captured:
    """Computes what `gradients` does, whole batches by a CUDA graph; on a CPU only calls it.

    Args:
        gradients: Function whose kernels and shapes are the same for every batch of the same
            shape, as in supervised learning and with local losses.
    """

    def __init__(self, gradients: Gradients) -> None:
        self.gradients, self.steps = gradients, 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(
        self, module: nn.Module, images: Tensor, targets: Tensor, share: float
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        self.steps += 1
        if images.device.type == "cpu" or self.steps <= _EAGER_STEPS:
            return self.gradients(module, images, targets, share)
        if self.graph is None:
            self._capture(module, images, targets, share)
        if images.shape != self.images.shape:  # the last batch of an epoch
            return self.gradients(module, images, targets, share)
        self.images.copy_(images)
        self.targets.copy_(targets)
        self.graph.replay()
        return self.found

    def _capture(self, module: nn.Module, images: Tensor, targets: Tensor, share: float) -> None:
        self.images, self.targets = images.clone(), targets.clone()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.found = self.gradients(module, self.images, self.targets, share)
