"""Batches of few classes: by hand, as the source draws them, and when a training has them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thumbnets.methods import few_classes
from thumbnets.methods.base import build_method
from thumbnets.methods.few_classes import FewClasses, gathered
from thumbnets.training.batches import Batches, RandomStreams
from thumbnets.training.loop import Training


@pytest.fixture
def one_class_is_enough(monkeypatch):
    monkeypatch.setattr(few_classes, "_LEAST_CLASSES", 1)


@pytest.mark.usefixtures("one_class_is_enough")
def test_by_hand():
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    order = np.array([3, 2, 7, 1, 0, 5, 4, 6])
    # 3 has class 0, so 0 and 6 come with it; then 2 of class 2 has only 5 with it, and 7 tops up.
    assert gathered(order, labels, 3, drawn_first=1).tolist() == [3, 0, 6, 2, 5, 7, 1, 4]
    # Of 3 and 2 the classes are 0 and 2; 7, 1 and 4 are left, whose class is 1.
    assert gathered(order, labels, 4, drawn_first=2).tolist() == [3, 2, 0, 5, 7, 1, 4, 6]
    assert gathered(order, labels, 8, drawn_first=1).tolist() == order.tolist()


def test_more_classes_are_searched_for_among_some_images():
    labels = np.array([0] * 12 + [1, 0, 2, 0])
    # Ten images are passed over; the others of class 0 fill up.
    assert gathered(np.arange(16), labels, 14, drawn_first=2).tolist() == [
        0, 1, 12, 14, *range(2, 12), 13, 15
    ]  # fmt: skip
    assert gathered(np.arange(16), labels, 14, drawn_first=1)[:13].tolist() == [*range(12), 13]


def drawn_by_the_source(order: np.ndarray, labels: np.ndarray, size: int, n: int) -> list[int]:
    """Lists as in its code, with the rest of the images as the last batch."""
    rest, found = order.tolist(), []
    while len(rest) > size:
        batch, rest = rest[:n], rest[n:]
        k = 0
        while len({labels[i] for i in batch}) < 10 and k < n * 10 and k < len(rest):
            if labels[rest[k]] in {labels[i] for i in batch}:
                k += 1
            else:
                batch.append(rest.pop(k))
        classes, k = {labels[i] for i in batch}, 0
        while len(batch) < size and k < len(rest):
            if labels[rest[k]] in classes:
                batch.append(rest.pop(k))
            else:
                k += 1
        while len(batch) < size:
            batch.append(rest.pop(0))
        found += batch
    return found + rest


@given(
    n=st.integers(1, 150),
    classes=st.integers(1, 40),
    n_first=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_as_the_source_draws_them(n, classes, n_first, seed):
    random = np.random.default_rng(seed)
    labels, order = random.integers(classes, size=n), random.permutation(n)
    size = n_first + 10
    found = gathered(order, labels, size, n_first)
    assert found.tolist() == drawn_by_the_source(order, labels, size, n_first)
    assert sorted(found) == list(range(n))


def test_only_in_the_first_half_of_the_epochs(
    train_settings, toy_images, meta, one_class_is_enough
):
    images, device = toy_images(90), torch.device("cpu")
    settings = train_settings(epochs=4, batch_size=10, augment=[])
    batches = FewClasses(images, settings, meta, RandomStreams.of(0, device), drawn_first=1)
    order = batches.shuffled()
    seen = {
        epoch: [set(labels.tolist()) for _, labels in batches.run(order, epoch)]
        for epoch in (1, 2, 3, 4)
    }
    assert all(len(classes) == 1 for epoch in (1, 2) for classes in seen[epoch][:3])
    assert all(len(classes) > 1 for epoch in (3, 4) for classes in seen[epoch])
    rest = [labels for _, labels in batches.run(order, 2, first=4)]  # gone on with after a cut
    assert [set(labels.tolist()) for labels in rest] == seen[2][4:]


@pytest.fixture
def training(model_settings, toy_images, meta):
    """Makes a training of local losses with an option."""

    def make(few: int | None, **train) -> Training:
        method = {"name": "local", "few_classes": few}
        changes = {"optimizer": "adam", "lr": 0.01, "threads": 1, "method": method, **train}
        return Training(
            build_method(model_settings("mlp", {"width": 8}, **changes), meta),
            toy_images(90),
            None,
            seed=1,
        )

    return make


def test_local_losses_have_them(training, watcher):
    run = training(5, epochs=2, batch_size=16, mix={"name": "mixup", "alpha": 0.2})
    assert run.batches.drawn_first == 5
    run.run(watcher)
    assert run.finished and all(np.isfinite(row.train_loss) for row in run.curve)
    assert type(training(None).batches) is Batches
    with pytest.raises(ValueError, match="few_classes must be fewer images than a batch has, 16, "):
        training(16, batch_size=16)
