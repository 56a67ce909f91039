"""Predictions under several views of an image, and how they are averaged."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import softmax

from thumbnets.data.views import VIEWS
from thumbnets.evaluation.views import array_name, average, predict

IMAGE = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.uint8)[None, None]


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
