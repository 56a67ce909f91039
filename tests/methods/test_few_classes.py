"""Batches of few classes: by hand, what every such order has, and when a training has them."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from thumbnets.methods.few_classes import FewClasses, gathered
from thumbnets.training.batches import Batches, Streams
from thumbnets.training.loop import Training


def test_by_hand():
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    order = np.array([3, 2, 7, 1, 0, 5, 4, 6])
    # 3 has class 0, so 0 and 6 come with it; then 2 of class 2 has only 5 with it, and 7 tops up.
    assert gathered(order, labels, size=3, first=1).tolist() == [3, 0, 6, 2, 5, 7, 1, 4]
    # Of 3 and 2 the classes are 0 and 2; 7, 1 and 4 are left, whose class is 1.
    assert gathered(order, labels, size=4, first=2).tolist() == [3, 2, 0, 5, 7, 1, 4, 6]
    assert gathered(order, labels, size=8, first=1).tolist() == order.tolist()


@given(st.integers(1, 60), st.integers(1, 12), st.integers(2, 10), st.integers(1, 12), st.data())
def test_every_image_comes_once_and_batches_keep_to_their_classes(n, classes, size, first, data):
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    labels, order = random.integers(classes, size=n), random.permutation(n)
    found = gathered(order, labels, size, first)
    assert sorted(found) == list(range(n))
    for start in range(0, n - size, size):
        batch, later = found[start : start + size], found[start + size :]
        own = labels[batch[:first]]
        if not np.isin(labels[batch], own).all():  # topped up: nothing of its classes was left
            assert not np.isin(labels[later], own).any()


def test_only_in_the_first_half_of_the_epochs(train_settings, toy_images, meta):
    images, device = toy_images(90), torch.device("cpu")
    settings = train_settings(epochs=4, batch_size=10, augment=[])
    batches = FewClasses(images, settings, meta, Streams.of(0, device), first=1)
    order = batches.shuffled()
    seen = {
        epoch: [set(labels.tolist()) for _, labels in batches.run(order, epoch)]
        for epoch in (1, 2, 3, 4)
    }
    assert all(len(classes) == 1 for epoch in (1, 2) for classes in seen[epoch][:3])
    assert all(len(classes) > 1 for epoch in (3, 4) for classes in seen[epoch])
    rest = [labels for _, labels in batches.run(order, 2, first=4)]  # gone on with after a cut
    assert [set(labels.tolist()) for labels in rest] == seen[2][4:]


def test_local_losses_have_them(model_settings, toy_images, meta):
    def batches(**options):
        settings = model_settings(
            "mlp", {"width": 8}, optimizer="adam", method={"name": "local", **options}, threads=1
        )
        return Training(settings, toy_images(90), None, meta, seed=1).batches

    assert batches(few_classes=20).drawn_first == 20
    assert type(batches()) is Batches
