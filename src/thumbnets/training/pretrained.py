"""Weights from a file, to begin a training with."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

_SHOWN = 5  # names in a message


def take_weights(network: nn.Module, path: Path) -> str:
    """Copy weights into a network, all but a first and a last layer of another shape.

    Args:
        network: Changed in place.
        path: A .safetensors file, or a state_dict as `torch.save` writes it.

    Returns:
        What was taken and what was not, in a sentence.

    Raises:
        ValueError: The file is missing, damaged, or of another network.
    """
    found, own = _read(path), network.state_dict()
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    if missing := [name for name in needed if name not in found]:
        raise ValueError(f"{path} is of another network: it lacks {_names(missing)}.")
    drawn = [name for name in needed if found[name].shape != own[name].shape]
    if inner := [name for name in drawn if not name.startswith(_ends(network))]:
        shapes = " and ".join(str(list(of[inner[0]].shape)) for of in (found, own))
        raise ValueError(
            f"{path} does not fit between first layer and head: {_names(inner)} (shapes {shapes})."
        )
    fitting = {name: found[name] for name in own if name in found and name not in drawn}
    network.load_state_dict(fitting, strict=False)
    text = f"{len(fitting)} tensors from {path}"
    text += f"; drawn, since their shapes differ: {', '.join(drawn)}" if drawn else ""
    unused = [name for name in found if name not in own]
    return text + (f"; of no use here: {_names(unused)}" if unused else "")


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing.") from None
    except (OSError, SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = str(error).split(". ")[0]
        raise ValueError(f"{path} can't be read as weights: {reason}") from None
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise ValueError(f"{path} is no state_dict, which has names and tensors alone.")
    return found


def _ends(network: nn.Module) -> tuple[str, str]:
    """Prefixes of the parameters of the first and the last layer."""
    layers = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return f"{layers[0]}.", f"{layers[-1]}."


def _names(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
