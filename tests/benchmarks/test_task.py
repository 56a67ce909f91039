"""That all contenders train on the same images."""

import numpy as np
import pytest

from benchmarks.task import Task, chosen, validation
from thumbnets.data import load


def test_images_that_validate_train_nobody():
    train = load("digits", "train")
    index, validating = chosen(Task("mlp4", "digits"), train), validation(train)
    assert sorted([*index, *validating]) == list(range(len(train.labels)))
    # A twelfth, stratified.
    assert np.bincount(train.labels[validating]).tolist() == pytest.approx(
        np.bincount(train.labels) / 12, abs=1
    )


def test_as_many_as_the_task_says():
    train = load("digits", "train")
    index = chosen(Task("mlp4", "digits"), train)
    assert chosen(Task("mlp4", "digits", 100), train).tolist() == index[:100].tolist()
    with pytest.raises(ValueError, match=f"images must be at most {len(index)}, got 10000"):
        chosen(Task("mlp4", "digits", 10_000), train)
