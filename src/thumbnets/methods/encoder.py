"""Encoders: networks without their last linear layer, from images to features."""

import torch
from torch import nn

from thumbnets import paths
from thumbnets.data.arrays import Meta
from thumbnets.methods.weights import load_weights
from thumbnets.models.heads import without_head
from thumbnets.models.patches import build
from thumbnets.training.settings import ModelSettings


def build_encoder(settings: ModelSettings, meta: Meta) -> tuple[nn.Module, nn.Linear]:
    """The network of a block in two parts, with fresh weights.

    Returns:
        A module from images float [N, C, H, W] to features [N, D], and the last layer, from these
        to logits [N, K].

    Raises:
        ValueError: The network does not fit the images, or does not end with a linear layer.
    """
    network = build(settings, **meta.shape)
    image = torch.zeros(1, meta.channels, meta.image_size, meta.image_size)
    try:
        with torch.no_grad():
            logits = network.eval()(image)
            encoder, head = without_head(network)
            same = head(encoder(image))
            if not logits.is_meta and not torch.allclose(same, logits, atol=1e-4):
                raise ValueError("its output must be that of its last linear layer, unchanged.")
    except ValueError as error:
        raise ValueError(f"models.{settings.name}, {settings.arch}: {error}") from None
    return encoder.train(), head


def load_encoder(encoder: nn.Module, block: str, seed: int, meta: Meta) -> None:
    """Give an encoder the weights that stage `pretrain` has trained.

    Args:
        encoder: Module from `build_encoder`, changed in place.
        block: The model block that was pre-trained.
        seed: Seed of the run.
        meta: Shape, classes and normalisation of the images to train on.

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
