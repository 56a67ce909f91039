"""Trained networks on disk: safetensors that carry all that is needed to use them."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from thumbnets.artifacts import write_bytes
from thumbnets.data.arrays import Meta
from thumbnets.methods.base import build_method
from thumbnets.training.classifier import Classifier
from thumbnets.training.settings import ModelSettings

_KEY = "thumbnets"  # one key: safetensors writes several in no fixed order


def save_weights(
    path: Path, classifier: Classifier, settings: ModelSettings, *, key: str | None = None
) -> None:
    """Write a network with its settings, the data's shape and normalisation, and a key if given."""
    about = {
        **({"key": key} if key else {}),
        "settings": settings.model_dump(),
        "meta": classifier.meta.written,
        "halvings": classifier.halvings,
    }
    weights = classifier.network.state_dict()
    tensors = {name: t.detach().cpu().contiguous() for name, t in weights.items()}
    write_bytes(path, save(tensors, {_KEY: json.dumps(about, sort_keys=True)}))


def read_key(path: Path) -> str | None:
    """The key that a file was saved with; None if there is no such file, or it is damaged."""
    try:
        with safe_open(path, "pt", device="cpu") as file:
            return json.loads((file.metadata() or {})[_KEY]).get("key")
    except (OSError, SafetensorError, LookupError, ValueError):
        return None


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
        network = build_method(ModelSettings.model_validate(about["settings"]), meta).network()
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} can't be read as a trained network: {reason}") from None
    return Classifier(network.to(device), meta, about["halvings"])
