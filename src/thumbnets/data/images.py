"""Reading one image file, the same way for training and for `thumbnets predict`."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

MOST_PIXELS = 100_000_000  # of an image before it is resized; as RGB they take 300 MB
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def _crop(image: Image.Image, side: int) -> Image.Image:
    return ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)


def _pad(image: Image.Image, side: int) -> Image.Image:
    return ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR, color=0)


def _stretch(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BILINEAR)


# How an image of any size becomes a square one. Bilinear over all pixels that a new one covers.
FITS: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "crop": _crop,  # the largest square in the middle
    "pad": _pad,  # the whole image in the middle, black beside it
    "stretch": _stretch,  # the whole image, its proportions not kept
}


def read_image(file: Path | IO[bytes], *, channels: int, size: int, fit: str) -> np.ndarray:
    """Read an image of any form: JPEG, PNG, BMP, WebP, TIFF (the first page).

    It is turned as its camera says (EXIF), what is transparent becomes white, 16 bits become 8.

    Args:
        file: The image.
        channels: 1 for grey, 3 for RGB.
        size: Height and width that it is brought to, pixels.
        fit: How, a key of `FITS`.

    Returns:
        uint8 [C, H, W].

    Raises:
        ValueError: It can't be read, in a few words.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes and odd metadata; what matters is raised
        try:
            with Image.open(file) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(
                        f"{image.width} x {image.height} pixels, at most {MOST_PIXELS:,} are read"
                    )
                image = _plain(image).convert("L" if channels == 1 else "RGB")
        except MemoryError:
            raise
        except Exception as error:  # a damaged file makes Pillow raise whatever its parts do
            raise ValueError(_in_words(error, file)) from None
    pixels = np.asarray(FITS[fit](image, size))
    return np.ascontiguousarray(pixels.reshape(size, size, channels).transpose(2, 0, 1))


def _plain(image: Image.Image) -> Image.Image:
    """The image upright, opaque and with 8 bits a channel."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a pixel are not known to be of which range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def _in_words(error: Exception, file: Path | IO[bytes]) -> str:
    text = " ".join(str(error).replace(repr(file), "").split())
    return text or type(error).__name__
