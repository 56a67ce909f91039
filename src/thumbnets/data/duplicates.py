"""Copies of images among others: by a hash of what they show, then by their pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from thumbnets.data.arrays import chunks
from thumbnets.data.readers import Part, on_disk

ALIKE = 0.995  # least correlation of the pixels of two copies
_NOISE = 9.0  # variance in levels of 255 below which an image is plain, and correlation is noise

_SIDE = 8  # lowest frequencies in each direction that the hash looks at
_BANDS = 4  # parts of 16 bits; two hashes that differ in fewer bits than there are share one
_NEIGHBOURS = 2_000  # images of one band that each is compared with, in the order of their hashes
_PAIRS = 1 << 24  # bytes of pixels that are compared together


@dataclass(frozen=True)
class Copies:
    """Pairs of images that show the same.

    Places count the training images, then the test images.

    Attributes:
        pairs: int64 [P, 2], places of the earlier and the later image, sorted.
        tests_from: Number of training images.
    """

    pairs: np.ndarray
    tests_from: int

    @property
    def leaked(self) -> np.ndarray:
        """bool [P], whether a pair is of a training image and a test image."""
        return (self.pairs[:, 0] < self.tests_from) & (self.pairs[:, 1] >= self.tests_from)

    @property
    def in_training(self) -> np.ndarray:
        """bool [P], whether a pair is of two training images."""
        return self.pairs[:, 1] < self.tests_from

    def to_drop(self) -> np.ndarray:
        """Training images to leave out, int64: copies of a test image or of one that stays."""
        dropped = set(self.pairs[self.leaked, 0].tolist())
        for earlier, later in self.pairs[self.in_training].tolist():
            if earlier not in dropped:
                dropped.add(later)
        return np.array(sorted(dropped), np.int64)

    def without(self, dropped: np.ndarray) -> "Copies":
        """The pairs that are left once training images, int64 sorted, are left out."""
        left = self.pairs[~np.isin(self.pairs, dropped).any(1)]
        return Copies(left - np.searchsorted(dropped, left), self.tests_from - len(dropped))


def find_copies(train: np.ndarray, test: np.ndarray) -> Copies:
    """Find near-duplicates within and across the two parts.

    Candidates have perceptual hashes that differ in at most three of 63 bits; copies are those
    whose pixels correlate by `ALIKE` or more, or, of plain images, differ by less than noise.

    Args:
        train, test: uint8 [N, C, H, W] and [M, C, H, W], may be memory maps.
    """
    hashes = np.concatenate([perceptual_hashes(train), perceptual_hashes(test)])
    candidates = _near(hashes)
    step = max(1, _PAIRS // (4 * max(1, train[0].size)))
    kept = [
        some[_alike(_grey_at(some[:, 0], train, test), _grey_at(some[:, 1], train, test))]
        for some in (candidates[start : start + step] for start in range(0, len(candidates), step))
    ]
    pairs = np.concatenate([np.empty((0, 2), np.int64), *kept])
    return Copies(pairs, len(train))


def perceptual_hashes(images: np.ndarray) -> np.ndarray:
    """Signs of the lowest frequencies of each image about their median, uint64 [N].

    Source: pHash (Zauner 2010, "Implementation and benchmarking of perceptual image hash
    functions"), here at the images' own resolution.
    """
    height, width = images.shape[2:]
    down, across = _cosines(height), _cosines(width)
    found = [np.empty(0, np.uint64)]
    for some in chunks(images, "looking for copies"):
        rows = _grey(some) @ across.T  # [n, H, 8]
        waves = np.matmul(down, rows).reshape(len(some), -1)[:, 1:]  # without the mean
        bits = waves > np.median(waves, axis=1, keepdims=True)
        packed = np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1)
        found.append(packed.view(np.uint64)[:, 0])
    return np.concatenate(found)


def _cosines(side: int) -> np.ndarray:
    """The lowest functions of the cosine transform, float32 [8, side]."""
    wave, place = np.arange(_SIDE)[:, None], np.arange(side) + 0.5
    return np.cos(np.pi * wave * place / side).astype(np.float32)


def _near(hashes: np.ndarray) -> np.ndarray:
    """Pairs of places whose hashes differ in fewer bits than there are bands, int64 [P, 2].

    Such hashes have a band in common. Within a band of very many, only neighbours by hash are
    compared, so that the cost stays in proportion to the number of images.
    """
    bands = hashes.view(np.uint16).reshape(-1, _BANDS)
    found = [np.empty((0, 2), np.int64)]
    for band in bands.T:
        order = np.lexsort((hashes, band))
        ordered = band[order]
        _, counts = np.unique(ordered, return_counts=True)
        for shift in range(1, min(int(counts.max(initial=0)), _NEIGHBOURS + 1)):
            shared = np.flatnonzero(ordered[shift:] == ordered[:-shift])
            pairs = np.stack([order[shared], order[shared + shift]], axis=1)
            differing = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]])
            found.append(np.sort(pairs[differing < _BANDS], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _grey_at(places: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Images by their places, float32 [P, H * W]."""
    images = np.empty((len(places), *train.shape[1:]), np.uint8)
    tests = places >= len(train)
    images[~tests] = train[places[~tests]]
    images[tests] = test[places[tests] - len(train)]
    return _grey(images).reshape(len(places), -1)


def _grey(images: np.ndarray) -> np.ndarray:
    """Mean of the channels, float32 [N, H, W]."""
    return images[:, 0].astype(np.float32) if images.shape[1] == 1 else images.mean(1, np.float32)


def _alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether grey images float32 [P, H * W] are copies of each other, bool [P]."""
    squares_a, squares_b, product = (_mean_product(*of) for of in ((a, a), (b, b), (a, b)))
    mean_a, mean_b = a.mean(1), b.mean(1)
    variances = (squares_a - mean_a**2) * (squares_b - mean_b**2)
    spread = np.sqrt(np.maximum(variances, 0))
    correlation = (product - mean_a * mean_b) / np.maximum(spread, 1e-6)
    noise = squares_a + squares_b - 2 * product
    return np.where(spread < _NOISE, noise < _NOISE, correlation >= ALIKE)


def _mean_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", a, b) / a.shape[1]


def keep_only(part: Part, kept: np.ndarray, folder: Path) -> Part:
    """A part with some of its images, bool [N], which lie on disk in a nameless file.

    Raises:
        OSError: The disk is full or read-only; the message names the folder.
    """

    def of(values: list[str] | None) -> list[str] | None:
        return None if values is None else list(compress(values, kept))

    def images() -> Iterator[np.ndarray]:
        start = 0
        for some in chunks(part.images):
            yield some[kept[start : start + len(some)]]
            start += len(some)

    return Part(
        on_disk(images(), folder),
        part.labels[kept],
        of(part.files),
        of(part.checksums),
        None if part.sides is None else part.sides[kept],
    )
