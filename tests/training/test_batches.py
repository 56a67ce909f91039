"""Images as a training sees them: in memory or mapped, the numbers are the same."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from thumbnets.data.arrays import Meta, Split, read_split, write_split
from thumbnets.evaluation import views
from thumbnets.methods.base import build_method
from thumbnets.training.batches import Images
from thumbnets.training.classifier import Classifier
from thumbnets.training.loop import fit

CPU = torch.device("cpu")


@pytest.fixture
def read(toy_images, meta: Meta, tmp_path, monkeypatch) -> Callable[[str], Split]:
    """Reads 60 toy images on a machine of so many GiB."""
    toy = toy_images(60)
    write_split(tmp_path, Split(toy.images.numpy(), toy.labels.numpy(), meta))

    def read(memory: str) -> Split:
        monkeypatch.setenv("THUMBNETS_MEMORY", memory)
        return read_split(tmp_path)

    return read


def test_mapped_images_are_the_same(read):
    mapped, held = read("1e-6"), read("1")
    chosen = np.arange(60) % 3 != 1
    for rows in (None, chosen):
        on_disk, in_memory = Images.of(mapped, CPU, rows), Images.of(held, CPU, rows)
        assert on_disk.mapped is mapped.images and in_memory.mapped is None
        assert len(on_disk) == len(in_memory) == (60 if rows is None else 40)
        index = torch.tensor([7, 0, 39, 7])
        assert torch.equal(on_disk.take(index), in_memory.take(index))
        assert torch.equal(on_disk.labels, in_memory.labels)
        for a, b in zip(on_disk.split(7), in_memory.split(7), strict=True):
            assert torch.equal(a, b)


def test_a_training_on_mapped_images_gives_the_same_bits(read, model_settings, watcher, meta):
    settings = model_settings(
        early_stopping={"patience": 1},
        average={"name": "ema", "decay": 0.9},
        augment=[{"name": "shift", "pixels": 1}, "flip"],
        class_weights="balanced",
    )
    validates = np.arange(60) % 5 == 0
    results = []
    for memory in ("1e-6", "1"):
        split = read(memory)
        train, judged = (Images.of(split, CPU, rows) for rows in (~validates, validates))
        classifier, curve = fit(
            build_method(settings, meta), train, judged, seed=0, watcher=watcher
        )
        results.append((curve, views.predict(classifier, judged, views.VIEWS)))
    assert results[0][0] == results[1][0]
    for name, logits in results[0][1].items():
        np.testing.assert_array_equal(logits, results[1][1][name], strict=True)


def test_views_in_parts_are_views_of_all(read, model_settings, watcher, meta, monkeypatch):
    images = Images.of(read("1"), CPU)
    classifier, _ = fit(build_method(model_settings(), meta), images, None, seed=0, watcher=watcher)
    whole = views.predict(classifier, images.images, views.VIEWS)
    monkeypatch.setattr(Classifier, "at_once", 7)
    for name, logits in views.predict(classifier, images, views.VIEWS).items():
        np.testing.assert_allclose(logits, whole[name], atol=1e-5)
