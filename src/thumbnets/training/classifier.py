"""A trained network, with the normalisation that it was trained with."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from thumbnets.data.arrays import Meta, at_once


class Batched(Protocol):
    """Images, some at a time: a tensor, `training.batches.Images`, or bags of images.

    A part that is not a tensor has a method `changed`, which returns it with its images changed.
    """

    def split(self, size: int) -> Iterable[Tensor]: ...


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Bring uint8 images to mean 0 and standard deviation 1.

    Args:
        images: uint8 [N, C, H, W].
        mean: float32 [C], fractions of 255.
        std: float32 [C], likewise.

    Returns:
        float32 [N, C, H, W].
    """
    scale, offset = 1 / (255 * std), -mean / std
    return torch.addcmul(offset[:, None, None], images.float(), scale[:, None, None])


def check_finite(logits: np.ndarray) -> np.ndarray:
    """Check that a prediction can be made from logits.

    Args:
        logits: float [N, K], class scores before the softmax.

    Returns:
        The same array.

    Raises:
        ValueError: An image has a score that is NaN or infinite.
    """
    if count := int((~np.isfinite(logits)).any(axis=-1).sum()):
        raise ValueError(
            f"The network gives NaN or infinite logits for {count} of {len(logits)} images: its "
            "weights are damaged, or its training diverged. Train it again."
        )
    return logits


@dataclass(frozen=True)
class Classifier:
    """A network with the normalisation of its input.

    Attributes:
        halvings: Number of times that its training diverged and halved the learning rate.
    """

    network: nn.Module
    meta: Meta
    halvings: int = 0

    @property
    def at_once(self) -> int:
        """Number of images that are computed together: 1000, or fewer if they are large."""
        return at_once(4 * self.meta.channels * self.meta.image_size**2, 1000)  # float32

    def logits(
        self,
        images: Batched,
        batch_size: int | None = None,
        view: Callable[[Tensor], Tensor] | None = None,
    ) -> np.ndarray:
        """Class scores before the softmax.

        Args:
            images: uint8 [N, C, H, W], on any device.
            batch_size: Images at a time, by default `at_once`; it changes the result only by
                rounding.
            view: Changes the images, still uint8, before they are normalised.

        Returns:
            float32 [N, K].
        """
        return self.outputs(images, self.network, batch_size, view)

    @torch.inference_mode()
    def outputs(
        self,
        images: Batched,
        part: Callable[[Tensor], Tensor],
        batch_size: int | None = None,
        view: Callable[[Tensor], Tensor] | None = None,
    ) -> np.ndarray:
        """As `logits`, but of another part of the network, in evaluation mode as well."""
        size = batch_size or self.at_once
        device = next(self.network.parameters()).device
        mean, std = (torch.tensor(v, device=device) for v in (self.meta.mean, self.meta.std))

        def prepared(batch: Tensor) -> Tensor:
            batch = batch.to(device)
            return normalise(view(batch) if view else batch, mean, std)

        was_training = self.network.training
        self.network.eval()
        batches = [
            part(prepared(batch) if isinstance(batch, Tensor) else batch.changed(prepared))
            .float()
            .cpu()
            for batch in images.split(size)
        ]
        self.network.train(was_training)
        return torch.cat(batches).numpy()
