"""`thumbnets.fit`: scikit-learn's rules, the engine's numbers, and what is refused."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import thumbnets
from thumbnets.estimator import DEFAULTS, NetworkClassifier

QUICK = {"arch": "lenet_300_100", "settings": {"lr": 0.05, "augment": [], "batch_size": 16}}


class OfRows(NetworkClassifier):
    """Takes rows of any length, as scikit-learn's checks have them: pixels of a square."""

    def _images(self, values):
        if values.ndim == 2:
            missing = int(np.ceil(values.shape[1] ** 0.5)) ** 2 - values.shape[1]
            values = np.pad(values, ((0, 0), (0, missing)), mode="edge")
        return super()._images(values)


@parametrize_with_checks([OfRows(epochs=8, **QUICK)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


def test_digits_are_learnt_and_the_same_seed_gives_the_same_bits(digits):
    images, labels = digits[0][:1000], digits[1][:1000]
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "8", "9"])
    a, b = (thumbnets.fit(images, names[labels], epochs=4, seed=3, **flat()) for _ in range(2))
    assert a.score(digits[0][1000:], names[digits[1][1000:]]) > 0.9
    assert list(a.classes_) == sorted(names)
    probabilities = a.predict_proba(images[:5])
    assert (probabilities == b.predict_proba(images[:5])).all()
    assert (a.classes_[probabilities.argmax(1)] == a.predict(images[:5])).all()
    again = pickle.loads(pickle.dumps(a))
    assert (again.predict_proba(images[:5]) == probabilities).all()


def flat() -> dict:
    return {"arch": "lenet_300_100", "batch_size": 32, "augment": []}


def test_rows_and_pictures_are_the_same_images(digits):
    images, labels = (digits[0][:200] * 15).astype(np.uint8), digits[1][:200]
    by_rows = thumbnets.fit(images, labels, epochs=1, **flat())
    pictures = images.reshape(-1, 8, 8)
    by_pictures = thumbnets.fit(pictures, labels, epochs=1, **flat())
    assert (by_rows.predict_proba(images) == by_pictures.predict_proba(pictures)).all()


def test_colours_are_the_last_axis():
    images = np.zeros((20, 8, 8, 3), np.uint8)
    images[::2, ..., 0], images[1::2, ..., 2] = 200, 200
    labels = np.array(["red", "blue"] * 10)
    network = thumbnets.fit(images, labels, epochs=3, **flat())
    assert network.score(images, labels) == 1
    assert network.classifier_.meta.channels == 3
    # Channels may also come first, as `thumbnets.data.load` returns them.
    first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    same = thumbnets.fit(first, labels, epochs=3, **flat())
    assert (same.predict_proba(first) == network.predict_proba(images)).all()
    for other in (images[..., 0], images.reshape(20, -1)):
        with pytest.raises(ValueError, match=r"of the shape \[8, 8, 3\] as in training, got"):
            network.predict(other)


def test_numbers_of_numpy_are_numbers(digits):
    images, labels = digits[0][:60], digits[1][:60]
    plain = {"epochs": 1, "lr": 0.125, "class_weights": [1.0] * 10}
    numpy = {"epochs": np.int64(1), "lr": np.float32(0.125), "class_weights": np.ones(10)}
    one, other = (thumbnets.fit(images, labels, arch="mlp4", **of) for of in (plain, numpy))
    assert (one.predict_proba(images) == other.predict_proba(images)).all()


def test_cross_validation_and_clones(digits):
    network = NetworkClassifier(**QUICK, epochs=1)
    assert clone(network).get_params() == network.get_params()
    assert cross_val_score(network, digits[0][:300], digits[1][:300], cv=2).shape == (2,)


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (np.zeros((4, 6, 8)), {}, r"X must be square images .* got the shape \[4, 6, 8\]"),
        (np.zeros((4, 0, 0)), {}, r"X must hold pixels, got the shape \[4, 0, 0\]"),
        (np.zeros((4, 7)), {}, r"X must be square images .* got the shape \[4, 7\]"),
        (np.zeros((4, 8, 8)), {"lrr": 1}, "NetworkClassifier: Unknown key 'lrr'. Did you mean"),
        (np.zeros((4, 8, 8)), {"lr": -1}, "NetworkClassifier.lr must be greater than 0, got -1"),
        (np.zeros((4, 8, 8)), {"arch": "cnn_x"}, "Unknown network 'cnn_x'"),
        (np.zeros((4, 8, 8)), {"early_stopping": {"patience": 3}}, "early_stopping: .* validation"),
        (np.zeros((4, 8, 8)), {"schedule": "plateau"}, "schedule: plateau needs validation images"),
        (np.zeros((4, 8, 8)), {"refit": True}, "refit: True needs validation images"),
        (np.zeros((4, 8, 8)), {"method": "simclr"}, "simclr does not learn classes"),
        (np.zeros((4, 8, 8)), {"seed": -1}, "NetworkClassifier: seed must be 0 or more, got -1"),
        (np.zeros((4, 8, 8)), {"method": {"name": "mil", "target": 1}}, "mil does not learn"),
        (np.where(np.eye(4, 64), 1e308, -1e308), {}, "spans more than a float can"),
    ],
)
def test_what_is_refused(images, settings, message):
    with pytest.raises(ValueError, match=message):
        thumbnets.fit(images, [0, 1, 0, 1], **settings)


def test_labels_of_two_types_are_refused():
    with pytest.raises(ValueError, match="labels of one type, numbers or texts"):
        thumbnets.fit(np.zeros((4, 8, 8)), np.array(["a", 1, "a", 1], object))


def test_the_module_tells_what_it_offers():
    assert {"ImageClassifier", "NetworkClassifier", "fit", "load"} < {*dir(thumbnets)}
    assert all(hasattr(thumbnets, name) for name in dir(thumbnets))


def test_a_base_is_of_params_yaml_alone():
    with pytest.raises(ValueError, match="base works in params.yaml alone: write its keys here"):
        thumbnets.fit(np.zeros((4, 8, 8)), [0, 1, 0, 1], base="cnn_a")


@pytest.mark.parametrize("key", ["arch", "epochs", "seed"])
def test_arguments_are_not_given_twice(key):
    network = NetworkClassifier(settings={key: 1})
    with pytest.raises(ValueError, match=f"{key} is a separate argument"):
        network.fit(np.zeros((4, 8, 8)), [0, 1, 0, 1])


def test_torch_is_left_as_it_was(digits):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    state, mode = torch.get_rng_state(), torch.get_deterministic_debug_mode()
    thumbnets.fit(digits[0][:40], digits[1][:40], epochs=1, **flat())
    assert (torch.get_rng_state() == state).all() and torch.get_num_threads() == 2
    assert torch.get_deterministic_debug_mode() == mode
    torch.set_num_threads(threads)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_the_caller_has_set_changes_nothing(digits, mode):
    def train() -> np.ndarray:
        fitted = thumbnets.fit(digits[0][:40], digits[1][:40], epochs=1, **flat())
        return fitted.predict_proba(digits[0][:3])

    expected = train()
    torch.set_default_dtype(torch.float64)
    try:
        with mode():
            found = train()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected)


def test_a_fit_that_fails_leaves_no_network_of_the_one_before(digits):
    network = thumbnets.fit(digits[0][:40], digits[1][:40], epochs=1, **flat())
    with pytest.raises(ValueError, match="lr must be"):
        network.set_params(settings={"lr": "no"}).fit(digits[0][:40], digits[1][:40] % 2)
    with pytest.raises(NotFittedError):
        network.predict(digits[0][:3])


def test_threads_give_the_same_weights(digits):
    def train(seed: int) -> np.ndarray:
        fitted = thumbnets.fit(digits[0][:40], digits[1][:40], epochs=2, seed=seed, **flat())
        return fitted.predict_proba(digits[0][:9])

    mode = torch.get_deterministic_debug_mode()
    with ThreadPoolExecutor(3) as threads:
        side_by_side = list(threads.map(train, range(3)))
    assert torch.get_deterministic_debug_mode() == mode
    for seed, found in enumerate(side_by_side):
        np.testing.assert_array_equal(found, train(seed))


def test_numbers_of_another_kind_than_in_training_are_refused(digits):
    images, labels = digits[0][:40], digits[1][:40]
    network = thumbnets.fit(images.astype(np.uint8), labels, epochs=1, arch="lenet_300_100")
    with pytest.raises(ValueError, match="X must be as in training, uint8, got float64"):
        network.predict(images / 16)
    network = thumbnets.fit(images / 16, labels, epochs=1, arch="lenet_300_100")
    with pytest.raises(ValueError, match="a dtype other than uint8, got uint8"):
        network.predict_proba(images.astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, bool])
def test_whole_numbers_do_not_wrap_around(digits, dtype):
    """The images are those of floats, also beyond the numbers of training and at full scale."""
    least, greatest = (0, 1) if dtype is bool else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    images = np.where(digits[0][:40] > 7, greatest, least).astype(dtype)
    network = NetworkClassifier(arch="lenet_300_100", epochs=1, settings={"augment": []})
    network.fit(images, digits[1][:40])
    assert np.array_equal(np.unique(network._images(images)), [0, 255])
    if dtype is np.uint16:
        network.range_ = (300, 600)
        assert network._images(np.full((1, 8, 8), 200, dtype)).max() == 0


@pytest.mark.parametrize(
    ("dtype", "factor", "least"),
    [
        (np.float16, 1e-4, 0),  # 255 over the range is beyond float16
        (np.float16, 8000, -65_000),  # the range is
        (np.float32, 1e-40, 0),
    ],
)
def test_floats_of_any_range_keep_their_values(digits, dtype, factor, least):
    images = (digits[0][:40].astype(np.float64) * factor + least).astype(dtype)
    network = NetworkClassifier(arch="lenet_300_100", epochs=1, settings={"augment": []})
    found = network.fit(images, digits[1][:40])._images(images)
    exact = digits[0][:40].reshape(-1, 1, 8, 8) * (255 / 16)
    assert abs(found - exact).max() <= 1  # float16 holds the images themselves no better


def test_equal_pixels_are_black(digits):
    images = np.full((40, 64), 0.3, np.float32)
    network = NetworkClassifier(arch="lenet_300_100", epochs=1, settings={"augment": []})
    assert not network.fit(images, digits[1][:40])._images(images).any()


def test_the_defaults_are_those_of_the_params(root):
    assert YAML(typ="safe").load((root / "params.yaml").read_text())["train"] == DEFAULTS


def test_it_needs_no_project_and_no_dvc_and_leaves_torch_as_it_was(python, tmp_path):
    code = """
import sys, numpy, thumbnets, torch
fitted = thumbnets.fit(numpy.eye(16), [0, 1] * 8, epochs=1, arch="mlp4")
torch.jit.trace(fitted.classifier_.network.eval(), torch.zeros(1, 1, 4, 4))
print("dvc" in sys.modules)
"""
    assert python(code, cwd=tmp_path) == "False\n" and not list(tmp_path.iterdir())
