"""Trained networks on disk: safetensors that carry all that is needed to use them.

The metadata holds a SHA-256 over the tensors and the rest of the metadata, which is checked at
every load: a flipped bit is an error, not another prediction.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from thumbnets.artifacts import parsing, write_bytes
from thumbnets.data.arrays import meta_of
from thumbnets.methods.base import build_method
from thumbnets.training.classifier import Classifier
from thumbnets.training.settings import ModelSettings

_KEY = "thumbnets"  # one key: safetensors writes several in no fixed order
_CHECKSUM = "sha256"


def save_weights(
    path: Path, classifier: Classifier, settings: ModelSettings, *, key: str | None = None
) -> None:
    """Write a network with all that is needed to use it.

    Args:
        path: File to write.
        classifier: The network, with the shape and normalisation of its images.
        settings: Settings of its model block.
        key: Fingerprint of what the training rests on, for `read_key`.

    Raises:
        OSError: The disk is full or read-only.
    """
    about = {
        **({"key": key} if key else {}),
        "settings": settings.model_dump(),
        "meta": classifier.meta.written,
        "halvings": classifier.halvings,
    }
    weights = classifier.network.state_dict()
    tensors = {name: t.detach().cpu().contiguous() for name, t in weights.items()}
    about[_CHECKSUM] = _checksum(about, tensors)
    write_bytes(path, save(tensors, {_KEY: json.dumps(about, sort_keys=True)}))


def _checksum(about: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 over metadata, then over name, dtype, shape and bytes of each tensor by its name."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        described = [name, str(tensor.dtype), list(tensor.shape)]
        digest.update(json.dumps(described).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _read_verified(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors of a file, once its checksum is right.

    Raises:
        Exception: The file is damaged; what `safetensors` and `json` raise is of many types.
    """
    with safe_open(path, "pt", device="cpu") as file:
        about = json.loads((file.metadata() or {})[_KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    if _CHECKSUM not in about:
        raise ValueError("it is of an older version, without a SHA-256")
    expected = about.pop(_CHECKSUM)
    if _checksum(about, tensors) != expected:
        raise ValueError("its content does not have the SHA-256 that it states")
    return about, tensors


def read_key(path: Path) -> str | None:
    """The key that a file was saved with; None if there is no such file, or it is damaged."""
    try:
        return _read_verified(path)[0].get("key")
    except Exception:  # of any type: a file that can't be used is written again
        return None


def load_weights(path: Path, device: torch.device) -> Classifier:
    """Read what `save_weights` wrote.

    Args:
        path: File to read.
        device: Device that the network is put on.

    Raises:
        ValueError: The file is missing, damaged, of an older version without a checksum, or was
            not written by `save_weights`.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing: run `dvc repro`.")
    with parsing(path):
        about, tensors = _read_verified(path)
        meta, halvings = meta_of(about["meta"]), int(about["halvings"])
        method = build_method(ModelSettings.model_validate(about["settings"]), meta)
        # First without memory: settings from elsewhere may name a network of any size.
        with torch.device("meta"):
            method.network().load_state_dict(tensors, assign=True)
        network = method.network()
        network.load_state_dict(tensors)
    return Classifier(network.to(device), meta, halvings)
