"""Distillation: the teacher's targets belong to the image and the view that the student sees."""

import numpy as np
import pytest
import torch

from thumbnets.artifacts import write_arrays
from thumbnets.data.arrays import Split
from thumbnets.data.views import VIEWS, transformed
from thumbnets.methods.base import build_method
from thumbnets.training.batches import Images, RandomStreams
from thumbnets.training.loop import fit

N, CPU = 24, torch.device("cpu")


@pytest.fixture
def split(toy_images, meta) -> Split:
    """Images of which no two are alike, in any view."""
    toy = toy_images(N)
    return Split(toy.images.numpy(), toy.labels.numpy(), meta)


@pytest.fixture
def teacher(tmp_path, meta):
    """Writes a teacher with a probability of its own for each view and image."""
    path = tmp_path / "teacher.npz"

    def write(views: str = "flip_shift", n: int = N, **changes) -> np.ndarray:
        rng = np.random.default_rng(0)
        p = rng.dirichlet(np.ones(3), (len(VIEWS[views]), n))
        arrays = {
            "log_probabilities": np.log(p).astype(np.float32),
            "views": np.array(views),
            "classes": np.array(meta.classes),
            "sha256": np.array(meta.sha256),
        }
        write_arrays(path, **{**arrays, **changes})
        return p

    write.path = path
    return write


@pytest.fixture
def method_of(model_settings, meta, teacher):
    """Makes the method with some options, of a block with some settings."""

    def make(train: dict | None = None, **options):
        choice = {"name": "distill", "teacher": str(teacher.path), **options}
        return build_method(model_settings(method=choice, **(train or {})), meta)

    return make


def rows_of(batches, streams, method, split, views: str):
    """View and image behind each row of a batch, found by looking through all of them."""
    mean, std = batches.mean, batches.std
    images = torch.from_numpy(split.images)
    seen = {}
    for v, how in enumerate(VIEWS[views]):
        for i, image in enumerate(transformed(images, *how)):
            seen[image.numpy().tobytes()] = v, i
    for pixels, targets in batches.run(batches.shuffled(), 1):
        raw = ((pixels * std[:, None, None] + mean[:, None, None]) * 255).round().byte()
        yield [seen[image.numpy().tobytes()] for image in raw], targets


@pytest.mark.parametrize("views", ["none", "flip", "flip_shift"])
@pytest.mark.parametrize("chosen", [None, np.arange(N) % 2 == 1])
def test_targets_are_of_the_view_and_image_that_are_seen(split, teacher, method_of, views, chosen):
    p = teacher(views)
    method, streams = method_of(), RandomStreams.of(0, CPU)
    batches = method.batches(Images.of(split, CPU, chosen), streams)
    found = []
    for rows, targets in rows_of(batches, streams, method, split, views):
        expected = [p[v, i] for v, i in rows]
        np.testing.assert_allclose(targets, expected, rtol=1e-5)
        found += rows
    every = np.arange(N) if chosen is None else np.flatnonzero(chosen)
    assert sorted(i for _, i in found) == every.tolist()  # each image once an epoch
    assert len({v for v, _ in found}) > len(VIEWS[views]) // 2


def test_temperature_and_share_shape_the_target(split, teacher, method_of):
    p = teacher("none")
    method = method_of(temperature=2.0, share=0.75)
    batches = method.batches(Images.of(split, CPU), RandomStreams.of(0, CPU))
    soft = p[0] ** 0.5  # the teacher's logits halved
    soft /= soft.sum(1, keepdims=True)
    expected = 0.75 * soft + 0.25 * np.eye(3)[split.labels]
    np.testing.assert_allclose(batches.targets[0], expected, rtol=1e-5)


def test_the_loss_by_hand(method_of):
    """T² times the cross-entropy of logits / T."""
    logits = torch.tensor([[2.0, 0.0, -2.0], [0.0, 0.0, 0.0]])
    targets = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6]])
    loss, right = method_of(temperature=2.0).loss(torch.nn.Identity(), logits, targets)
    first = -0.5 * (1 + 0) + np.log(np.e + 1 + 1 / np.e)
    assert loss == pytest.approx(4 * (first + np.log(3)) / 2, rel=1e-6)
    assert right == 1


def test_a_student_of_the_labels_alone_learns_as_supervised_does(
    split, teacher, method_of, model_settings, meta, watcher
):
    """Share 0, one view: the same targets in the same order, so the same but for rounding."""
    teacher("none")
    data, weights = Images.of(split, CPU), []
    for settings in (method_of(share=0.0).settings, model_settings()):
        classifier, _ = fit(build_method(settings, meta), data, data, seed=0, watcher=watcher)
        weights.append(classifier.network.state_dict())
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=1e-4, atol=1e-5)


def test_a_student_takes_up_what_only_the_teacher_knows(split, teacher, method_of, meta, watcher):
    wrong = np.log(np.full((1, N, 3), 0.01) + 0.97 * np.eye(3)[(split.labels + 1) % 3])
    teacher("none", log_probabilities=wrong.astype(np.float32))
    data = Images.of(split, CPU)
    settings = method_of({"epochs": 40}).settings
    classifier, _ = fit(build_method(settings, meta), data, None, seed=0, watcher=watcher)
    assert (classifier.logits(data.images).argmax(1) == (split.labels + 1) % 3).all()


def test_a_teacher_of_other_images_is_refused(split, teacher, method_of):
    teacher("none", sha256=np.array("1" * 64), classes=np.array(["cat", "dog"]))
    with pytest.raises(ValueError, match=r"other images, of classes cat, dog: name one for toy"):
        method_of().batches(Images.of(split, CPU), RandomStreams.of(0, CPU))


@pytest.mark.parametrize("content", [b"", b"hello", "npy", "npz", "cut"])
def test_what_is_no_teacher_is_refused(split, teacher, method_of, content):
    method = method_of()
    method.teacher.parent.mkdir(exist_ok=True)
    if content == "cut":
        teacher("none")
        method.teacher.write_bytes(method.teacher.read_bytes()[:-9])
    elif isinstance(content, str):
        with method.teacher.open("wb") as file:
            {"npy": np.save, "npz": np.savez}[content](file, np.zeros(3))
    else:
        method.teacher.write_bytes(content)
    with pytest.raises(ValueError, match=r"teacher.npz is no teacher, .* name one that "):
        method.batches(Images.of(split, CPU), RandomStreams.of(0, CPU))


@pytest.mark.parametrize(("key", "value"), [("augment", ["flip"]), ("mix", "mixup")])
def test_what_would_change_the_view_is_refused(model_settings, key, value):
    with pytest.raises(ValueError, match=f"{key} must be (null|\\[\\]) for method: distill"):
        model_settings(method="distill", **{key: value})
