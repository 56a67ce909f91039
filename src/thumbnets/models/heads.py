"""Removing the last linear layer of a network, which leaves an encoder of images."""

from torch import nn


def without_head(network: nn.Module) -> tuple[nn.Module, nn.Linear]:
    """Replace the last layer of a network by the identity, in place; return the network and the
    layer.

    Raises:
        ValueError: The last layer is not linear.
    """
    path = [name for name, part in network.named_modules() if not any(part.children())][-1]
    head = network.get_submodule(path)
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"the network must end in a linear layer, which is removed; it ends in "
            f"{type(head).__name__}."
        )
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())
    return network, head
