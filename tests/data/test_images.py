"""One image file: every form it may have, and how it becomes a square."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from thumbnets.data.formats import SUFFIXES
from thumbnets.data.images import FITS, highest_value, read_image, read_sides

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (8, 8, 3), np.uint8)  # [H, W, C]


def saved(image: Image.Image, form: str = "png", **options) -> io.BytesIO:
    """The image as a file in memory."""
    file = io.BytesIO()
    image.save(file, format=form, **options)
    file.seek(0)
    return file


def read(file: io.BytesIO, *, channels: int = 3, size: int = 8, fit: str = "stretch") -> np.ndarray:
    return read_image(file, channels=channels, size=size, fit=fit)


@pytest.mark.parametrize("form", ["png", "bmp", "tiff", "webp", "jpeg"])
def test_every_format(form):
    smooth = np.asarray(Image.fromarray(PIXELS[:2, :2]).resize((64, 64)))
    got = read(saved(Image.fromarray(smooth), form, lossless=True, quality=95), size=64)
    assert got.shape == (3, 64, 64) and got.dtype == np.uint8
    off = np.abs(got.transpose(1, 2, 0).astype(int) - smooth)
    assert off.max() <= (20 if form == "jpeg" else 0)
    assert SUFFIXES >= {f".{form}"}


def test_one_channel_is_the_grey_of_all_three():
    grey = np.repeat(PIXELS[..., :1], 3, axis=2)
    np.testing.assert_array_equal(read(saved(Image.fromarray(grey)), channels=1)[0], grey[..., 0])
    colour = read(saved(Image.fromarray(PIXELS)), channels=1)[0]
    expected = PIXELS @ [0.299, 0.587, 0.114]  # ITU-R 601-2, as Pillow documents it
    assert np.abs(colour - expected).max() <= 1


def test_fits_on_bars_of_colour():
    bars = np.zeros((20, 60, 3), np.uint8)
    for number in range(3):
        bars[:, 20 * number : 20 * (number + 1), number] = 200  # red, green, blue squares
    file = saved(Image.fromarray(bars))
    got = {fit: read(file, size=20, fit=fit) for fit in FITS}
    assert (got["crop"] == np.array([0, 200, 0], np.uint8)[:, None, None]).all()
    # 60 x 20 becomes 20 x 7, in the middle: rows 6 to 12.
    shown = got["pad"].any(axis=(0, 2))
    assert np.flatnonzero(shown).tolist() == [6, 7, 8, 9, 10, 11, 12]
    assert got["pad"][:, 9, 2].tolist() == [200, 0, 0]
    assert got["stretch"][:, 10, 2].tolist() == [200, 0, 0]
    assert got["stretch"][:, 10, 17].tolist() == [0, 0, 200]
    assert got["stretch"].any(axis=0).all()


def test_a_smaller_image_is_enlarged():
    assert read(saved(Image.new("RGB", (2, 3), (9, 8, 7))), size=5, fit="crop").shape == (3, 5, 5)


def test_stands_as_the_camera_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    got = read(saved(Image.fromarray(PIXELS), exif=exif))
    np.testing.assert_array_equal(got.transpose(1, 2, 0), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize(("turn", "sides"), [(1, (8, 5)), (3, (8, 5)), (6, (5, 8)), (8, (5, 8))])
def test_sides_are_those_of_the_image_upright(form, turn, sides):
    exif = Image.Exif()
    exif[0x0112] = turn
    how = {"tiffinfo": {0x0112: turn}} if form == "tiff" else {"exif": exif}
    assert read_sides(saved(Image.new("RGB", (8, 5)), form, **how)) == sides
    assert read_sides(saved(Image.new("RGB", (8, 5)), form)) == (8, 5)


@pytest.mark.parametrize("turned", [1, 3, 6, 8])
@pytest.mark.parametrize("deep", [False, True])
def test_a_tiff_is_turned_once(turned, deep):
    values = PIXELS[..., 0].astype(np.uint16) << 8 if deep else PIXELS[..., 0]
    file = saved(Image.fromarray(values), "tiff", tiffinfo={0x0112: turned})
    expected = np.rot90(PIXELS[..., 0], {1: 0, 3: 2, 6: -1, 8: 1}[turned])
    np.testing.assert_array_equal(read(file, channels=1)[0], expected)


def test_what_is_transparent_becomes_white():
    layers = np.concatenate([PIXELS, np.full((8, 8, 1), 255, np.uint8)], axis=2)
    layers[:4, :, 3] = 0
    got = read(saved(Image.fromarray(layers))).transpose(1, 2, 0)
    assert (got[:4] == 255).all()
    np.testing.assert_array_equal(got[4:], PIXELS[4:])
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert (read(saved(palette, transparency=0)) == 255).all()
    assert read(saved(palette))[:, 0, 0].tolist() == [10, 20, 30]


def test_sixteen_bits_become_eight():
    deep = (PIXELS[..., 0].astype(np.uint16) << 8) + 255
    for form in ("png", "tiff"):
        got = read(saved(Image.fromarray(deep), form), channels=1)
        np.testing.assert_array_equal(got[0], PIXELS[..., 0])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode(mode):
    file = saved(Image.fromarray(PIXELS).convert(mode), "tiff" if mode[0] in "CY" else "png")
    assert read(file).shape == (3, 8, 8) and read(file, channels=1).shape == (1, 8, 8)


def whole_png() -> bytes:
    return saved(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8))).getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot identify"),
        (b"<html>Sign in</html>", "cannot identify"),
        (whole_png()[:5_000], "truncated"),
        (whole_png()[:-5_000] + bytes(5_000), "."),
        (saved(Image.fromarray(np.zeros((4, 4), np.float32)), "tiff").getvalue(), "32 bits"),
    ],
    ids=["empty", "page", "cut", "zeroed", "float"],
)
def test_what_can_not_be_read_is_told_in_one_line(content, said):
    with pytest.raises(ValueError, match=said) as error:
        read(io.BytesIO(content))
    assert "\n" not in str(error.value) and "BytesIO" not in str(error.value)


def test_an_image_with_too_many_pixels_is_refused():
    with pytest.raises(ValueError, match=r"8 x 8 pixels are more than data.max_pixels, 63"):
        read_image(saved(Image.fromarray(PIXELS)), channels=3, size=8, fit="crop", max_pixels=63)


def test_a_long_strip_keeps_a_row():
    got = read(saved(Image.new("RGB", (1000, 10), (9, 8, 7))), size=32, fit="pad")
    assert (got.any(axis=0).sum(axis=1) == 32).sum() == 1
    assert got.max(axis=(1, 2)).tolist() == [9, 8, 7]


def test_twelve_bits_in_sixteen_fill_all_levels():
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    file = saved(Image.fromarray(values))
    got = read_image(file, channels=1, size=64, fit="stretch", depth=12)
    np.testing.assert_array_equal(got[0], values >> 4)
    assert highest_value(file) == 4095 and highest_value(saved(Image.fromarray(PIXELS))) is None


def png(mode: int, values: np.ndarray, transparent: bytes) -> io.BytesIO:
    """A PNG of 16 bits, which Pillow does not write in colour or with a transparent value."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, mode, 0, 0, 0),
        **({b"tRNS": transparent} if transparent else {}),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    content = b"".join(
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
        for t, d in parts.items()
    )
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + content)


def test_a_transparent_value_of_sixteen_bits_is_white():
    values = np.repeat(np.array([[0] * 4 + [40_000] * 4], np.uint16), 8, axis=0)
    got = read(png(0, values, b"\0\0"), channels=1)
    assert got[0, 0].tolist() == [255] * 4 + [156] * 4


def test_colour_of_twelve_bits_in_sixteen():
    values = np.arange(64 * 64 * 3, dtype=np.uint16).reshape(64, 64, 3) % 4096
    file = png(2, values, b"")
    assert highest_value(file) == 4095
    got = read_image(file, channels=3, size=64, fit="stretch", depth=12)
    np.testing.assert_array_equal(got.transpose(1, 2, 0), values >> 4)


@pytest.mark.parametrize("mode", [4, 6])
def test_twelve_bits_beside_an_opaque_alpha(mode):
    """Grey and colour with alpha: its 65,535 is no value of the image."""
    colours = {4: 1, 6: 3}[mode]
    values = np.full((8, 8, colours + 1), 65_535, np.uint16)
    values[..., :-1] = np.arange(64 * colours).reshape(8, 8, colours) * 20 + 64
    values[0, 0, -1] = 0  # and one that is transparent
    file = png(mode, values, b"")
    assert highest_value(file) == values[..., :-1].max()
    got = read_image(file, channels=colours, size=8, fit="stretch", depth=12)
    expected = values[..., :-1] >> 4
    expected[0, 0] = 255
    np.testing.assert_array_equal(got.transpose(1, 2, 0), expected)


def test_sixteen_bits_with_white_at_zero_are_refused():
    values = PIXELS[..., 0].astype(np.uint16)
    file = saved(Image.fromarray(values), "tiff", tiffinfo={262: 0})
    with pytest.raises(ValueError, match="white is 0 in its 16 bits: save it with black as 0"):
        read(file, channels=1)


def test_no_other_program_is_started():
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(ValueError, match="cannot identify"):
        read(io.BytesIO(page))
