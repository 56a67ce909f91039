"""ReLU behind max pooling, where a network has it before: the same function in less time.

The largest value of a window is the same before and after a ReLU, and so is its place unless it is
not positive, in which case its gradient is zero. So values, gradients and trained weights are the
same bit for bit, and the ReLU sees a quarter of the values. Networks are built as their sources
have them (descriptions and costs are of that order); training brings them into this one.
"""

from torch import nn


def pool_first(network: nn.Module) -> nn.Module:
    """Move every ReLU that a max pooling follows behind it; names of parameters stay.

    Args:
        network: Network, changed in place: its `nn.Sequential`s, and those among their children.

    Returns:
        The network.
    """
    for module in list(network.modules()):
        if _is_plain(module):
            names = list(module._modules)
            for name, following in zip(names, names[1:], strict=False):
                pooling = module[names.index(following)]
                if type(pooling) is nn.MaxPool2d and not pooling.return_indices:
                    relu = _take_last_relu(module, name)
                    if relu:
                        setattr(module, following, nn.Sequential(pooling, relu))
    return network


def _is_plain(module: nn.Module) -> bool:
    """Whether a module does nothing but call its children one after the other."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _take_last_relu(parent: nn.Sequential, name: str) -> nn.ReLU | None:
    """Replace a ReLU that a child is, or ends with, by nothing; None if it has none there."""
    child = parent._modules[name]
    if type(child) is nn.ReLU:
        setattr(parent, name, nn.Identity())
        return child
    if _is_plain(child) and len(child):
        return _take_last_relu(child, list(child._modules)[-1])
    return None
