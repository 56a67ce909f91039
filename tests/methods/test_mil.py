"""Multiple-instance learning: which bags each part has, what is learned, kept and refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from thumbnets.data.bags import Bags
from thumbnets.evaluation.metrics import area_under_curve
from thumbnets.evaluation.views import VIEWS, predict, transformed
from thumbnets.methods.base import build_method
from thumbnets.methods.weights import load_weights, save_weights
from thumbnets.training.batches import RandomStreams
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.loop import fit

POOLINGS = ["attention", "gated_attention", "mean", "max", "instance_mean", "instance_max"]
CPU = torch.device("cpu")


@pytest.fixture
def settings_of(model_settings):
    """Makes a block that learns whether a bag of 3 to 5 toy images has one of class 2."""

    def make(arch: str = "lenet_300_100", options: dict | None = None, **train):
        changes = train.pop("method", {})
        method = {"name": "mil", "target": 2, "mean": 4, "spread": 1, "train_bags": 40}
        method |= {"validation_bags": 30, "test_bags": 50, "width": 8, **changes}
        return model_settings(arch, options, method=method, **{"lr": 0.02, **train})

    return make


@pytest.fixture
def trained(settings_of, toy_images, meta, watcher):
    """Trains such a block; returns the classifier, its curve and its validation bags."""

    def train(seed: int = 0, checkpoint: Checkpoint | None = None, watcher=watcher, **changes):
        settings = settings_of(**changes)
        method = build_method(settings, meta)
        bags = method.build_examples(toy_images(60), "train", seed)
        judged = method.build_examples(toy_images(30, 1), "validation", seed)
        classifier, curve = fit(
            settings,
            bags,
            judged,
            method.example_meta,
            seed=seed,
            watcher=watcher,
            checkpoint=checkpoint,
        )
        return classifier, curve, judged

    return train


def bits(classifier) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in classifier.network.state_dict().items()}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_learns(trained, pooling):
    classifier, curve, judged = trained(method={"pooling": pooling}, epochs=15)
    logits = classifier.logits(judged)
    assert logits.shape == (30, 2) and classifier.meta.classes == ["without right", "with right"]
    assert area_under_curve(logits[:, 1], judged.labels.numpy()) > 0.95
    assert curve[-1].validation_accuracy == pytest.approx(
        (logits.argmax(1) == judged.labels.numpy()).mean()
    )
    assert curve[-1].train_loss < curve[0].train_loss


def test_labels_say_whether_a_bag_has_the_target(settings_of, toy_images, meta):
    images = toy_images(60)
    bags = build_method(settings_of(), meta).examples(images, "test")
    assert len(bags) == 50
    for bag, label, one in zip(
        bags.rows.split(bags.sizes.tolist()), bags.labels, bags.split(1), strict=True
    ):
        assert label == (images.labels[bag] == 2).any()
        assert torch.equal(one.images, images.images[bag]) and one.sizes.tolist() == [len(bag)]


def test_the_seed_of_a_run_draws_its_training_bags_alone(settings_of, toy_images, meta):
    images, method = toy_images(60), build_method(settings_of(), meta)

    def rows(part: str, run: int, **changes) -> list[int]:
        made = build_method(settings_of(method=changes), meta) if changes else method
        return made.examples(images, part, run).rows.tolist()

    assert rows("train", 0) != rows("train", 1) == rows("train", 0, seed=2)
    assert rows("validation", 0) == rows("validation", 1) != rows("validation", 0, seed=2)
    assert rows("test", 0) == rows("test", 1)
    expected = np.random.RandomState(1)
    first = max(1, int(expected.normal(4, 1)))
    assert rows("train", 0)[:first] == expected.randint(0, 60, first).tolist()


def test_bags_are_taken_in_any_order(settings_of, toy_images, meta):
    bags = build_method(settings_of(), meta).examples(toy_images(60), "train")
    index = torch.tensor([7, 3, 7])
    taken, alone = bags.take(index), list(bags.split(1))
    assert torch.equal(taken.images, torch.cat([alone[i].images for i in index]))
    assert taken.sizes.tolist() == [int(bags.sizes[i]) for i in index]


def test_pictures_are_squares_of_the_images(settings_of, toy_images, meta):
    bags = build_method(settings_of(), meta).examples(toy_images(60), "train")
    sizes = bags.sizes.tolist()
    large, small = sizes.index(max(sizes)), sizes.index(min(sizes))
    found = bags.pictures(np.array([large, small]))
    side = int(np.ceil(np.sqrt(sizes[large])))
    assert found.shape == (2, 1, 8 * side, 8 * side) and found.dtype == np.uint8
    for picture, number in zip(found, (large, small), strict=True):
        tiles = picture[0].reshape(side, 8, side, 8).swapaxes(1, 2).reshape(-1, 1, 8, 8)
        images = bags.take(torch.tensor([number])).images.numpy()
        np.testing.assert_array_equal(tiles[: len(images)], images)
        assert not tiles[len(images) :].any()
    assert bags.pictures(np.array([], int)).shape[:2] == (0, 1)


def test_batches_hold_whole_bags_augmented_image_by_image(settings_of, toy_images, meta):
    settings = settings_of(augment=[{"name": "flip", "p": 0.5}])
    method, streams = build_method(settings, meta), RandomStreams.of(0, CPU)
    train = method.build_examples(toy_images(60), "train")
    batches = method.batches(train, streams)
    order = batches.shuffled()
    seen, flipped = 0, 0
    for (bags, labels), index in zip(batches.run(order, 1), order.split(16), strict=True):
        assert isinstance(bags, Bags) and torch.equal(labels, train.labels[index])
        plain = (train.take(index).images / 255 - meta.mean[0]) / meta.std[0]
        same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(bags.images, plain, strict=True)]
        mirrored = [
            torch.allclose(a, b.flip(2), atol=1e-5) for a, b in zip(bags.images, plain, strict=True)
        ]
        assert all(a or b for a, b in zip(same, mirrored, strict=True))
        seen, flipped = seen + len(bags), flipped + sum(mirrored)
    assert seen == batches.seen == 40 and 0.3 < flipped / len(train.rows) < 0.7
    assert sum(len(bags) for bags in batches.plain()) == 40


def test_predictions_do_not_depend_on_how_bags_are_batched(trained):
    classifier, _, judged = trained()
    whole, small = classifier.logits(judged), classifier.logits(judged, batch_size=5)
    np.testing.assert_allclose(whole, small, atol=1e-5)
    seen = predict(classifier, judged, VIEWS)
    np.testing.assert_array_equal(seen["none"], whole)
    mirrored = Bags(transformed(judged.take(torch.arange(30)).images, True, 0, 0), judged.sizes)
    both = np.stack([whole, classifier.logits(mirrored)])
    probability = torch.from_numpy(both).softmax(2).mean(0).numpy()
    np.testing.assert_allclose(np.exp(seen["flip"]), probability, atol=1e-5)


def test_the_same_seed_gives_the_same_bits_and_threads_share_bags(trained):
    one, again, other = (bits(trained(seed=seed)[0]) for seed in (0, 0, 1))
    assert one == again != other
    alone = trained(threads=1)[0].network.state_dict()
    for name, tensor in trained(threads=2)[0].network.state_dict().items():
        torch.testing.assert_close(tensor, alone[name], atol=1e-4, rtol=1e-3)


class Killed(Exception):
    """Stands for kill -9."""


class Killer:
    """A watcher that ends a run in the batch of that number."""

    def __init__(self, last: int) -> None:
        self.last = last

    def start(self, epochs: int, steps: int, done: int) -> None:
        self.done = done

    def batch(self) -> None:
        self.done += 1
        if self.done == self.last:
            raise Killed

    def epoch(self, row) -> None: ...


@pytest.mark.parametrize("average", [None, "ema", "swa"])
def test_killed_and_resumed_it_ends_with_the_same_bits(trained, tmp_path, average):
    how = {"arch": "resnet20" if average == "swa" else "mlp4", "average": average}
    how |= {"augment": ["shift", "alternating_flip"], "epochs": 3}
    through, curve, _ = trained(**how)
    checkpoint = Checkpoint(tmp_path / "0.pt", "key", every=0)
    for batch in (2, 4, 5, 9):
        with pytest.raises(Killed):
            trained(checkpoint=checkpoint, watcher=Killer(batch), **how)
    resumed, curve_again, _ = trained(checkpoint=checkpoint, **how)
    assert bits(resumed) == bits(through) and curve_again == curve


def test_weights_that_were_kept_predict_the_same(trained, settings_of, tmp_path, toy_images):
    classifier, _, judged = trained(method={"pooling": "gated_attention"})
    settings = settings_of(method={"pooling": "gated_attention"})
    save_weights(tmp_path / "0.safetensors", classifier, settings)
    loaded = load_weights(tmp_path / "0.safetensors", CPU)
    np.testing.assert_array_equal(loaded.logits(judged), classifier.logits(judged))
    images = toy_images(5).images  # single images are bags of one
    assert loaded.logits(images).shape == (5, 2)


def test_the_report_gets_the_attention_and_some_bags_positive_ones_first(trained, settings_of):
    classifier, _, judged = trained(epochs=10)
    method = build_method(settings_of(), classifier.meta)
    found = method.report_arrays(classifier, judged)
    assert found["bag_attention"].shape == found["bag_hits"].shape == judged.rows.shape
    bags = np.split(found["bag_attention"], np.cumsum(found["bag_sizes"])[:-1])
    np.testing.assert_allclose([bag.sum() for bag in bags], 1, rtol=1e-5)
    labels = judged.labels[found["bag_shown"]].tolist()
    assert labels == [1] * 6 + [0] * 3
    assert len(found["bag_images"]) == found["bag_sizes"][found["bag_shown"]].sum()
    without, _, judged = trained(method={"pooling": "max"})
    assert method.report_arrays(without, judged) == {}


def test_class_weights_and_bf16_are_of_bags(trained, settings_of, toy_images, meta):
    method = build_method(settings_of(class_weights="balanced"), meta)
    train = method.build_examples(toy_images(60), "train")
    method = build_method(settings_of(class_weights="balanced"), method.example_meta)
    method.batches(train, RandomStreams.of(0, CPU))
    positive = train.labels.float().mean()
    expected = torch.stack([0.5 / (1 - positive), 0.5 / positive])
    torch.testing.assert_close(method.class_weights, expected)
    _, curve, _ = trained(class_weights="balanced", precision="bf16", epochs=5)
    assert curve[-1].train_loss < curve[0].train_loss


@pytest.mark.parametrize("mode", ["permute", "shared"])
def test_images_of_a_bag_may_be_read_as_patches(trained, mode):
    trained(patches={"size": 4, "mode": mode}, epochs=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": {"target": 3}}, "toy, train bags: .* class 3 and of others, but 0 of 60"),
        ({"method": {"mean": 100}}, r"toy, train bags: 40 of 40 bags are positive"),
    ],
)
def test_refused(trained, changes, message):
    with pytest.raises(ValueError, match=message):
        trained(**changes)


def test_a_target_that_is_no_class_is_refused(settings_of, meta):
    with pytest.raises(ValueError, match="target must be the number of a class, 0 to 2, got 3"):
        _ = build_method(settings_of(method={"target": 3}), meta).example_meta


def test_a_network_without_a_linear_head_is_refused(settings_of, meta):
    method = build_method(settings_of("tiny_cnn"), replace(meta, image_size=28))
    with pytest.raises(ValueError, match="models.toy: the network must end in a linear layer"):
        method.network()


def test_images_without_the_target_are_refused(settings_of, toy_images, meta):
    images = toy_images(60)
    images.labels[images.labels == 2] = 0
    with pytest.raises(ValueError, match="models.toy, test bags: bags need images of the target"):
        build_method(settings_of(), meta).examples(images, "test")


def test_a_mix_of_bags_is_refused(settings_of):
    with pytest.raises(ValueError, match="mix must be null for method: mil"):
        settings_of(mix="mixup")
