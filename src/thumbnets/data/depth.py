"""Images of 16 bits per channel, whose values often use fewer bits: 12 for many a microscope.

Pillow decodes 16-bit grey as it is, but only the high byte of 16-bit colour. Decoding once more
with the byte order exchanged gives the low byte.
"""

import copy

import numpy as np
from PIL import Image

_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}
_GREY_ALPHA = "LA;16B"  # of PNG, whose four bytes for a pixel can be read as those of RGBA
_PHOTOMETRIC = 262  # a tag of TIFF, 0 where white is zero
FULL = 16  # bits


def is_deep(image: Image.Image) -> bool:
    """Whether an image that was opened, not loaded, has 16 bits per channel."""
    return image.mode.startswith("I;16") or _rawmode(image) is not None


def _rawmode(image: Image.Image) -> str | None:
    """Pillow's name of the layout of 16-bit colour, such as `RGB;16B`; None for other images."""
    if image.mode not in ("RGB", "RGBA") or not getattr(image, "tile", None):
        return None
    arguments = image.tile[0].args
    raw = arguments if isinstance(arguments, str) else (arguments or [None])[0]
    names = {_GREY_ALPHA, *(f"{image.mode};16{order}" for order in _OTHER_ORDER)}
    return raw if isinstance(raw, str) and raw in names else None


def deep_values(image: Image.Image) -> np.ndarray:
    """Values of an image of 16 bits: uint16 [H, W] or [H, W, C], alpha last.

    Raises:
        ValueError: In the file white is 0, and black the highest value, which is not known.
    """
    if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0:
        raise ValueError("white is 0 in its 16 bits: save it with black as 0")
    raw = _rawmode(image)
    if raw is None:
        return np.asarray(image).astype(np.uint16, copy=False)
    if raw == _GREY_ALPHA:
        pairs = _decoded(image, "RGBA")
        return pairs[..., ::2] << 8 | pairs[..., 1::2]
    values = _decoded(image, raw[:-1] + _OTHER_ORDER[raw[-1]])
    image.fp.seek(0)
    with Image.open(image.fp, formats=[image.format]) as high:
        values |= np.asarray(high).astype(np.uint16) << 8
    return values


def _decoded(image: Image.Image, rawmode: str) -> np.ndarray:
    """The bytes as Pillow decodes them with another raw mode: uint16 [H, W, C]."""
    tiles = copy.copy(image.tile)
    image.fp.seek(0)
    with Image.open(image.fp, formats=[image.format]) as again:
        again.tile = [tile._replace(args=_with(tile.args, rawmode)) for tile in tiles]
        again._exclusive_fp = False
        return np.asarray(again).astype(np.uint16)


def highest(image: Image.Image) -> int:
    """The highest value of an image of 16 bits, whatever its alpha is."""
    values = deep_values(image)
    if values.ndim == 3 and values.shape[2] != 3:
        values = values[..., :-1]
    return int(values.max())


def _with(arguments: object, rawmode: str) -> object:
    return rawmode if isinstance(arguments, str) else (rawmode, *arguments[1:])


def to_eight_bits(image: Image.Image, depth: int) -> Image.Image:
    """Convert an image from 16 bits to 8; transparent pixels become white.

    Args:
        image: The image, opened but not loaded.
        depth: Bits that its values use, 8 to 16; higher values are white.
    """
    transparent = image.info.get("transparency")
    # Pillow's `getexif` would decode a PNG, whose low bytes are then lost. It turns a TIFF by
    # itself when decoding.
    if image.format in ("PNG", "TIFF"):
        exif = image.info.get("exif") if image.format == "PNG" else None
    else:
        exif = image.getexif().tobytes()
    values = deep_values(image)
    pixels = np.minimum(values >> (depth - 8), 255).astype(np.uint8)
    if transparent is not None:
        same = values == np.array(transparent, np.uint16)
        pixels[same if same.ndim == 2 else same.all(2)] = 255
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        layers = Image.fromarray(pixels).convert("RGBA")
        eight = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    else:
        eight = Image.fromarray(pixels)
    if exif:
        eight.info["exif"] = exif
    return eight


def depth_of(highest: list[int]) -> int:
    """Bits that hold the highest value of each file of 16 bits; 16 where there is no such file."""
    return max(8, max(highest).bit_length()) if highest else FULL
