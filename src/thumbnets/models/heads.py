"""Taking the last linear layer off a network, which leaves an encoder of images."""

from torch import nn


def without_head(network: nn.Module) -> tuple[nn.Module, nn.Linear]:
    """A network up to its last layer, changed in place, and that layer.

    Raises:
        ValueError: The last layer is no linear one.
    """
    path = [name for name, part in network.named_modules() if not any(part.children())][-1]
    head = network.get_submodule(path)
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"a network is needed that ends in a linear layer, which is taken off; this one ends "
            f"in {type(head).__name__}."
        )
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())
    return network, head
