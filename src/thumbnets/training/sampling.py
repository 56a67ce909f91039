"""Orders of the images of an epoch in which the classes are balanced."""

import torch
from torch import Generator, Tensor


def by_class(labels: Tensor) -> list[Tensor]:
    """Indices int64 of the images of each class that has some, of labels int64 [N]."""
    counts = torch.bincount(labels)
    return [rows for rows in labels.argsort(stable=True).split(counts.tolist()) if len(rows)]


def balanced_order(classes: list[Tensor], count: int, generator: Generator) -> Tensor:
    """A random order with equally many images of each class, or one more of some.

    An image is repeated only once all others of its class have come as often.

    Args:
        classes: Indices of the images of each class, from `by_class`.
        count: Length of the order.
        generator: Source of randomness, on the device of the indices.

    Returns:
        int64 [count].
    """
    device = classes[0].device

    def permutation(n: int) -> Tensor:
        return torch.randperm(n, generator=generator, device=device)

    share, more = divmod(count, len(classes))
    favoured = set(permutation(len(classes))[:more].tolist())
    drawn = []
    for number, rows in enumerate(classes):
        rounds, rest = divmod(share + (number in favoured), len(rows))
        drawn += [rows.repeat(rounds), rows[permutation(len(rows))[:rest]]]
    return torch.cat(drawn)[permutation(count)]
