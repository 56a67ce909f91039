"""Each kind of odd image, among images that are not."""

import numpy as np

from thumbnets.quality.odd import find_odd, measure


def usual(n: int, side: int = 16) -> np.ndarray:
    """Images of noise on a slope, uint8 [n, 1, side, side]."""
    rng = np.random.default_rng(0)
    slope = np.linspace(30, 200, side)
    return (slope + rng.normal(0, 12, (n, 1, side, side))).clip(0, 255).astype(np.uint8)


def test_each_kind_is_found_and_nothing_else():
    images = usual(40)
    slope = np.linspace(30, 200, 16).astype(np.uint8)
    images[3] = 77  # plain
    images[5] = images[5] // 6  # dark
    images[7] = 225 + images[7] // 9  # bright
    images[9] = slope  # without its noise: blurred
    sides = np.full((40, 2), (640, 480))
    sides[11], sides[12] = (4000, 400), (480, 640)
    found = {kind: places.tolist() for kind, places in find_odd(measure(images, sides)).items()}
    assert found == {"plain": [3], "dark": [5], "bright": [7], "blurred": [9], "odd shape": [11]}


def test_colours_are_measured_by_their_mean_and_files_may_be_unknown():
    grey = measure(usual(6))
    colour = measure(usual(6).repeat(3, axis=1))
    assert grey.shape is None and "odd shape" not in find_odd(grey)
    np.testing.assert_allclose(grey.spread, colour.spread, atol=0.004)
    np.testing.assert_allclose(grey.high, colour.high, atol=0.004)


def test_a_set_of_one_colour_and_tiny_images_are_measured_too():
    assert find_odd(measure(np.full((3, 1, 2, 2), 9, np.uint8)))["plain"].tolist() == [0, 1, 2]
