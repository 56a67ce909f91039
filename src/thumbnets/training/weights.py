"""Trained networks on disk: safetensors that carry all that is needed to use them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from thumbnets.artifacts import write_bytes
from thumbnets.data.arrays import Meta, at_once
from thumbnets.models.patches import build
from thumbnets.training.settings import ModelSettings

_KEY = "thumbnets"  # one key: safetensors writes several in no fixed order


class Batched(Protocol):
    """Images, some at a time: a tensor, or `training.batches.Images`."""

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


@dataclass(frozen=True)
class Classifier:
    """A network with the normalisation of its input.

    Attributes:
        halvings: How many times its training halved the learning rate, having diverged.
    """

    network: nn.Module
    meta: Meta
    halvings: int = 0

    @torch.inference_mode()
    def logits(self, images: Batched, batch_size: int | None = None) -> np.ndarray:
        """Class scores before the softmax.

        Args:
            images: uint8 [N, C, H, W], on any device.
            batch_size: Images at a time, by default 1000 or as many as are not too large; the
                result does not rest on it but for rounding.

        Returns:
            float32 [N, K].
        """
        size = batch_size or at_once(self.meta.channels * self.meta.image_size**2, 1000)
        device = next(self.network.parameters()).device
        mean, std = (torch.tensor(v, device=device) for v in (self.meta.mean, self.meta.std))
        was_training = self.network.training
        self.network.eval()
        batches = [
            self.network(normalise(batch.to(device), mean, std)).float().cpu()
            for batch in images.split(size)
        ]
        self.network.train(was_training)
        return torch.cat(batches).numpy()


def save_weights(path: Path, classifier: Classifier, settings: ModelSettings) -> None:
    """Write a network with its settings and the data's shape and normalisation."""
    about = {
        "settings": settings.model_dump(),
        "meta": vars(classifier.meta),
        "halvings": classifier.halvings,
    }
    weights = classifier.network.state_dict()
    tensors = {name: t.detach().cpu().contiguous() for name, t in weights.items()}
    write_bytes(path, save(tensors, {_KEY: json.dumps(about, sort_keys=True)}))


def load_weights(path: Path, device: torch.device) -> Classifier:
    """Read what `save_weights` wrote.

    Raises:
        ValueError: The file is missing, damaged, or was not written by `save_weights`.
    """
    try:
        with safe_open(path, "pt", device="cpu") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        meta = Meta(**about["meta"])
        network = build(ModelSettings.model_validate(about["settings"]), **meta.shape)
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} can't be read as a trained network: {reason}") from None
    return Classifier(network.to(device), meta, about["halvings"])
