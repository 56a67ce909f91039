"""Probes: a frozen encoder stays frozen, labels are drawn fairly, and neighbours vote by hand."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from thumbnets import paths
from thumbnets.evaluation.cost import describe
from thumbnets.methods.base import build_method
from thumbnets.methods.probe import Voters, draw
from thumbnets.methods.weights import load_weights, save_weights
from thumbnets.models import count_parameters
from thumbnets.training.batches import Images
from thumbnets.training.loop import Training, fit

CPU = torch.device("cpu")
ARCH = {"arch": "resnet20"}  # it has batch norms


@pytest.fixture
def encoder(model_settings, meta, toy_images, watcher, tmp_path, monkeypatch):
    """The encoder of block `toy`, seeds 0 and 1, where probes look for it; it has batch norms."""
    monkeypatch.chdir(tmp_path)
    settings = model_settings(
        **ARCH, method="simclr", threads=1, augment=[{"name": "shift", "pixels": 1}]
    )
    for seed in (0, 1):
        trained, _ = fit(
            build_method(settings, meta), toy_images(30), None, seed=seed, watcher=watcher
        )
        save_weights(paths.encoder("toy", seed), trained, settings)
    return load_weights(paths.encoder("toy", 0), CPU)


@pytest.fixture
def probe_settings(model_settings):
    """Makes the settings of a probe of block `toy`."""

    def make(kind: str, *, labels=None, neighbours=5, **train):
        method = {"name": "probe", "encoder": "toy", "kind": kind, "labels": labels}
        extra = {"epochs": 1} if kind == "knn" else {}
        return model_settings(
            **ARCH, method={**method, "neighbours": neighbours}, threads=1, **{**extra, **train}
        )

    return make


def same(network: nn.Module, other: nn.Module) -> bool:
    """Whether two modules have the same weights and the same statistics of batch norms."""
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"augment": [{"name": "shift", "pixels": 1}]},
        {"mix": {"name": "mixup", "alpha": 0.2}},
        {"average": {"name": "ema", "decay": 0.9}, "weight_decay": 0.1},
        {"early_stopping": {"patience": 1}},
        {"optimizer": "adamw", "weight_decay": 0.1, "lookahead": {"steps": 2, "alpha": 0.5}},
    ],
)
def test_a_linear_probe_leaves_the_encoder_to_the_bit(
    encoder, probe_settings, meta, toy_images, watcher, train
):
    settings = probe_settings("linear", epochs=3, lr=0.1, **train)
    images = toy_images(60)
    classifier, curve = fit(build_method(settings, meta), images, images, seed=0, watcher=watcher)
    assert same(classifier.network.encoder, encoder.network)
    fresh = build_method(settings, meta).network()
    assert not torch.equal(classifier.network.head.weight, fresh.head.weight)
    assert curve[-1].validation_accuracy == pytest.approx(
        np.mean(classifier.logits(images).argmax(1) == images.labels.numpy()), abs=1e-6
    )


def test_features_known_beforehand_are_those_of_the_images(
    encoder, probe_settings, meta, toy_images
):
    settings = probe_settings("linear")
    images = toy_images(30)
    training = Training(build_method(settings, meta), images, None, seed=0)
    order = training.batches.shuffled()
    features, labels = (
        torch.cat(part) for part in zip(*training.batches.run(order, 1), strict=True)
    )
    np.testing.assert_allclose(features, encoder.logits(images)[order], rtol=1e-4, atol=1e-5)
    assert torch.equal(labels, images.labels[order])
    assert list(training.module.parameters()) == list(training.network.head.parameters())


def test_fine_tuning_begins_with_the_encoder_and_moves_it(
    encoder, probe_settings, meta, toy_images, watcher
):
    settings = probe_settings("finetune")
    images = toy_images(60)
    training = Training(build_method(settings, meta), images, None, seed=0)
    assert same(training.network.encoder, encoder.network)
    classifier, _ = fit(build_method(settings, meta), images, None, seed=0, watcher=watcher)
    assert not same(classifier.network.encoder, encoder.network)


def test_each_seed_begins_with_its_own_encoder(encoder, probe_settings, meta, toy_images):
    training = Training(
        build_method(probe_settings("finetune"), meta), toy_images(60), None, seed=1
    )
    other = load_weights(paths.encoder("toy", 1), CPU).network
    assert same(training.network.encoder, other) and not same(other, encoder.network)


@pytest.mark.parametrize("kind", ["linear", "knn", "finetune"])
def test_the_weights_on_disk_are_the_probe(
    encoder, probe_settings, meta, toy_images, watcher, tmp_path, kind
):
    settings, images = probe_settings(kind), toy_images(60)
    classifier, curve = fit(build_method(settings, meta), images, images, seed=0, watcher=watcher)
    save_weights(tmp_path / "p.safetensors", classifier, settings)
    paths.encoder("toy", 0).unlink()  # it is no longer needed
    loaded = load_weights(tmp_path / "p.safetensors", CPU)
    np.testing.assert_array_equal(loaded.logits(images), classifier.logits(images))
    assert math.isfinite(curve[-1].train_loss)


# Labels.


@given(st.integers(3, 30), st.integers(0, 99))
def test_labels_are_drawn_alike_from_each_class(number, seed):
    labels = np.repeat([2, 0, 1], [40, 10, 20])
    index = draw(labels, number, 3, seed)
    assert len(set(index.tolist())) == number and (np.diff(index) > 0).all()
    counts = np.bincount(labels[index], minlength=3)
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(index, draw(labels, number, 3, seed))


def test_another_seed_draws_others_and_each_image_has_its_chance():
    labels = np.arange(40) % 2
    drawn = np.stack([draw(labels, 3, 2, seed) for seed in range(2000)])
    counts = np.bincount(drawn.ravel(), minlength=40)
    assert 100 < counts.min() and counts.max() < 200  # 150 are expected
    larger = (labels[drawn] == 0).sum(1) == 2
    assert 900 < larger.sum() < 1100  # the one left over goes to either class


def test_labels_that_are_not_there_are_refused():
    labels = np.repeat([0, 1], [2, 50])
    with pytest.raises(ValueError, match="labels must be at least one per class, 2, got 1"):
        draw(labels, 1, 2, 0)
    with pytest.raises(ValueError, match="asks for 3 training images of class 0, which has 2"):
        draw(labels, 6, 2, 0)


@pytest.mark.parametrize("rows", [None, torch.arange(60) + 100])
def test_only_the_drawn_images_are_learned_from(encoder, probe_settings, meta, toy_images, rows):
    images = toy_images(60)
    images = Images(images.images, images.labels, rows)
    training = Training(
        build_method(probe_settings("finetune", labels=9), meta), images, None, seed=1
    )
    data = training.batches.data
    index = torch.from_numpy(draw(images.labels.numpy(), 9, 3, 1))
    assert torch.equal(data.images, images.images[index])
    assert torch.equal(data.labels, images.labels[index])
    assert torch.equal(data.rows, index if rows is None else index + 100)


def test_drawn_images_of_a_memory_map(encoder, probe_settings, meta, toy_images, tmp_path):
    held = toy_images(60)
    np.save(tmp_path / "images.npy", held.images.numpy())
    mapped = np.load(tmp_path / "images.npy", mmap_mode="c")
    rows = torch.arange(60).flip(0)
    images = Images(torch.from_numpy(mapped), held.labels[rows], rows, mapped)
    training = Training(
        build_method(probe_settings("finetune", labels=9), meta), images, None, seed=1
    )
    data = training.batches.data
    index = torch.from_numpy(draw(images.labels.numpy(), 9, 3, 1))
    assert torch.equal(data.take(torch.arange(9)), held.images[rows[index]])


# Neighbours.


@pytest.fixture
def voters() -> Voters:
    """Five directions of three classes; images are directions already."""
    voters = Voters(nn.Identity(), nn.Linear(2, 3), neighbours=3, temperature=0.5)
    bank = torch.tensor([(1, 0), (1, 0.2), (0, 1), (-1, 0.1), (0.6, 0.8)])
    voters.set_voters(bank, torch.tensor([0, 0, 1, 2, 1]))
    return voters


@pytest.mark.parametrize(
    ("neighbours", "scores"),
    [(3, [12.868851, 5.982595, 0.0]), (5, [12.868851, 8.428529, 0.184339])],
)
def test_the_vote_by_hand(voters, neighbours, scores):
    voters.neighbours = neighbours
    logits = voters(torch.tensor([(1.0, 0.5), (30.0, 15.0)]))
    np.testing.assert_allclose(logits.exp() - 1, [scores, scores], atol=2e-5)


def test_a_voter_does_not_vote_on_itself(voters):
    voters.neighbours = 1
    bank = voters.bank
    assert voters.vote(bank).argmax(1).tolist() == [0, 0, 1, 2, 1]  # each by itself
    alone = voters.vote(bank, without=torch.arange(5))
    assert alone.argmax(1).tolist() == [0, 0, 1, 1, 1]  # (0, 1) is the nearest to (-1, 0.1)


def test_all_neighbours_may_vote_and_a_class_without_votes_has_a_finite_loss(voters):
    voters.neighbours = 5
    assert voters.vote(voters.bank, without=torch.arange(5)).isfinite().all()


def test_neighbours_are_those_of_the_encoder_in_evaluation_mode(
    encoder, probe_settings, meta, toy_images, watcher
):
    images, others = toy_images(60), toy_images(30, seed=1)
    classifier, curve = fit(
        build_method(probe_settings("knn"), meta), images, others, seed=0, watcher=watcher
    )
    assert same(classifier.network.encoder, encoder.network)
    bank, query = (
        of / np.linalg.norm(of, axis=1, keepdims=True)
        for of in (encoder.logits(images), encoder.logits(others))
    )
    similar = query @ bank.T
    scores = np.zeros((30, 3))
    for row, who in enumerate(np.argsort(-similar, axis=1)[:, :5]):
        for n in who:
            scores[row, int(images.labels[n])] += math.exp(similar[row, n] / 0.5)
    logits = classifier.logits(others)
    np.testing.assert_allclose(np.exp(logits) - 1, scores, rtol=1e-3, atol=1e-3)
    right = logits.argmax(1) == others.labels.numpy()
    assert curve[-1].validation_accuracy == pytest.approx(right.mean(), abs=1e-6)
    assert len(curve) == 1


def test_one_neighbour_recognises_the_bank(encoder, probe_settings, meta, toy_images, watcher):
    images = toy_images(60)
    settings = probe_settings("knn", neighbours=1)
    classifier, _ = fit(build_method(settings, meta), images, None, seed=0, watcher=watcher)
    assert (classifier.logits(images).argmax(1) == images.labels.numpy()).all()


@pytest.mark.parametrize("kind", ["linear", "knn", "finetune"])
def test_what_a_probe_costs_is_counted(probe_settings, meta, kind):
    with torch.device("meta"):
        network = build_method(probe_settings(kind), meta).network()
    found = describe(network, (1, 8, 8))
    assert found.parameters == count_parameters(network)
    learned = {"finetune": found.parameters, "knn": 0}  # a linear probe's head is resnet20's
    assert found.trainable == learned.get(kind, 64 * len(meta.classes) + len(meta.classes))


# What is refused.


def test_more_neighbours_than_labels_are_refused(encoder, probe_settings, meta, toy_images):
    settings = probe_settings("knn", labels=9, neighbours=10)
    with pytest.raises(ValueError, match="neighbours must be at most the 9 labelled images, got"):
        Training(build_method(settings, meta), toy_images(60), None, seed=0)


@pytest.mark.parametrize(
    ("kind", "train", "message"),
    [
        ("knn", {"epochs": 2}, "toy: knn trains nothing: write epochs: 1"),
        ("knn", {"augment": ["flip"]}, "toy: knn trains nothing"),
        ("linear", {"average": "swa"}, "toy: swa would change a frozen encoder's batch norms"),
    ],
)
def test_settings_that_make_no_sense_are_refused(probe_settings, meta, kind, train, message):
    with pytest.raises(ValueError, match=message):
        build_method(probe_settings(kind, **train), meta)


def test_other_weights_to_begin_with_are_refused(probe_settings):
    with pytest.raises(ValueError, match="weights must be null for method: probe"):
        probe_settings("finetune", weights="a.pth").train.check_method()


def test_an_encoder_that_is_missing_or_of_other_images_is_refused(
    encoder, probe_settings, meta, toy_images
):
    other = meta.__class__(**{**vars(meta), "sha256": "1" * 64})
    with pytest.raises(ValueError, match="was trained on other images: run `dvc repro pretrain`"):
        Training(build_method(probe_settings("linear"), other), toy_images(30), None, seed=0)
    with pytest.raises(ValueError, match=r"encoders/toy/7.safetensors is missing: run"):
        Training(build_method(probe_settings("linear"), meta), toy_images(30), None, seed=7)


@pytest.mark.parametrize("kind", ["linear", "knn", "finetune"])
def test_a_resumed_probe_ends_with_the_same_bytes(
    encoder, probe_settings, meta, toy_images, watcher, kind
):
    settings = probe_settings(kind, **({} if kind == "knn" else {"epochs": 2}))
    images = toy_images(60)
    whole, _ = fit(build_method(settings, meta), images, images, seed=0, watcher=watcher)
    begun = Training(build_method(settings, meta), images, images, seed=0)
    inputs, targets = next(begun.batches.run(begun.order, 1))
    if kind != "knn":  # whose only batch ends the epoch
        begun._step(inputs, targets)
    resumed = Training(build_method(settings, meta), images, images, seed=0)
    resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
    resumed.run(watcher)
    assert same(resumed.classifier().network, whole.network)
