"""Moving a ReLU from before a max pooling to behind it: the same function in less time.

The largest value of a window is at the same place with and without a ReLU, unless it is not
positive; its gradient is then zero. So values, gradients and trained weights are the same bit for
bit, and the ReLU sees a quarter of the values. Networks are built in the order of their sources,
to which descriptions and costs refer; training reorders them.
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
    """Remove and return the ReLU that a child is, or ends with; None if there is none."""
    child = parent._modules[name]
    if type(child) is nn.ReLU:
        setattr(parent, name, nn.Identity())
        return child
    if _is_plain(child) and len(child):
        return _take_last_relu(child, list(child._modules)[-1])
    return None
