"""Copies of images among others: by a hash of what they show, then by their pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from thumbnets.data.arrays import chunks
from thumbnets.data.readers import Part, on_disk

ALIKE = 0.995  # least correlation of the pixels of two copies, in grey
_ALIKE_IN_COLOUR = 0.98  # of all their channels: JPEG stores colours coarsely
_NOISE = 9.0  # variance in levels of 255 below which an image is plain, and correlation is noise

_SIDE = 8  # lowest frequencies in each direction that the hash looks at
_BANDS = 4  # parts of 16 bits, of which similar hashes share one
_BITS = 6  # that similar hashes differ in at most; all those that differ in 3 or fewer share a band
_NEIGHBOURS = 2_000  # images of one band that each is compared with, in the order of their hashes
_PIECE = 1 << 22  # bytes of images that are hashed together; their floats take several times that
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

    Candidates have similar perceptual hashes. They are copies if their pixels correlate by `ALIKE`
    or more in grey and nearly so in colour, or, for plain images, differ by less than noise. A
    plain image is paired with the first of its colour, and with the first test image of its colour.

    Args:
        train, test: uint8 [N, C, H, W] and [M, C, H, W], may be memory maps.
    """
    waves = np.concatenate([_waves(train), _waves(test)])
    plain, others = np.flatnonzero(~waves.any(1)), np.flatnonzero(waves.any(1))
    waves = waves[others]
    near = others[_near(perceptual_hashes(waves), waves)]
    candidates = np.concatenate([near, _plain_pairs(plain, train, test)])
    kept = [
        some[_are_copies(*(_images_at(places, train, test) for places in some.T))]
        for some in _pieces(candidates, train)
    ]
    pairs = np.concatenate([np.empty((0, 2), np.int64), *kept])
    return Copies(np.unique(pairs, axis=0), len(train))


def perceptual_hashes(waves: np.ndarray) -> np.ndarray:
    """Which of the lowest frequencies of an image are above their median, uint64 [N].

    Args:
        waves: float [N, 63].

    Source: pHash (Zauner 2010, "Implementation and benchmarking of perceptual image hash
    functions"), here at the images' own resolution.
    """
    bits = waves > np.median(waves, axis=1, keepdims=True)
    packed = np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1)
    return packed.view(np.uint64)[:, 0]


def _waves(images: np.ndarray) -> np.ndarray:
    """The lowest frequencies of each image but the mean, its pixels of norm 1: float16 [N, 63].

    Zeros for plain images. 126 bytes per image, so that those of a large set fit into memory.
    """
    height, width = images.shape[2:]
    down, across = _cosines(height), _cosines(width)
    found = [np.empty((0, _SIDE**2 - 1), np.float16)]
    for some in chunks(images, "looking for copies", _PIECE):
        grey = _grey(some)
        waves = np.matmul(down, grey @ across.T).reshape(len(some), -1)[:, 1:]
        flat = grey.reshape(len(some), -1)
        variance = _mean_product(flat, flat) - flat.mean(1) ** 2
        length = np.sqrt(np.maximum(variance, _NOISE) * flat.shape[1])
        waves = np.where(variance[:, None] < _NOISE, 0, waves / length[:, None])
        found.append(waves.astype(np.float16))
    return np.concatenate(found)


def _cosines(side: int) -> np.ndarray:
    """The lowest functions of the orthonormal cosine transform, float32 [8, side]."""
    wave, place = np.arange(_SIDE)[:, None], np.arange(side) + 0.5
    scale = np.sqrt(np.where(wave == 0, 1, 2) / side)
    return (scale * np.cos(np.pi * wave * place / side)).astype(np.float32)


def _near(hashes: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Pairs of places with similar hashes and waves, int64 [P, 2].

    Their hashes have a band in common and differ in at most `_BITS` bits. Within a band of very
    many, only neighbours by hash are compared, so that the cost stays in proportion to the number
    of images. Images that correlate by `ALIKE` are no farther apart in the lowest frequencies than
    in all of them, so this loses none: |a - b|^2 = 2 - 2 a b.
    """
    farthest = 2 * (1 - ALIKE) * 1.05  # more, since waves are rounded
    found = [np.empty((0, 2), np.int64)]
    for band in hashes.view(np.uint16).reshape(-1, _BANDS).T:
        order = np.lexsort((hashes, band))
        ordered, sorted_hashes = band[order], hashes[order]
        _, counts = np.unique(ordered, return_counts=True)
        for shift in range(1, min(int(counts.max(initial=0)), _NEIGHBOURS + 1)):
            first = np.flatnonzero(ordered[shift:] == ordered[:-shift])
            differing = np.bitwise_count(sorted_hashes[first] ^ sorted_hashes[first + shift])
            first = first[differing <= _BITS]
            pairs = np.stack([order[first], order[first + shift]], axis=1)
            apart = waves[pairs[:, 0]].astype(np.float32) - waves[pairs[:, 1]]
            near = np.einsum("ij,ij->i", apart, apart) <= farthest
            found.append(np.sort(pairs[near], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _plain_pairs(plain: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Pair each plain image with the first of about its colour, and the first such test image.

    Not all pairs: thousands of blank images would give millions.

    Args:
        plain: int64 [P], places in ascending order.
        train, test: As `find_copies` has them.

    Returns:
        int64 [Q, 2], at most two pairs for each.
    """
    means = [_images_at(some, train, test).mean((2, 3)) for some in _pieces(plain, train)]
    levels = np.floor(np.concatenate([np.empty((0, train.shape[1])), *means]) / np.sqrt(_NOISE))
    _, colour = np.unique(levels, axis=0, return_inverse=True)
    found = [np.empty((0, 2), np.int64)]
    for others in (plain, plain[plain >= len(train)]):
        colours, first = np.unique(colour[np.isin(plain, others)], return_index=True)
        known = np.isin(colour, colours)
        pairs = np.stack([others[first][np.searchsorted(colours, colour[known])], plain[known]], 1)
        found.append(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1))
    return np.concatenate(found)


def _pieces(places: np.ndarray, train: np.ndarray) -> Iterator[np.ndarray]:
    """Split places, or pairs of them, into parts of as many images as are handled together."""
    step = max(1, _PAIRS // (4 * max(1, train[0].size)))
    return (places[start : start + step] for start in range(0, len(places), step))


def _images_at(places: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Images by their places, uint8 [P, C, H, W]."""
    images = np.empty((len(places), *train.shape[1:]), np.uint8)
    tests = places >= len(train)
    images[~tests] = train[places[~tests]]
    images[tests] = test[places[tests] - len(train)]
    return images


def _grey(images: np.ndarray) -> np.ndarray:
    """Mean of the channels, float32 [N, H, W]."""
    return images[:, 0].astype(np.float32) if images.shape[1] == 1 else images.mean(1, np.float32)


def _are_copies(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether images uint8 [P, C, H, W] are copies of each other, bool [P]."""
    copies = _alike(_grey(a), _grey(b), ALIKE)
    if a.shape[1] > 1:
        copies &= _alike(a.astype(np.float32), b.astype(np.float32), _ALIKE_IN_COLOUR)
    return copies


def _alike(a: np.ndarray, b: np.ndarray, least: float) -> np.ndarray:
    """Whether values float32 [P, …] correlate by `least`, or are plain and the same, bool [P]."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    squares_a, squares_b, product = (_mean_product(*of) for of in ((a, a), (b, b), (a, b)))
    mean_a, mean_b = a.mean(1), b.mean(1)
    variances = (squares_a - mean_a**2) * (squares_b - mean_b**2)
    spread = np.sqrt(np.maximum(variances, 0))
    correlation = (product - mean_a * mean_b) / np.maximum(spread, 1e-6)
    noise = squares_a + squares_b - 2 * product
    return np.where(spread < _NOISE, noise < _NOISE, correlation >= least)


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
