"""Reading one image file, the same way for training and for `thumbnets predict`."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from thumbnets.data.depth import highest, is_deep, to_eight_bits
from thumbnets.data.formats import openable

MAX_PIXELS = 50_000_000  # of an image, by default
MOST_PIXELS = 178_000_000  # largest limit: Pillow refuses more
_ORIENTATION = 274  # a tag of EXIF
_STRIP = 1 << 20  # pixels that are converted together
_ROOM = 600_000_000  # bytes that all readers may decode to at once


def _crop(image: Image.Image, side: int) -> Image.Image:
    return ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)


def _pad(image: Image.Image, side: int) -> Image.Image:
    if 2 * side * min(image.size) > max(image.size):
        return ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR, color=0)
    # Pillow's `pad` rounds the short side of a long strip to no row at all.
    size = tuple(side if length == max(image.size) else 1 for length in image.size)
    canvas = Image.new(image.mode, (side, side))
    place = tuple((side - length) // 2 for length in size)
    canvas.paste(image.resize(size, Image.Resampling.BILINEAR), place)
    return canvas


def _stretch(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BILINEAR)


# How an image of any size becomes a square one: bilinear over all pixels that a new one covers.
FITS: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "crop": _crop,  # the largest square in the middle
    "pad": _pad,  # the whole image in the middle, black beside it
    "stretch": _stretch,  # the whole image, its proportions not kept
}


class _Room:
    """Memory that readers in several threads share: a large image waits for the others."""

    def __init__(self, size: int) -> None:
        self._free, self._size = size, size
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Wait until there is room; an image larger than all of it is read alone."""
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


_room = _Room(_ROOM)


def read_image(
    file: Path | IO[bytes],
    *,
    channels: int,
    size: int,
    fit: str,
    depth: int = 16,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Read an image of any form: JPEG, PNG, BMP, WebP, TIFF and GIF (the first page), AVIF, HEIC.

    It is turned upright as its EXIF data say, and transparent pixels become white. Memory: at most
    three times its decoded size, of 4 bytes per pixel.

    Args:
        file: The image.
        channels: 1 for grey, 3 for RGB.
        size: Height and width that it is brought to, pixels.
        fit: How it is brought to that size, a key of `FITS`.
        depth: Bits that the values in 16-bit files use, 8 to 16; they are scaled to 8.
        max_pixels: Largest number of pixels; more are refused before any is decoded.

    Returns:
        uint8 [C, H, W].

    Raises:
        ValueError: It can't be read, in a few words.
    """
    with _opened(file, max_pixels) as image:
        plain = _plain(image, "L" if channels == 1 else "RGB", depth)
        pixels = np.asarray(FITS[fit](plain, size))
    return np.ascontiguousarray(pixels.reshape(size, size, channels).transpose(2, 0, 1))


def highest_value(file: Path | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> int | None:
    """The highest value in a file of 16 bits; None for a file of 8 bits, or one that is broken."""
    try:
        with _opened(file, max_pixels) as image:
            return highest(image) if is_deep(image) else None
    except ValueError:
        return None


def read_sides(file: Path | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height of an image that stands upright, pixels; nothing is decoded.

    Raises:
        ValueError: It can't be read, in a few words.
    """
    with _opened(file, max_pixels) as image:
        width, height = image.size
        return (height, width) if _lies(image) else (width, height)


def _lies(image: Image.Image) -> bool:
    """Whether an image that was opened, not loaded, is to be turned by a quarter."""
    if image.format == "TIFF":  # Pillow says its size upright
        return False
    exif = Image.Exif()
    exif.load(image.info.get("exif", b""))  # not by `getexif`, which decodes a PNG
    return exif.get(_ORIENTATION) in (5, 6, 7, 8)


@contextmanager
def _opened(file: Path | IO[bytes], max_pixels: int) -> Iterator[Image.Image]:
    """An image whose pixels are not decoded yet, with the room to do so.

    Raises:
        ValueError: It is too large, or what is done with it fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes and odd metadata; what matters is raised
        try:
            with Image.open(file, formats=openable()) as image:
                pixels = image.width * image.height
                if pixels > max_pixels:
                    raise ValueError(
                        f"{image.width:,} x {image.height:,} pixels are more than "
                        f"data.max_pixels, {max_pixels:,}"
                    )
                with _room.taken(12 * pixels):
                    yield image
        except MemoryError:
            raise
        except Exception as error:  # a damaged file makes Pillow raise whatever its parts do
            raise ValueError(_in_words(error, file)) from None


def _plain(image: Image.Image, mode: str, depth: int) -> Image.Image:
    """The image upright, opaque and with 8 bits per channel, mode L or RGB."""
    if image.mode in ("I", "F"):
        raise ValueError("32 bits per pixel have no known range: save it with 8 or 16")
    if is_deep(image):
        return _upright(to_eight_bits(image, depth)).convert(mode)
    image = _upright(image)
    if image.mode == mode and not image.has_transparency_data:
        image.load()
        return image
    plain = Image.new(mode, image.size)
    rows = max(1, _STRIP // image.width)  # in strips: whole copies of each step need much memory
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        if image.has_transparency_data:
            strip = strip.convert("RGBA")
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
        plain.paste(strip.convert(mode), (0, top))
    return plain


def _upright(image: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _in_words(error: Exception, file: Path | IO[bytes]) -> str:
    text = " ".join(str(error).replace(repr(file), "").split())
    return text or type(error).__name__
