"""SimCLR: the loss by hand, views that differ, and an encoder that stays when its head goes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from thumbnets.data.arrays import Split
from thumbnets.methods import encoder as encoder_module
from thumbnets.methods.base import build_method
from thumbnets.methods.encoder import build_encoder
from thumbnets.methods.simclr import nt_xent, pretraining_images
from thumbnets.methods.weights import load_weights, save_weights
from thumbnets.models import count_parameters
from thumbnets.training.batches import RandomStreams
from thumbnets.training.loop import Training, fit

CPU = torch.device("cpu")
SHIFT = [{"name": "shift", "pixels": 2}]

# Three images, both views; the loss of each view at temperature 0.5.
Z1, Z2 = [(1, 0), (0, 1), (1, 1)], [(2, 1), (0, 3), (1, -1)]
ANCHORS = [0.996718, 0.720727, 2.996135, 1.177707, 0.720727, 2.012461]


def views(*of: list[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor([row for rows in of for row in rows], dtype=torch.float64)


@pytest.mark.parametrize(
    ("temperature", "loss"), [(0.5, 1.4374125), (0.1, 3.0343646), (0.07, 4.1773160), (1, 1.4445589)]
)
def test_the_loss_by_hand(temperature, loss):
    found, right = nt_xent(views(Z1, Z2), temperature)
    assert float(found) == pytest.approx(loss, abs=1e-7)
    assert int(right) == 3  # of six views
    assert np.mean(ANCHORS) == pytest.approx(1.4374125, abs=1e-6)


def test_two_orthogonal_images():
    loss, right = nt_xent(views([(1, 0), (0, 1)], [(3, 0), (0, 5)]), 0.5)
    assert float(loss) == pytest.approx(math.log(math.e**2 + 2) - 2, abs=1e-12)
    assert int(right) == 4


@pytest.mark.parametrize("temperature", [0.07, 0.5, 3.0])
def test_views_that_are_all_alike_are_told_by_chance(temperature):
    loss, _ = nt_xent(torch.ones(8, 3), temperature)
    assert float(loss) == pytest.approx(math.log(7), abs=1e-6)


def test_neither_length_nor_the_order_of_the_views_matters():
    loss, _ = nt_xent(views(Z1, Z2), 0.5)
    swapped, _ = nt_xent(views(Z2, Z1), 0.5)
    lengths = torch.tensor([1, 20, 0.3, 7, 0.01, 2.0]).double()[:, None]
    assert float(swapped) == pytest.approx(float(loss), abs=1e-12)
    assert float(nt_xent(views(Z1, Z2) * lengths, 0.5)[0]) == pytest.approx(float(loss), abs=1e-12)


def test_its_gradient_is_that_of_finite_differences():
    z = views(Z1, Z2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: nt_xent(x, 0.5)[0], z)


def test_one_image_is_refused(model_settings, meta, toy_images):
    with pytest.raises(ValueError, match="NT-Xent needs 2 images or more in a batch, got 1"):
        nt_xent(torch.ones(2, 3), 0.5)
    method = build_method(model_settings(method="simclr", threads=1), meta)
    with pytest.raises(ValueError, match="toy: simclr compares an image with others, .* got 1"):
        method.batches(toy_images(1), RandomStreams.of(0, CPU))


def test_it_needs_whole_batches(model_settings):
    with pytest.raises(ValueError, match="threads must be 1 for method: simclr, got 2"):
        model_settings(method="simclr", threads=2).train.check_method()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_smoothing": 0.1}, "label_smoothing must be 0"),
        ({"refit": True}, "refit must be false"),
    ],
)
def test_what_has_no_effect_without_labels_is_refused(model_settings, change, message):
    with pytest.raises(ValueError, match=f"{message} for method: simclr"):
        model_settings(method="simclr", threads=1, **change).train.check_method()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"average": "ema", "early_stopping": {"patience": 3}},
            "ema averages the encoder and not the",
        ),
        ({"average": "ema", "schedule": "plateau"}, "ema averages the encoder and not the"),
    ],
)
def test_what_its_probes_could_not_use_is_refused(model_settings, meta, changes, message):
    with pytest.raises(ValueError, match=message):
        build_method(model_settings(method="simclr", threads=1, **changes), meta)


def test_both_views_of_an_image_have_draws_of_their_own(model_settings, meta, toy_images):
    settings = model_settings(method="simclr", threads=1, augment=SHIFT)
    images = toy_images(16)
    batches = build_method(settings, meta).batches(images, RandomStreams.of(0, CPU))
    assert batches.seen == 2 * len(images)
    seen, _ = next(batches.run(torch.arange(16), 1))
    pixels = (seen * batches.std + batches.mean) * 255
    assert seen.shape == (32, 1, 8, 8)

    def move(view: torch.Tensor, image: torch.Tensor) -> tuple[int, int]:
        padded = nn.functional.pad(image, (2, 2, 2, 2))
        moves = [(y, x) for y in range(5) for x in range(5)]
        return next(m for m in moves if padded[:, m[0] : m[0] + 8, m[1] : m[1] + 8].equal(view))

    whole = pixels.round().byte()
    moves = [move(view, images.images[n % 16]) for n, view in enumerate(whole)]
    assert len(set(moves)) > 10
    assert sum(a == b for a, b in zip(moves[:16], moves[16:], strict=True)) < 5  # 1 in 25


def test_the_head_counts_as_published_and_is_no_part_of_the_encoder(model_settings, meta):
    method = build_method(model_settings(method="simclr", threads=1), meta)
    network = method.network()
    training_module = method.training_module(network, 0)
    images = torch.zeros(2, 1, 8, 8)
    assert network(images).shape == (2, 100)  # the last hidden layer of lenet_300_100
    assert training_module(images).shape == (2, 128)
    method.features = 512
    head = method.training_module(network, 0)[1]
    assert count_parameters(head) == 328_320
    method.hidden = 256
    assert count_parameters(method.training_module(network, 0)[1]) == 513 * 256 + 257 * 128


def test_resnet18_has_the_encoder_of_the_sources(model_settings, meta):
    """Their stem has kernels of 3 x 3 pixels, torchvision's of 7 x 7."""
    settings = model_settings(arch="torchvision/resnet18")
    encoder, last = build_encoder(settings, meta)
    assert last.in_features == 512
    assert count_parameters(encoder) - 64 * 7**2 == 11_167_680 - 64 * 3**2


@pytest.mark.parametrize(("arch", "last"), [("tiny_cnn", "Flatten"), ("airbench94", "_Scale")])
def test_a_network_that_does_not_end_with_a_linear_layer_is_refused(
    model_settings, meta, arch, last
):
    big = replace(meta, image_size=28)
    with pytest.raises(ValueError, match=f"toy, {arch}: the network must end .* ends in {last}"):
        build_encoder(model_settings(arch=arch), big)


def test_a_linear_layer_that_has_not_the_last_word_is_refused(model_settings, meta, monkeypatch):
    build = encoder_module.build

    def then_softmax(*args, **shape):
        network = build(*args, **shape)
        network.register_forward_hook(lambda *call: call[-1].softmax(1))
        return network

    monkeypatch.setattr(encoder_module, "build", then_softmax)
    with pytest.raises(
        ValueError, match="toy, lenet_300_100: its output must be that of its last linear layer"
    ):
        build_encoder(model_settings(), meta)


def test_an_encoder_may_read_patches(model_settings, meta):
    """The mean of features over patches: a linear layer after it makes the mean of logits."""
    encoder, head = build_encoder(model_settings(patches={"size": 4, "mode": "shared"}), meta)
    assert head(encoder(torch.zeros(2, 1, 8, 8))).shape == (2, 3)


@pytest.fixture
def settings(model_settings):
    return model_settings(
        method="simclr", threads=1, epochs=3, augment=SHIFT, optimizer="adam", lr=0.003
    )


def test_learns_to_find_the_other_view_without_labels(settings, meta, toy_images, watcher):
    one, other = toy_images(60), toy_images(60)
    other.labels[:] = 0
    found = [
        fit(build_method(settings, meta), images, images, seed=0, watcher=watcher)
        for images in (one, other)
    ]
    (classifier, curve), (blind, same) = found
    assert curve[-1].train_loss < curve[0].train_loss < math.log(31)
    assert curve[-1].validation_accuracy > 3 / 119  # three times the share by chance
    assert [row.train_loss for row in curve] == [row.train_loss for row in same]
    for name, tensor in classifier.network.state_dict().items():
        assert torch.equal(tensor, blind.network.state_dict()[name])


def test_its_curve_is_of_views_that_stay_the_same(settings, meta, toy_images):
    training = Training(build_method(settings, meta), toy_images(30), None, seed=0)
    before = torch.get_rng_state(), training.streams.augment.get_state()
    one, two = (training.method.validate(training.network, toy_images(30)) for _ in range(2))
    assert one == two and training.network.training
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(training.streams.augment.get_state(), before[1])


def test_an_encoder_on_disk_gives_features(settings, meta, toy_images, watcher, tmp_path):
    images = toy_images(30)
    classifier, _ = fit(build_method(settings, meta), images, None, seed=0, watcher=watcher)
    save_weights(tmp_path / "e.safetensors", classifier, settings, key="k")
    loaded = load_weights(tmp_path / "e.safetensors", CPU)
    features = loaded.logits(images)
    assert features.shape == (30, 100)
    np.testing.assert_array_equal(features, classifier.logits(images))


def test_learns_from_all_but_the_fold_that_validates_or_from_unlabelled_images(
    model_settings, meta
):
    images = np.arange(12, dtype=np.uint8).repeat(64).reshape(12, 1, 8, 8)
    fold = np.arange(12, dtype=np.int16) % 3
    split = Split(images, np.zeros(12, np.int64), meta, fold)
    rotating = model_settings().model_copy(update={"rotate": True})
    learned, judged = pretraining_images(split, rotating, 4, CPU)
    assert judged.images[:, 0, 0, 0].tolist() == [1, 4, 7, 10]  # fold 4 mod 3
    assert learned.images[:, 0, 0, 0].tolist() == [0, 2, 3, 5, 6, 8, 9, 11]
    more = Split(images, split.labels, meta, fold, unlabelled=images[:5] + 100)
    learned, judged = pretraining_images(more, rotating, 4, CPU)
    assert learned.images[:, 0, 0, 0].tolist() == [100, 101, 102, 103, 104] and len(learned) == 5
    assert len(judged) == 4
    alone = Split(images, split.labels, meta, np.arange(12) > 0)
    with pytest.raises(ValueError, match="the fold that validates has 1: lower split.folds"):
        pretraining_images(alone, rotating, 0, CPU)
