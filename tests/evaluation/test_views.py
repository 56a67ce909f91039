"""Views of test images: which they are, pixel by pixel, and how their predictions are averaged."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import softmax

from thumbnets.evaluation.views import VIEWS, array_name, average, predict, transformed

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


def logits(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)


def test_the_softmax_of_the_average_is_the_mean_of_probabilities():
    of_views = logits(5, 40, 10)
    combined = average(of_views)
    assert combined.shape == (40, 10) and combined.dtype == np.float32
    expected = softmax(of_views.astype(np.float64), axis=2).mean(0)
    assert softmax(combined, axis=1) == pytest.approx(expected, rel=1e-5)
    assert np.exp(combined).sum(1) == pytest.approx(1, rel=1e-5)


def test_the_average_by_hand():
    of_views = np.log([[[0.9, 0.1]], [[0.3, 0.7]]])
    of_views[1] += 5  # which the softmax ignores
    assert np.exp(average(of_views)) == pytest.approx(np.array([[0.6, 0.4]]))


def test_the_average_of_one_view_predicts_as_it_does():
    one = logits(1, 40, 10)
    combined = average(one)
    assert softmax(combined, axis=1) == pytest.approx(softmax(one[0], axis=1), rel=1e-5)
    assert (combined.argmax(1) == one[0].argmax(1)).all()


def test_the_average_stands_logits_of_any_size():
    wide = np.array([[[1e4, 0.0, -1e4]], [[0.0, 1e4, -1e4]]], dtype=np.float32)
    assert np.exp(average(wide)) == pytest.approx(np.array([[0.5, 0.5, 0.0]]))
    assert np.isfinite(average(wide)).all()


def test_reading_the_names_does_not_import_torch(python):
    code = "import sys; from thumbnets.evaluation.views import VIEWS; print('torch' in sys.modules)"
    assert python(code).strip() == "False"


class Pixels:
    """A classifier whose logits are the pixels; counts how often it is asked."""

    asked = 0

    def logits(self, images: torch.Tensor, view: Callable) -> np.ndarray:
        self.asked += 1
        return view(images).flatten(1).float().numpy()


def test_predictions_of_all_sets_look_at_each_view_once():
    classifier = Pixels()
    found = predict(classifier, IMAGE, VIEWS)
    assert list(found) == list(VIEWS) and classifier.asked == len(VIEWS["flip_shift"])
    assert found["none"].tolist() == [[1, 2, 3, 4, 5, 6]]
    two = np.array([[[1, 2, 3, 4, 5, 6]], [[3, 2, 1, 6, 5, 4]]], np.float32)
    np.testing.assert_array_equal(found["flip"], average(two))
    assert predict(Pixels(), IMAGE, ["flip"])["flip"].tolist() == found["flip"].tolist()


def test_every_set_has_an_array_of_its_own():
    assert array_name("none") == "logits"
    assert len({array_name(name) for name in VIEWS}) == len(VIEWS)
