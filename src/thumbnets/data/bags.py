"""Bags of images: drawn as in the two loaders of attention-based MIL, and stored one after another.

Bags differ in size. A batch of bags is one tensor of all their images, bag after bag, with the
sizes: there is no padding, and no loop over bags.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Drawing:
    """How bags are drawn.

    Attributes:
        target: Class that makes a bag positive.
        mean: Mean size of a bag, before it is truncated to a whole number (so sizes average half
            an image less).
        spread: Standard deviation of the size (the source's code calls it a variance).
        balanced: Whether positive and negative bags alternate, beginning with a positive one; false
            keeps all bags as drawn.
    """

    target: int
    mean: float
    spread: float
    balanced: bool

    def draw(self, labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw bags, with replacement, from numpy's legacy generator as the source does.

        Args:
            labels: int64 [M], the class of each image.
            count: Number of bags, N.
            seed: Seed of the generator.

        Returns:
            Indices of images, int64 [I], bag after bag; sizes of the bags, int64 [N], 1 or more.

        Raises:
            ValueError: There is no image, none of the target class, none of another, or all bags
                drawn are positive, or all negative.

        Source: Ilse et al. 2018, arXiv:1802.04712, `dataloader.py` of AttentionDeepMIL.
        """
        hits = labels == self.target
        if not 0 < hits.sum() < len(labels):
            raise ValueError(
                f"bags need images of the target class {self.target} and of others, but "
                f"{hits.sum():,} of {len(labels):,} are of it."
            )
        random = np.random.RandomState(seed)
        bags = (self._balanced if self.balanced else self._natural)(random, hits, count)
        sizes = np.array([len(bag) for bag in bags])
        positive = sum(bool(hits[bag].any()) for bag in bags)
        if not 0 < positive < count:
            raise ValueError(
                f"{positive} of {count} bags are positive, so there is one class only: "
                "draw more bags, change their mean size, or write drawing: balanced."
            )
        return np.concatenate(bags), sizes

    def _size(self, random: np.random.RandomState) -> int:
        return max(1, int(random.normal(self.mean, self.spread)))

    def _natural(
        self, random: np.random.RandomState, hits: np.ndarray, count: int
    ) -> list[np.ndarray]:
        return [random.randint(0, len(hits), self._size(random)) for _ in range(count)]

    def _balanced(
        self, random: np.random.RandomState, hits: np.ndarray, count: int
    ) -> list[np.ndarray]:
        bags: list[np.ndarray] = []
        while len(bags) < count:
            size = self._size(random)
            drawn = random.randint(0, len(hits), size)
            if (
                len(bags) % 2
            ):  # these draws decide the size of a negative bag alone, as in the source
                bags.append(_misses(random, hits, size))
            elif hits[drawn].any():
                bags.append(drawn)
        return bags


def _misses(random: np.random.RandomState, hits: np.ndarray, size: int) -> np.ndarray:
    """Indices of images that are not of the target class, drawn one by one."""
    found: list[int] = []
    while len(found) < size:
        drawn = random.randint(0, len(hits))
        if not hits[drawn]:
            found.append(drawn)
    return np.array(found)


@dataclass(frozen=True)
class Bags:
    """A batch of bags, in place of a batch of images; `len` is the number of bags.

    Attributes:
        images: [I, C, H, W], images of all bags, bag after bag.
        sizes: int64 [N] on the CPU, number of images of each bag.
    """

    images: Tensor
    sizes: Tensor

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def device(self) -> torch.device:
        """Device of the images."""
        return self.images.device

    @cached_property
    def of(self) -> Tensor:
        """Index of the bag of each image: int64 [I], on the device of the images."""
        return torch.arange(len(self)).repeat_interleave(self.sizes).to(self.device)

    def changed(self, change: Callable[[Tensor], Tensor]) -> "Bags":
        """The same bags with changed images; `change` keeps their number and order."""
        return Bags(change(self.images), self.sizes)

    def split(self, size: int) -> list["Bags"]:
        """All bags in order, whole, at most `size` images at a time unless a bag is larger."""
        return self._cut(whole(self.sizes, size))

    def tensor_split(self, parts: int) -> list["Bags"]:
        """Split into `parts` batches of nearly equal numbers of bags, the larger ones first."""
        return self._cut([len(part) for part in self.sizes.tensor_split(parts)])

    def _cut(self, counts: list[int]) -> list["Bags"]:
        sizes = self.sizes.split(counts)
        images = self.images.split([int(part.sum()) for part in sizes])
        return [Bags(*pair) for pair in zip(images, sizes, strict=True)]


def whole(sizes: Tensor, most: int) -> list[int]:
    """Split bags of `sizes` images, int64 [N], into runs of at most `most` images: bags per run."""
    ends, counts, first, seen = sizes.cumsum(0), [], 0, 0
    while first < len(sizes):
        last = max(first + 1, int(torch.searchsorted(ends, seen + most, right=True)))
        counts.append(last - first)
        first, seen = last, int(ends[last - 1])
    return counts
