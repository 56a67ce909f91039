"""Maps and neighbours of features: what is alike lies close, and the same bits come out twice."""

import numpy as np
import pytest

from thumbnets.evaluation.embedding import embedding, nearest


def test_neighbours_by_hand():
    angles = np.radians([0, 90, 10, 80, 180])
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = nearest(directions, np.array([0, 1]))
    assert found.tolist() == [[0, 2, 3, 1, 4], [1, 3, 2, 0, 4]]


@pytest.fixture
def clusters():
    """Features of three classes in three directions, of any length; pixels tell the image."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(60) % 3)
    features = np.eye(5)[labels] + 0.1 * rng.normal(size=(60, 5))
    features *= rng.uniform(0.1, 10, (60, 1))
    images = np.arange(60, dtype=np.uint8)[:, None, None, None].repeat(4, axis=3)
    return features.astype(np.float32), images, labels


def test_the_map_keeps_classes_together_and_is_the_same_twice(clusters):
    found, again = embedding(*clusters), embedding(*clusters)
    np.testing.assert_array_equal(found["map"], again["map"])
    assert found["map"].shape == (60, 2) and found["map"].dtype == np.float32
    apart = np.linalg.norm(found["map"][:, None] - found["map"], axis=2) + 1e9 * np.eye(60)
    assert (found["labels"][apart.argmin(1)] == found["labels"]).all()


def test_an_image_of_each_class_with_its_neighbours(clusters):
    features, images, labels = clusters
    found = embedding(features, images, labels)
    assert found["neighbours"].shape == (3, 9, 1, 1, 4)
    places = found["neighbours"][:, :, 0, 0, 0]
    assert places[:, 0].tolist() == [labels.tolist().index(label) for label in range(3)]
    assert (found["neighbour_labels"] == np.arange(3)[:, None]).all()
    np.testing.assert_array_equal(found["neighbour_labels"], labels[places])


def test_few_images_have_all_others_as_neighbours(clusters):
    features, images, labels = (part[:4] for part in clusters)
    assert embedding(features, images, labels)["neighbours"].shape[1] == 4
