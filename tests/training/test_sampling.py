"""Balanced sampling: even classes, every image in its turn, the same for a seed."""

import pytest
import torch

from thumbnets.data.arrays import Meta
from thumbnets.methods.base import build_method
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.loop import fit
from thumbnets.training.sampling import balanced_order, by_class

LABELS = torch.tensor([2] * 9 + [0] * 2 + [4] * 4)  # none of classes 1 and 3


def drawn(count: int, seed: int = 0) -> torch.Tensor:
    return balanced_order(by_class(LABELS), count, torch.Generator().manual_seed(seed))


def test_classes_are_even_and_images_come_in_turn():
    order = drawn(15)
    assert torch.bincount(LABELS[order]).tolist() == [5, 0, 5, 0, 5]
    often = torch.bincount(order, minlength=15)
    assert often[:9].sum() == 5 and often[:9].max() == 1  # five of nine
    assert sorted(often[9:11].tolist()) == [2, 3]  # each twice, and one once more
    assert sorted(often[11:].tolist()) == [1, 1, 1, 2]


def test_what_is_over_goes_to_classes_at_random():
    favoured = set()
    for seed in range(9):
        counts = torch.bincount(LABELS[drawn(16, seed)])[[0, 2, 4]]
        assert sorted(counts.tolist()) == [5, 5, 6]
        favoured.add(int(counts.argmax()))
    assert favoured == {0, 1, 2}


def test_a_seed_gives_one_order_and_another_another():
    assert torch.equal(drawn(15), drawn(15)) and not torch.equal(drawn(15), drawn(15, 1))
    assert not torch.equal(LABELS[drawn(15)], LABELS[drawn(15)].sort().values)


@pytest.fixture
def uneven(toy_images) -> Images:
    """20 dark, 5 left, 2 right."""
    toy = toy_images(60)
    chosen = torch.cat([(toy.labels == c).nonzero()[:n, 0] for c, n in enumerate((20, 5, 2))])
    return Images(toy.images[chosen], toy.labels[chosen])


def test_batches_are_as_many_and_their_classes_even(train_settings, uneven, meta: Meta):
    found = {}
    for sampling in (None, "balanced"):
        settings = train_settings(sampling=sampling, batch_size=9)
        batches = Batches(uneven, settings, meta, RandomStreams.of(0, torch.device("cpu")))
        labels = torch.cat([labels for _, labels in batches.run(batches.shuffled(), 1)])
        found[sampling] = len(batches), torch.bincount(labels).tolist()
    assert found == {None: (3, [20, 5, 2]), "balanced": (3, [9, 9, 9])}


def test_a_network_that_can_tell_nothing_apart_guesses_evenly(
    uneven, model_settings, meta, watcher
):
    blank = Images(torch.full_like(uneven.images, 99), uneven.labels)
    settings = model_settings(sampling="balanced", epochs=30, batch_size=27)
    guesses = []
    for _ in range(2):
        classifier, _ = fit(build_method(settings, meta), blank, None, seed=0, watcher=watcher)
        guesses.append(torch.from_numpy(classifier.logits(blank.images[:1])).softmax(1)[0])
    assert guesses[0].tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    assert torch.equal(*guesses)


def test_it_is_dumped_only_where_it_is_set(train_settings):
    plain = train_settings(early_stopping={"patience": 2}).model_dump()
    assert "sampling" not in plain and plain["early_stopping"] == {"patience": 2}
    chosen = {"patience": 2, "metric": "macro_f1"}
    settings = train_settings(sampling="balanced", early_stopping=chosen)
    assert settings.model_dump()["sampling"] == "balanced"
    assert settings.model_dump()["early_stopping"] == chosen
    assert type(settings).model_validate(settings.model_dump()) == settings


def test_settings_that_contradict_it_are_refused(train_settings, model_settings):
    for weights in ("balanced", {"power": 0.5}):
        with pytest.raises(ValueError, match="so class_weights must be null or a list"):
            train_settings(sampling="balanced", class_weights=weights)
    assert train_settings(sampling="balanced", class_weights=[1.0, 2.0]).sampling
    for method in ("bagging", "simclr"):
        with pytest.raises(ValueError, match=f"sampling must be null for method: {method}"):
            model_settings(sampling="balanced", method=method, threads=1)
    with pytest.raises(ValueError, match="early_stopping.metric must be loss for method: simclr"):
        stopping = {"patience": 1, "metric": "macro_f1"}
        model_settings(method="simclr", early_stopping=stopping, threads=1)
