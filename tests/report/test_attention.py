"""The report's attention section: weights, shares and order, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from thumbnets.report.attention import attention

ARRAYS = {
    "logits": np.log(np.array([[3.0, 1.0], [1.0, 3.0], [1.0, 1.0]])),
    "labels": np.array([0, 1, 1]),
    "bag_sizes": np.array([1, 3, 2]),
    "bag_hits": np.array([False, True, False, True, False, True]),
    "bag_attention": np.array([1.0, 0.5, 0.3, 0.2, 0.1, 0.9], np.float32),
    "bag_shown": np.array([1, 0]),
    "bag_images": np.arange(4, dtype=np.uint8)[:, None, None, None]
    * np.ones((1, 1, 2, 2), np.uint8),
}


def test_shares_and_pictures_by_hand():
    arrays = {"a": ARRAYS, "without": {"logits": ARRAYS["logits"]}}
    [found] = attention(SimpleNamespace(first_validation=arrays, classes=["no", "yes"]))
    assert found.model == "a" and found.positives == 2
    assert found.on_target == pytest.approx((0.7 + 0.9) / 2)
    assert found.by_chance == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert [(bag.number, bag.label, bag.positive) for bag in found.bags] == [
        (1, "yes", True),
        (0, "no", False),
    ]
    first, second = found.bags
    assert first.probability == pytest.approx(0.75) and second.probability == pytest.approx(0.25)
    assert [round(image.weight, 6) for image in first.images] == [0.5, 0.3, 0.2]
    assert [image.hit for image in first.images] == [True, False, True]
    assert len({image.source for image in (*first.images, *second.images)}) == 4
