"""The preview of augmentations: a picture, the same each time, that shows what they do."""

import numpy as np
import pytest

from thumbnets.data.arrays import Meta, Split
from thumbnets.registry import AUGMENTATIONS
from thumbnets.report.preview import preview


@pytest.fixture
def picture(tmp_path, train_settings):
    """Draws the preview of toy images and returns its bytes."""
    labels = np.arange(12) % 3
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), dtype=np.uint8)
    meta = Meta("toy", ["a", "b", "c"], 1, 8, [0.2], [0.3], [4, 4, 4], "0" * 64)

    def draw(*augment: str | dict) -> bytes:
        path = tmp_path / "preview.png"
        preview(Split(images, labels, meta), train_settings(augment=[*augment]).augment, path)
        return path.read_bytes()

    return draw


def test_draws_every_augmentation_the_same_each_time(picture):
    one = picture(*AUGMENTATIONS.entries)
    assert one.startswith(b"\x89PNG") and picture(*AUGMENTATIONS.entries) == one
    assert picture() != one


def test_shows_an_alternating_flip_both_ways(picture):
    assert picture("alternating_flip") not in (picture(), picture({"name": "flip", "p": 1.0}))


def test_a_class_name_is_no_formula(tmp_path):
    images = np.zeros((2, 1, 8, 8), np.uint8)
    meta = Meta("toy", ["$1_$5", "b"], 1, 8, [0.2], [0.3], [1, 1], "0" * 64)
    preview(Split(images, np.array([0, 1]), meta), [], tmp_path / "preview.png")
    assert (tmp_path / "preview.png").stat().st_size > 0
