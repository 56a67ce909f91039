"""A network as an estimator of scikit-learn, from arrays and without a project around it."""

import contextlib
import copy
import hashlib
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from thumbnets import compiler, runtime
from thumbnets.blocks import settings_of
from thumbnets.data.arrays import Meta, Split
from thumbnets.data.preprocess import channel_statistics
from thumbnets.messages import quote
from thumbnets.registry import METHODS
from thumbnets.training.settings import ModelSettings

# Section `train` of params.yaml: the settings of every model.
DEFAULTS: Mapping[str, Any] = {
    "method": "supervised",
    "epochs": 20,
    "batch_size": 128,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "decay_norms": True,
    "clip": None,
    "lookahead": None,
    "schedule": "onecycle",
    "warmup": 0.0,
    "average": None,
    "init": "default",
    "weights": None,
    "label_smoothing": 0.0,
    "class_weights": None,
    "early_stopping": None,
    "augment": [{"name": "shift", "pixels": 1}],
    "mix": None,
    "patches": None,
    "on_divergence": "stop",
    "refit": False,
    "precision": "fp32",
    "threads": 1,
}

_ONE_AT_A_TIME = threading.Lock()  # threads share torch's generators and settings


def fit(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    arch: str = "cnn_c",
    epochs: int = 20,
    seed: int = 0,
    **settings: Any,
) -> "NetworkClassifier":
    """Train a network on images in memory. See `NetworkClassifier`.

    Args:
        images: Images of one size, as `NetworkClassifier.fit` takes them.
        labels: The class of each, [N].
        arch: Name of a network.
        epochs: Passes over the images.
        seed: Seed of every generator.
        **settings: Options of the network, and keys of `train` in params.yaml.

    Raises:
        ValueError: Images, labels or a setting are not valid.
    """
    network = NetworkClassifier(arch=arch, epochs=epochs, seed=seed, settings=settings)
    return network.fit(images, labels)


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A network that learns from arrays of images, with scikit-learn's names.

    Args:
        arch: Name of a network, see `thumbnets models`.
        epochs: Passes over the images.
        seed: Seed of every generator: the same arguments give the same weights.
        settings: Options of the network, and keys of `train` as in params.yaml; None: its defaults.
            A search names whole ones: `GridSearchCV(…, {"settings": [{"lr": 0.05}, {"lr": 0.1}]})`.

    Attributes:
        classes_: The classes, sorted.
        n_features_in_: Values per image, if given as rows; else the height (scikit-learn's rule).
        classifier_: The trained network, `thumbnets.training.classifier.Classifier`.
    """

    def __init__(
        self,
        arch: str = "cnn_c",
        epochs: int = 20,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.arch, self.epochs, self.seed, self.settings = arch, epochs, seed, settings

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train the network.

        Args:
            X: Square images [N, H, W], [N, H, W, C] or [N, C, H, W] with C of 1 or 3, or grey ones
                as rows of pixels [N, H * W].
                uint8 is used as it is; other numbers are scaled so that the least and the greatest
                of all images become 0 and 255.
            y: The class of each, [N].

        Raises:
            ValueError: Images, labels or a setting are not valid.
        """
        from thumbnets.methods.base import build_method  # here, since importing torch takes seconds
        from thumbnets.training.batches import Images
        from thumbnets.training.loop import fit
        from thumbnets.training.progress import Progress

        self.__dict__.pop("classifier_", None)  # it would not fit to what this call finds
        values, y = validate_data(self, X, y, allow_nd=True)
        try:
            check_classification_targets(y)
            self.classes_, labels = np.unique(y, return_inverse=True)
        except TypeError:  # numbers and texts can't be sorted
            raise ValueError("y must hold labels of one type, numbers or texts.") from None
        if len(self.classes_) < 2:
            raise ValueError(f"y must have two classes or more, got one class: {self.classes_[0]}.")
        if not values.size:
            raise ValueError(f"X must hold pixels, got the shape {list(values.shape)}.")
        self.range_ = None if values.dtype == np.uint8 else (values.min(), values.max())
        self.shape_ = values.shape[1:]
        if self.range_ and not math.isfinite(float(self.range_[1]) - float(self.range_[0])):
            raise ValueError("X spans more than a float can hold: divide it by its largest value.")
        split, settings = _split(self._images(values), labels, self.classes_), self._settings()
        with _torch_of_our_own():
            runtime.prepare(threads=1, precision=settings.train.precision)  # `fit` has its own
            method, bar = build_method(settings, split.meta), Progress(settings.name, lines=False)
            images = method.build_examples(Images.of(split, runtime.device()), "train", self.seed)
            self.classifier_, _ = fit(method, images, None, seed=self.seed, watcher=bar)
            bar.close()
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: a network on a GPU goes to the CPU, since the reader may have no GPU."""
        state = dict(super().__getstate__())
        if classifier := state.get("classifier_"):
            network = copy.deepcopy(classifier.network).cpu()
            state["classifier_"] = replace(classifier, network=network)
        return state

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The most probable class of each image, [N].

        Raises:
            ValueError: The images are not of the shape, or the numbers not of the kind, of those in
                training.
        """
        best = self._logits(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probability of each class, float64 [N, K], in the order of `classes_`.

        Raises:
            ValueError: The images are not of the shape, or the numbers not of the kind, of those in
                training.
        """
        return softmax(self._logits(X).astype(np.float64), axis=1)

    def _logits(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self, "classifier_")
        import torch  # not before: it takes seconds

        given = tuple(getattr(X, "shape", None) or np.asarray(X).shape)[1:]
        if given != self.shape_ and max(len(given), len(self.shape_)) > 1:  # rows: scikit-learn
            raise ValueError(
                f"X must be images of the shape {[*self.shape_]} as in training, got {[*given]}."
            )
        values = validate_data(self, X, allow_nd=True, reset=False)
        if (values.dtype == np.uint8) != (self.range_ is None):
            trained = "uint8" if self.range_ is None else "a dtype other than uint8"
            raise ValueError(f"X must be as in training, {trained}, got {values.dtype}.")
        images = torch.from_numpy(self._images(values))
        with _torch_of_our_own():
            return self.classifier_.logits(images)

    def _images(self, values: np.ndarray) -> np.ndarray:
        """Convert images as given to `fit` to pictures uint8 [N, C, H, W].

        Raises:
            ValueError: They are not square.
        """
        images = values
        if values.ndim == 2 and (side := math.isqrt(values.shape[1])) ** 2 == values.shape[1]:
            images = values.reshape(-1, side, side)
        images = images[..., None] if images.ndim == 3 else images
        sides = images.shape[1:]
        if len(sides) == 3 and sides[0] in (1, 3) and sides[0] != sides[1] == sides[2]:
            images = images.transpose(0, 2, 3, 1)  # as `thumbnets.data.load` has them
        if images.ndim != 4 or images.shape[1] != images.shape[2]:
            raise ValueError(
                f"X must be square images [N, H, W], [N, H, W, C], [N, C, H, W] or [N, H * W], got "
                f"the shape {list(values.shape)}."
            )
        if self.range_ is not None:
            least, greatest = map(float, self.range_)
            # Other types would wrap around, overflow or vanish.
            images = images.astype(np.float64, copy=False)
            images = np.clip((images - least) * (255 / max(greatest - least, 1e-300)), 0, 255)
        return np.ascontiguousarray(np.rint(images).astype(np.uint8).transpose(0, 3, 1, 2))

    def _settings(self) -> ModelSettings:
        where = type(self).__name__
        if not isinstance(self.settings or {}, Mapping):
            raise ValueError(f"{where}: settings must be a dict, got {quote(self.settings)}.")
        if not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise ValueError(f"{where}: seed must be 0 or more, got {quote(self.seed)}.")
        if "base" in (self.settings or {}):
            raise ValueError(f"{where}: base works in params.yaml alone: write its keys here.")
        if own := sorted({"arch", "epochs", "seed"} & (self.settings or {}).keys()):
            raise ValueError(f"{where}: {own[0]} is a separate argument: remove it from settings.")
        block = _plain({"arch": self.arch, "epochs": self.epochs, **(self.settings or {})})
        settings = settings_of(self.arch, block, DEFAULTS, rotate=False, where=where)
        train = settings.train
        train.check_method()
        learned = METHODS[train.method.name].metadata
        if learned.pretrains or learned.example != "image":
            raise ValueError(
                f"{where}: method {train.method.name} does not learn classes of single images: use "
                "another."
            )
        if needs := [*train.watches, *["refit"] * train.refit]:
            value = block[needs[0]]
            raise ValueError(
                f"{where}: {needs[0]}: {value} needs validation images, and there are none "
                "here: remove it."
            )
        return settings


@contextlib.contextmanager
def _torch_of_our_own() -> Iterator[None]:
    """Gradients and float32 whatever the caller has set, in one thread at a time.

    At the end, restore torch's threads, generators, determinism checks and compiler for the caller.
    """
    import torch  # not before: it takes seconds

    deterministic = torch.utils.deterministic
    with (
        _ONE_AT_A_TIME,
        compiler.restored(),
        torch.random.fork_rng(),
        torch.inference_mode(mode=False),
        torch.enable_grad(),
    ):
        threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
        fills, dtype = deterministic.fill_uninitialized_memory, torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float32)
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_num_threads(threads)
            torch.set_deterministic_debug_mode(mode)
            deterministic.fill_uninitialized_memory = fills


def _plain(value: Any) -> Any:
    """A setting with numpy's numbers and arrays converted to those that params.yaml would hold."""
    if isinstance(value, Mapping):
        return {key: _plain(of) for key, of in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return [_plain(of) for of in value] if isinstance(value, list | tuple) else value


def _split(images: np.ndarray, labels: np.ndarray, classes: np.ndarray) -> Split:
    """Images uint8 [N, C, H, W] and labels int64 [N], with the metadata that a network needs."""
    labels, (mean, std) = labels.astype(np.int64), channel_statistics(images)
    meta = Meta(
        dataset="arrays",
        classes=[str(name) for name in classes],
        channels=images.shape[1],
        image_size=images.shape[2],
        mean=mean,
        std=[deviation or 1.0 for deviation in std],
        counts=np.bincount(labels).tolist(),
        sha256=hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest(),
    )
    return Split(images, labels, meta)
