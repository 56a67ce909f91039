"""Images unlike those expected of a camera or scanner, found by simple measures."""

from dataclasses import dataclass

import numpy as np

from thumbnets.data.arrays import chunks

DARK, BRIGHT = 0.25, 0.85  # level that 99 % of the pixels are below; level that 95 % are above
PLAIN = 0.02  # standard deviation of the pixels
ELONGATED = 3.0  # aspect ratio over that of most images, or its inverse
_PIECE = 1 << 22  # bytes of images measured together; as floats they take several times that
_FAR = 3.0  # quartile distances below the lower quartile: Tukey's far outliers


@dataclass(frozen=True)
class Measures:
    """Measures of grey images, each float32 [N]; levels are fractions of 255.

    Attributes:
        high: Level that 99 % of the pixels do not exceed.
        low: Level that 95 % of the pixels reach.
        spread: Standard deviation of the pixels.
        sharpness: Standard deviation of the Laplacian over that of the pixels.
        shape: Width over height of the file; None if there are no files.
    """

    high: np.ndarray
    low: np.ndarray
    spread: np.ndarray
    sharpness: np.ndarray
    shape: np.ndarray | None = None


def measure(images: np.ndarray, sides: np.ndarray | None = None) -> Measures:
    """Measure images.

    Args:
        images: uint8 [N, C, H, W], may be a memory map.
        sides: int64 [N, 2], width and height of the files; None: there are none.
    """
    found = [np.empty((4, 0), np.float32)]
    for some in chunks(images, "measuring images", _PIECE):
        grey = some[:, 0] if some.shape[1] == 1 else some.mean(1, np.float32).astype(np.uint8)
        found.append(_measure(grey))
    high, low, spread, sharpness = np.concatenate(found, axis=1)
    shape = None if sides is None else (sides[:, 0] / sides[:, 1]).astype(np.float32)
    return Measures(high, low, spread, sharpness, shape)


def _measure(grey: np.ndarray) -> np.ndarray:
    """The first four measures of uint8 [n, H, W], float32 [4, n]."""
    flat = grey.reshape(len(grey), -1)
    last = flat.shape[1] - 1
    places = (int(np.ceil(0.99 * last)), int(0.05 * last))
    high, low = np.partition(flat, places, axis=1)[:, places].T / np.float32(255)
    levels = grey.astype(np.float32) / 255
    spread = _deviation(levels)
    centre = levels[:, 1:-1, 1:-1]
    edges = levels[:, :-2, 1:-1] + levels[:, 2:, 1:-1] + levels[:, 1:-1, :-2] + levels[:, 1:-1, 2:]
    laplacian = _deviation(4 * centre - edges) if centre.size else spread
    return np.stack([high, low, spread, laplacian / np.maximum(spread, 1e-6)])


def _deviation(values: np.ndarray) -> np.ndarray:
    """Standard deviation of each image, float32 [n, H, W]; `np.std` takes three times as long."""
    flat = values.reshape(len(values), -1)
    squares = np.einsum("ij,ij->i", flat, flat) / flat.shape[1]
    return np.sqrt(np.maximum(squares - flat.mean(1) ** 2, 0))


def find_odd(found: Measures) -> dict[str, np.ndarray]:
    """Indices of odd images by kind, int64, the oddest first; plain images have no other kind.

    Dark, bright and plain are absolute; blurred and oddly shaped are relative to the data set.
    """
    plain = found.spread < PLAIN
    sharpness = np.log(np.maximum(found.sharpness, 1e-6))
    usual = sharpness[~plain] if (~plain).any() else sharpness
    low, high = np.percentile(usual, [25, 75])
    odd = {
        "plain": _where(plain, found.spread),
        "dark": _where(~plain & (found.high < DARK), found.high),
        "bright": _where(~plain & (found.low > BRIGHT), -found.low),
        "blurred": _where(~plain & (sharpness < low - _FAR * max(high - low, 0.1)), sharpness),
    }
    if found.shape is not None:
        unlike = np.abs(np.log(found.shape / np.median(found.shape)))
        odd["odd shape"] = _where(unlike >= np.log(ELONGATED), -unlike)
    return odd


def _where(chosen: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Indices where `chosen`, bool [N], is true, sorted by ascending `order`."""
    places = np.flatnonzero(chosen)
    return places[np.argsort(order[places], kind="stable")]
