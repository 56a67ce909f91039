"""Heat maps lie where the class is seen."""

import numpy as np
import pytest
from PIL import Image

from thumbnets.data.arrays import Meta
from thumbnets.heatmaps import heatmap, write_overlay

META = Meta("toy", ["spot", "none"], 1, 8, [0.0], [1.0], [1, 1], "")


def spotted(images: np.ndarray) -> np.ndarray:
    """Log-probabilities of a class that is seen by the pixel in row 2 and column 5 alone."""
    seen = images[:, 0, 2, 5] > 100
    return np.log(np.where(seen[:, None], [0.9, 0.1], [0.2, 0.8]))


def test_the_pixel_that_decides_is_the_hottest():
    image = np.full((1, 8, 8), 200, np.uint8)
    heat = heatmap(image, spotted, META)
    assert np.unravel_index(heat.argmax(), heat.shape) == (2, 5) and heat[2, 5] == 1
    # Patches of 2 x 2 that cover the pixel reach its neighbours only.
    far = np.ones((8, 8), bool)
    far[1:4, 4:7] = False
    assert not heat[far].any() and heat.min() == 0
    # Of the four patches over its neighbour two cover the pixel too.
    assert heat[2, 4] == pytest.approx(0.5)


def test_nothing_speaks_for_a_class_that_does_not_depend_on_the_image():
    constant = heatmap(
        np.full((1, 8, 8), 9, np.uint8), lambda images: np.zeros((len(images), 2)), META
    )
    assert constant.shape == (8, 8) and not constant.any()


def test_overlays_are_red_where_it_is_hot(tmp_path):
    heat = np.zeros((8, 8))
    heat[2, 5] = 1
    write_overlay(tmp_path / "a.png", np.full((1, 8, 8), 100, np.uint8), heat)
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (224, 224, 3)
    red, plain = pixels[2 * 28 + 5, 5 * 28 + 5].tolist(), pixels[0, 0].tolist()
    assert plain == [100] * 3 and red == [191, 51, 51]  # 0.7 of (230, 30, 30) and 0.3 of 100
