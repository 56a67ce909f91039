"""The training loop: repeatable to the bit, fair to every image, and honest about failure."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from thumbnets.methods.base import build_method, evaluate
from thumbnets.registry import AUGMENTATIONS
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.loop import Best, Training, fit
from thumbnets.training.schedules import Schedule
from thumbnets.training.settings import EarlyStopping

CPU = torch.device("cpu")
ALL = {  # everything that draws random numbers
    "init": "he",
    "augment": ["flip", {"name": "shift", "pixels": 1}],
    "epochs": 2,
}


@pytest.fixture
def train(model_settings, toy_images, meta, watcher):
    """Trains on toy images; returns classifier and curve."""

    def run(arch: str = "lenet_300_100", options=None, seed: int = 0, n: int = 60, **changes):
        settings = model_settings(arch, options, **changes)
        return fit(
            build_method(settings, meta),
            toy_images(n),
            toy_images(30, 1),
            seed=seed,
            watcher=watcher,
        )

    return run


def bits(classifier) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in classifier.network.state_dict().items()}


def test_the_same_seed_gives_the_same_bits(train):
    (one, curve), (same, again) = (train("cnn_c", {"dropout": 0.3}, **ALL) for _ in range(2))
    assert bits(one) == bits(same) and curve == again
    assert curve[0] != curve[1]


@pytest.mark.parametrize(
    ("arch", "options", "changes"),
    [
        ("lenet_300_100", {}, {"epochs": 1}),  # order and default weights
        ("mlp4", {"dropout": 0.5}, {"init": "he", "epochs": 1}),
    ],
)
def test_another_seed_gives_other_weights(train, arch, options, changes):
    assert bits(train(arch, options, 0, **changes)[0]) != bits(
        train(arch, options, 1, **changes)[0]
    )


def test_the_state_of_other_generators_does_not_matter(train):
    torch.manual_seed(1)
    np.random.seed(1)
    one = bits(train("mlp4", {"dropout": 0.3}, **ALL)[0])
    torch.manual_seed(2)
    torch.rand(5), np.random.seed(2)
    assert bits(train("mlp4", {"dropout": 0.3}, **ALL)[0]) == one


def test_streams_of_a_seed_are_independent():
    def draws(seed: int) -> list[float]:
        streams = RandomStreams.of(seed, CPU, 2)
        torches = [torch.rand(1, generator=g) for g in (streams.init, streams.order)]
        torches += [torch.rand(1, generator=streams.augment), torch.rand(1)]
        return [t.item() for t in torches] + [float(random.random()) for random in streams.dropout]

    assert draws(3) == draws(3)
    assert len({*draws(3), *draws(4)}) == 12  # of nearby seeds too


@pytest.mark.parametrize("stream", ["init", "order", "augment", "dropout"])
def test_every_stream_is_used(train, monkeypatch, stream):
    settings = {"epochs": 1, "init": "he", "augment": ["flip"]}
    before = bits(train("mlp4", {"dropout": 0.5}, **settings)[0])
    of, other = RandomStreams.of, getattr(RandomStreams.of(99, CPU, 2), stream)
    monkeypatch.setattr(RandomStreams, "of", lambda *given: replace(of(*given), **{stream: other}))
    assert bits(train("mlp4", {"dropout": 0.5}, **settings)[0]) != before


def test_toy_images_are_learned(train):
    classifier, curve = train(epochs=5)
    assert curve[-1].validation_accuracy > 0.95 and curve[-1].train_accuracy > 0.95
    assert curve[-1].train_loss < curve[0].train_loss
    assert not classifier.network.state_dict()["1.weight"].isnan().any()


def test_the_curve_has_a_row_an_epoch_and_its_validation_is_that_of_the_weights(train, toy_images):
    classifier, curve = train(
        epochs=3, schedule={"name": "step", "every": 1, "gamma": 0.5}, lr=0.04
    )
    assert [row.epoch for row in curve] == [1, 2, 3]
    assert [row.lr for row in curve] == pytest.approx([0.04, 0.02, 0.01])
    last = curve[-1]
    assert evaluate(classifier, toy_images(30, 1))[:2] == (
        last.validation_loss,
        last.validation_accuracy,
    )


def test_evaluate_is_mean_cross_entropy_and_accuracy(train, toy_images):
    classifier, _ = train(epochs=1)
    data = toy_images(30, 2)
    logits = classifier.logits(data.images).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    of_label = p[np.arange(30), data.labels]
    loss, accuracy, _ = evaluate(classifier, data)
    assert loss == pytest.approx(-np.log(of_label).mean(), rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(1) == data.labels.numpy()).mean())


def test_the_first_training_loss_is_of_the_batches_as_trained_on(train):
    """With a learning rate near 0 the loss of an epoch is that of the first weights."""
    _, curve = train(epochs=1, lr=1e-12, momentum=0.0)
    assert curve[0].train_loss == pytest.approx(math.log(3), abs=0.3)
    _, smoothed = train(epochs=1, lr=1e-12, momentum=0.0, label_smoothing=0.5)
    assert smoothed[0].train_loss != curve[0].train_loss
    assert smoothed[0].validation_loss == curve[0].validation_loss  # plain cross-entropy


def test_the_watcher_is_told_of_every_batch_and_epoch(train, watcher):
    _, curve = train(epochs=3, n=50, batch_size=16)  # 16, 16, 16, 2
    assert watcher.started == [(3, 4)]
    assert watcher.batches == 12
    assert watcher.epochs == curve


@pytest.mark.parametrize(
    ("n", "size", "batches"), [(48, 16, 3), (49, 16, 3), (50, 16, 4), (5, 16, 1), (33, 2, 16)]
)
def test_a_last_batch_of_one_image_is_left_out(toy_images, train_settings, meta, n, size, batches):
    settings = train_settings(batch_size=size)
    loader = Batches(toy_images(n), settings, meta, RandomStreams.of(0, CPU))
    lengths = [len(labels) for _, labels in loader.run(loader.shuffled(), 1)]
    assert len(loader) == len(lengths) == batches
    assert sum(lengths) == loader.seen == (n - 1 if n % size == 1 else n) and min(lengths) > 1


def test_batch_norm_trains_with_a_rest_of_one_image(train):
    assert len(train("cnn_a", n=49, batch_size=16, epochs=1)[1]) == 1


def numbered(n: int) -> Images:
    """Images whose pixels all hold the label."""
    labels = torch.arange(n)
    return Images(labels.to(torch.uint8)[:, None, None, None].repeat(1, 1, 8, 8), labels)


def test_every_epoch_has_every_image_once_in_a_new_order(meta, train_settings):
    plain = replace(meta, mean=[0.0], std=[1 / 255])  # images come out as they went in
    loader = Batches(numbered(50), train_settings(), plain, RandomStreams.of(0, CPU))
    orders = []
    for number in (1, 2):
        seen = list(loader.run(loader.shuffled(), number))
        for images, labels in seen:
            assert images.dtype == torch.float32
            assert torch.equal(images[:, 0, 3, 5].round().long(), labels)
        orders.append(torch.cat([labels for _, labels in seen]))
        assert torch.equal(orders[-1].sort().values, torch.arange(50))
    assert not torch.equal(*orders)
    assert not torch.equal(orders[0], torch.arange(50))


def test_augmentation_does_not_change_the_order_of_images(meta, train_settings):
    def labels(augment: list) -> torch.Tensor:
        loader = Batches(
            numbered(50), train_settings(augment=augment), meta, RandomStreams.of(0, CPU)
        )
        epochs = [loader.run(loader.shuffled(), number) for number in (1, 2)]
        return torch.cat([batch for epoch in epochs for _, batch in epoch])

    assert torch.equal(labels([]), labels(["flip", "rotation"]))


def test_augmentation_is_told_the_epoch_and_which_images_these_are(meta, train_settings):
    """An image that has its mark on the left in one epoch has it on the right in the next."""
    data = numbered(50)
    data.images[..., 1:].zero_()
    settings = train_settings(augment=["alternating_flip"])
    loader = Batches(data, settings, replace(meta, mean=[0.0], std=[1.0]), RandomStreams.of(0, CPU))
    on_the_left = torch.zeros(4, 50, dtype=torch.bool)
    for number in range(1, 5):
        for images, labels in loader.run(loader.shuffled(), number):
            on_the_left[number - 1, labels] = images[:, 0, 0, 0] > 0
    assert torch.equal(on_the_left[0, 1:], ~on_the_left[1, 1:])  # the mark of image 0 is black
    assert torch.equal(on_the_left[:2], on_the_left[2:])
    assert 10 < on_the_left[0].sum() < 40


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixed_batches_come_with_shares_of_their_labels(meta, train_settings, mix):
    plain = replace(meta, mean=[0.0], std=[1 / 255], classes=[str(k) for k in range(50)])
    loader = Batches(numbered(50), train_settings(mix=mix), plain, RandomStreams.of(0, CPU))
    for images, targets in loader.run(loader.shuffled(), 1):
        assert targets.shape == (len(images), 50)
        expected = (targets * torch.arange(50)).sum(1)  # whose pixels are the number
        assert images.mean((1, 2, 3)).numpy() == pytest.approx(expected.numpy(), abs=1e-4)


def test_mixed_batches_teach(train):
    classifier, curve = train(epochs=8, mix="mixup", label_smoothing=0.1)
    assert curve[-1].validation_accuracy > 0.95
    again, same = train(epochs=8, mix="mixup", label_smoothing=0.1)
    assert bits(again) == bits(classifier) and same == curve


def test_accuracy_under_mixing_is_that_of_the_heavier_label(model_settings, toy_images, meta):
    data = toy_images(3)
    training = Training(build_method(model_settings(), meta), data, data, seed=0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 3))
    network[1].weight.data, network[1].bias.data = torch.eye(3), torch.zeros(3)
    images = torch.eye(3)[:, None, None]  # logits are the pixels
    targets = torch.tensor([[0.6, 0.4, 0.0], [0.7, 0.3, 0.0], [0.0, 0.2, 0.8]])
    loss, right = training.method.loss(network, images, targets)
    assert right == 2
    log_probabilities = torch.log_softmax(torch.eye(3), 1)
    assert loss.item() == pytest.approx(-(targets * log_probabilities).sum(1).mean().item())


def test_training_leaves_the_images_alone(model_settings, toy_images, meta, watcher):
    data = toy_images(40)
    before = data.images.clone()
    choices = list(AUGMENTATIONS.entries)
    fit(
        build_method(model_settings(augment=choices, mix="cutmix"), meta),
        data,
        data,
        seed=0,
        watcher=watcher,
    )
    assert torch.equal(data.images, before)


def test_validation_images_do_not_teach(model_settings, toy_images, meta, watcher):
    settings = model_settings("cnn_a")
    one, two = (
        fit(build_method(settings, meta), toy_images(40), validation, seed=0, watcher=watcher)[0]
        for validation in (toy_images(30, 1), toy_images(9, 2))
    )
    assert bits(one) == bits(two)  # running statistics included


# Early stopping.


def test_best_waits_so_many_epochs_and_keeps_the_weights():
    layer = torch.nn.Linear(1, 1)
    best = Best.of(EarlyStopping(patience=2))
    stops = []
    for epoch, loss in enumerate([1.0, 0.5, 0.6, 0.4, 0.4, 0.45]):
        layer.weight.data.fill_(float(epoch))
        stops.append(best.should_stop(loss, layer))
    assert stops == [False, False, False, False, False, True]
    assert best.weights["weight"].item() == 3.0 and best.least == 0.4
    assert Best.of(None) is None


def test_stopping_early_keeps_the_best_epoch(model_settings, toy_images, meta, watcher):
    data, validation = toy_images(30), toy_images(30, 1)
    wrong = Images(data.images, (data.labels + 1) % 3)  # whatever is learned makes it worse
    settings = model_settings(epochs=30, lr=0.01, early_stopping={"patience": 3})
    classifier, curve = fit(
        build_method(settings, meta), wrong, validation, seed=0, watcher=watcher
    )
    losses = [row.validation_loss for row in curve]
    best = int(np.argmin(losses))
    assert len(curve) == best + 1 + 3 < 30
    assert losses[-1] > losses[best]
    assert evaluate(classifier, validation)[0] == losses[best]


def test_stopping_early_by_macro_f1_keeps_its_best_epoch(model_settings, toy_images, meta, watcher):
    """Here the loss is at its least when two classes are guessed right, the macro F1 later."""
    validation = toy_images(30, 1)
    rare = torch.cat([torch.arange(0, 60, 3), torch.arange(1, 60, 3), torch.tensor([2])])
    train = Images(toy_images(60).images[rare], toy_images(60).labels[rare])
    stopping = {"patience": 4, "metric": "macro_f1"}
    settings = model_settings(epochs=25, lr=0.02, early_stopping=stopping)
    classifier, curve = fit(
        build_method(settings, meta), train, validation, seed=0, watcher=watcher
    )
    scores = [row.validation_macro_f1 for row in curve]
    best = int(np.argmax(scores))
    assert len(curve) == best + 1 + 4 < 25
    predicted = classifier.logits(validation).argmax(1)
    labels = validation.labels.numpy()
    expected = f1_score(labels, predicted, average="macro", labels=[0, 1, 2], zero_division=0)
    assert scores[best] == evaluate(classifier, validation).macro_f1 == pytest.approx(expected)
    assert curve[best].as_row()["validation_macro_f1"] == scores[best]
    assert best != int(np.argmin([row.validation_loss for row in curve]))


def test_without_early_stopping_the_last_epoch_counts(model_settings, toy_images, meta, watcher):
    data, validation = toy_images(30), toy_images(30, 1)
    wrong = Images(data.images, (data.labels + 1) % 3)
    classifier, curve = fit(
        build_method(model_settings(epochs=5), meta), wrong, validation, seed=0, watcher=watcher
    )
    assert len(curve) == 5 and curve[-1].validation_loss > curve[0].validation_loss
    assert evaluate(classifier, validation)[0] == curve[-1].validation_loss


def test_the_plateau_schedule_is_told_the_validation_loss(train, monkeypatch):
    told = []
    after_epoch = Schedule.after_epoch

    def listen(self, loss):
        told.append(loss)
        after_epoch(self, loss)

    monkeypatch.setattr(Schedule, "after_epoch", listen)
    _, curve = train(schedule="plateau")
    assert told == [row.validation_loss for row in curve]


# Failure.


def test_a_diverging_training_is_one_clear_line(train):
    with pytest.raises(ValueError) as caught:
        train(lr=1e12, seed=3)
    message = str(caught.value)
    assert re.match(r"toy, seed 3: the loss is no longer finite at step \d of epoch 1 \(", message)
    assert "(learning rate 1e+12). Try a smaller lr" in message and "\n" not in message


def test_a_network_that_does_not_fit_is_refused_before_training(train, watcher):
    with pytest.raises(ValueError, match="tiny_cnn needs images of at least 18 pixels, got 8"):
        train("tiny_cnn")
    assert not watcher.started


def test_curve_rows_are_plain_numbers(train):
    for row in train()[1]:
        assert {type(value) for value in row.as_row().values()} <= {int, float}
