"""Weights from a file, to begin a training with.

The file may come from anywhere: nothing but tensors is unpickled, and it can't take more memory
than its own length.
"""

from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from thumbnets.artifacts import check_stored, parsing
from thumbnets.messages import listed, shorten
from thumbnets.training.imagenet import IMAGENET, file_of, fitted
from thumbnets.training.settings import ModelSettings

Convert = Callable[[dict[str, Tensor], dict[str, Tensor]], dict[str, Tensor]]

_AGAIN = "download it again, or convert it to .safetensors"
_ZIP_MAGIC = b"PK\x03\x04"


def first_weights(settings: ModelSettings, network: nn.Module) -> str | None:
    """Copy the weights that a block begins with into its network.

    Returns:
        What was taken and what was not, in a sentence; None if the block begins without any.

    Raises:
        ValueError: The file is missing, damaged, or of another network.
    """
    if not settings.train.weights:
        return None
    if settings.train.weights == IMAGENET:
        return take_weights(network, file_of(settings.arch), fitted)
    return take_weights(network, Path(settings.train.weights))


def take_weights(
    network: nn.Module, path: Path, convert: Convert = lambda found, own: found
) -> str:
    """Copy weights into a network, all but a first and a last layer of another shape.

    Args:
        network: Network that is changed in place.
        path: A .safetensors file, or a state_dict as `torch.save` writes it.
        convert: Function of the file's tensors by name and of the network's, which fits the first
            to the second.

    Returns:
        What was taken and what was not, in a sentence.

    Raises:
        ValueError: The file is missing, damaged, or of another network.
    """
    own = network.state_dict()
    found = convert(_read(path), own)
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    if missing := [name for name in needed if name not in found]:
        raise ValueError(f"{path} is of another network: it lacks {_names(missing)}.")
    initial = [name for name in needed if found[name].shape != own[name].shape]
    if inner := [name for name in initial if not name.startswith(_ends(network))]:
        shapes = " and ".join(str(list(of[inner[0]].shape)) for of in (found, own))
        raise ValueError(
            f"{path} does not fit between first layer and head: {_names(inner)} (shapes {shapes})."
        )
    fitting = {name: found[name] for name in own if name in found and name not in initial}
    if broken := [name for name, tensor in fitting.items() if not tensor.isfinite().all()]:
        raise ValueError(f"{path} has values that are NaN or infinite in {_names(broken)}.")
    network.load_state_dict(fitting, strict=False)
    text = f"{len(fitting)} tensors from {path}"
    text += f"; initialised, since their shapes differ: {', '.join(initial)}" if initial else ""
    unused = [name for name in found if name not in own]
    return text + (f"; not in the network: {_names(unused)}" if unused else "")


def _read(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a file.

    Raises:
        ValueError: The file is missing or damaged, or holds anything else.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing.")
    with parsing(path, _AGAIN):
        found = load_file(path) if path.suffix == ".safetensors" else _read_pickled(path)
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and _is_plain(value) for name, value in found.items()
    ):
        raise ValueError(f"{path} must be a state_dict: only names and dense tensors.")
    return found


def _read_pickled(path: Path) -> object:
    """What `torch.save` wrote, if it is made of tensors and plain values."""
    with path.open("rb") as file:
        if file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC:  # else a file of torch before 1.6
            with ZipFile(file) as archive:
                check_stored(archive, path.stat().st_size)
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized


def last_layer(network: nn.Module) -> nn.Module:
    """The convolution or linear layer that makes the logits."""
    return network.get_submodule(_layers(network)[-1])


def _ends(network: nn.Module) -> tuple[str, str]:
    """Prefixes of the parameters of the first and the last layer."""
    layers = _layers(network)
    return f"{layers[0]}.", f"{layers[-1]}."


def _layers(network: nn.Module) -> list[str]:
    return [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def _names(names: list[str]) -> str:
    return listed([shorten(name[:60]) for name in names], 5)
