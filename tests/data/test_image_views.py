"""Views of images: which they are, pixel by pixel."""

import pytest
import torch

from thumbnets.data.views import VIEWS, transformed

IMAGE = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.uint8)[None, None]


def seen(name: str) -> list[list[list[int]]]:
    return [transformed(IMAGE, *view)[0, 0].tolist() for view in VIEWS[name]]


def test_views_by_hand():
    still, mirrored = [[1, 2, 3], [4, 5, 6]], [[3, 2, 1], [6, 5, 4]]
    up, down = [[4, 5, 6], [0, 0, 0]], [[0, 0, 0], [1, 2, 3]]
    left, right = [[2, 3, 0], [5, 6, 0]], [[0, 1, 2], [0, 4, 5]]
    assert seen("none") == [still]
    assert seen("flip") == [still, mirrored]
    assert seen("shift") == [still, up, down, left, right]
    both = seen("flip_shift")
    assert both[:5] == seen("shift") and both[5] == mirrored and len(both) == 10
    assert both[6:8] == [[[6, 5, 4], [0, 0, 0]], [[0, 0, 0], [3, 2, 1]]]
    assert both[8:] == [[[2, 1, 0], [5, 4, 0]], [[0, 3, 2], [0, 6, 5]]]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 8), (1, 1, 1)])
@pytest.mark.parametrize("name", VIEWS)
def test_views_keep_shape_type_and_input(name, shape):
    images = torch.randint(1, 256, (5, *shape), dtype=torch.uint8)
    before = images.clone()
    found = [transformed(images, *view) for view in VIEWS[name]]
    assert len(found) == len(VIEWS[name])
    assert all(view.shape == images.shape and view.dtype == torch.uint8 for view in found)
    assert torch.equal(found[0], images) and torch.equal(images, before)


def test_reading_the_names_does_not_import_torch(python):
    code = "import sys; from thumbnets.data.views import VIEWS; print('torch' in sys.modules)"
    assert python(code).strip() == "False"
