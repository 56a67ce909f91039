"""Encoders: what a network makes of an image before its last linear layer tells classes apart."""

import torch
from torch import Tensor, nn

from thumbnets import paths
from thumbnets.data.arrays import Meta
from thumbnets.models.patches import build
from thumbnets.training.settings import ModelSettings
from thumbnets.training.weights import load_weights


def build_encoder(settings: ModelSettings, meta: Meta) -> tuple[nn.Module, nn.Linear]:
    """The network of a block in two parts, with fresh weights.

    Returns:
        A module from images float [N, C, H, W] to features [N, D], and the last layer, which makes
        logits [N, K] of them.

    Raises:
        ValueError: The network does not fit the images, or does not end with a linear layer.
    """
    network = build(settings, **meta.shape)
    name, last = [(n, m) for n, m in network.named_modules() if not any(m.children())][-1]
    if not isinstance(last, nn.Linear) or not _ends_with(network, last, meta):
        raise ValueError(
            f"models.{settings.name}: an encoder is a network without its last linear layer, and "
            f"{settings.arch} does not end with one: choose another arch."
        )
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network, last


@torch.no_grad()
def _ends_with(network: nn.Module, layer: nn.Module, meta: Meta) -> bool:
    """Whether what comes out of a layer is what comes out of the network."""
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda *call: seen.append(call[-1]))
    logits = network.eval()(torch.zeros(1, meta.channels, meta.image_size, meta.image_size))
    network.train()
    hook.remove()
    return len(seen) == 1 and torch.equal(seen[0], logits)


def load_encoder(encoder: nn.Module, block: str, seed: int, meta: Meta) -> None:
    """Give an encoder the weights that stage `pretrain` has trained.

    Args:
        encoder: As `build_encoder` returns it; changed in place.
        block: The model block that was pre-trained.
        seed: Of the run.
        meta: The images that it is for.

    Raises:
        ValueError: The file is missing, damaged, or of other images.
    """
    path = paths.encoder(block, seed)
    if not path.is_file():
        raise ValueError(f"{path} is missing: run `dvc repro pretrain`.")
    found = load_weights(path, torch.device("cpu"))
    if found.meta != meta:
        raise ValueError(f"{path} was trained on other images: run `dvc repro pretrain`.")
    encoder.load_state_dict(found.network.state_dict())
