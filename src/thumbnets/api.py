"""Trained models from Python: `thumbnets.load(…)` returns a classifier of files and arrays."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from thumbnets import runtime
from thumbnets.data.arrays import Meta
from thumbnets.data.images import FITS, MOST_PIXELS, read_image
from thumbnets.heatmaps import heatmap
from thumbnets.trained import Trained, load_trained

Picture = str | Path | IO[bytes] | np.ndarray
Pictures = Picture | Sequence[Picture]


def load(source: str | Path, seed: int | None = None) -> "ImageClassifier":
    """Load a trained model, to classify images with it.

    Args:
        source: A weights file (.safetensors); or, in the folder of a project, the name of a
            trained block, or `ensemble`.
        seed: Seed of the training, where a name is given; None: the first.

    Raises:
        ValueError: There is nothing of that name, or a file is damaged.
    """
    return ImageClassifier(load_trained(source, seed, runtime.device()))


class ImageClassifier:
    """A trained model that classifies images of any form.

    An image is a path, an open file, or an array uint8 [H, W], [H, W, C] or [C, H, W] of any size;
    several are a list of these, or an array of them with N as first axis. They are read as in
    training.

    Args:
        trained: A training or an ensemble.

    Attributes:
        classes: Names of the classes, K.
        dataset: Name of the data set that it was trained on.
        temperature: Divisor of the logits; 1 if there are no validation predictions of the run.
        calibrated: Whether the temperature was fitted.
    """

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self.classes = list(trained.meta.classes)
        self.dataset = trained.meta.dataset
        self.temperature, self.calibrated = trained.temperature, trained.calibrated

    def __repr__(self) -> str:
        return f"<ImageClassifier {self.trained.name}, {len(self.classes)} classes>"

    def predict(self, images: Pictures, top: int = 1) -> list[list[tuple[str, float]]]:
        """The most probable classes of each image, with their probabilities, the best first.

        Args:
            images: One image or several.
            top: Number of classes, at most K.

        Raises:
            ValueError: `top` is no whole number from 1 up, or an image can't be read.
        """
        if not isinstance(top, int | np.integer) or top < 1:
            raise ValueError(f"top must be a whole number, 1 or more, got {top!r}.")
        return [best(row, self.classes, top) for row in self.predict_proba(images)]

    def predict_proba(self, images: Pictures) -> np.ndarray:
        """Probability of each class, float64 [N, K]; only some images at a time are in memory.

        Raises:
            ValueError: An image can't be read.
        """
        rows = [self.probabilities(batch) for batch in self._batches(_listed(images))]
        return np.concatenate(rows) if rows else np.empty((0, len(self.classes)))

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """As `predict_proba`, for images uint8 [N, C, H, W] as `pixels` returns them."""
        return np.exp(self.trained.log_probabilities(pixels))

    def heatmap(self, image: Picture) -> np.ndarray:
        """Which pixels speak for the predicted class, see `heatmaps.heatmap`.

        Returns:
            float64 [H, W], 0 to 1, of the image as the model takes it: `pixels(image)`.

        Raises:
            ValueError: The image can't be read.
        """
        pixels = self.pixels(image)
        return heatmap(pixels, self.trained.log_probabilities, self.trained.meta)

    def pixels(self, image: Picture) -> np.ndarray:
        """An image with the channels, size and fit of the training images: uint8 [C, H, W].

        Raises:
            ValueError: The image can't be read, or an array is not an image.
        """
        meta = self.trained.meta
        if not isinstance(image, str | Path | np.ndarray) and not hasattr(image, "read"):
            raise ValueError(
                "An image must be a path, an open file or an array uint8 [H, W] or [H, W, C], got "
                f"{type(image).__name__}: convert one of Pillow or torch by np.asarray(image), "
                "bytes by io.BytesIO(image)."
            )
        if isinstance(image, np.ndarray):
            return _fitted(image, channels=meta.channels, size=meta.image_size, fit=meta.fit)
        return read_as_trained(Path(image) if isinstance(image, str) else image, meta)

    def _batches(self, images: Iterable[Picture]) -> Iterator[np.ndarray]:
        left = iter(images)
        while some := list(islice(left, self.trained.at_once)):
            yield np.stack([self.pixels(image) for image in some])


def read_as_trained(file: Path | IO[bytes], meta: Meta) -> np.ndarray:
    """Read an image with the channels, size and fit of those that the network was trained on.

    Returns:
        uint8 [C, H, W].

    Raises:
        ValueError: The file is not an image, or is damaged.
    """
    form = {"channels": meta.channels, "size": meta.image_size, "fit": meta.fit}
    try:
        return read_image(file, **form, depth=meta.depth, max_pixels=MOST_PIXELS)
    except ValueError as error:
        name = file if isinstance(file, Path) else getattr(file, "name", "the content")
        raise ValueError(f"{name} can't be read as an image: {error}") from None


def best(row: np.ndarray, classes: list[str], top: int) -> list[tuple[str, float]]:
    """The `top` most probable classes of float [K]; ties go to the first in order."""
    order = np.argsort(-row, kind="stable")[:top]
    return [(classes[index], float(row[index])) for index in order]


def _listed(images: Pictures) -> Iterable[Picture]:
    """The images one by one; a single one becomes a list.

    Raises:
        ValueError: An array does not have the shape of several images.
    """
    if isinstance(images, np.ndarray):
        in_colour = images.ndim == 3 and images.shape[-1] in (3, 4)  # a single one: [H, W, C]
        if images.ndim not in (3, 4) or in_colour:
            raise ValueError(
                "An array of images must be uint8 [N, H, W] or [N, H, W, C], got the shape "
                f"{list(images.shape)}: put a single image into a list."
            )
        return images
    single = not isinstance(images, Iterable) or isinstance(images, str | bytes | Path)
    single = single or hasattr(images, "read")
    return [images] if single else images


def _fitted(image: np.ndarray, *, channels: int, size: int, fit: str) -> np.ndarray:
    """As `read_image`, for the pixels of an image.

    Raises:
        ValueError: They are not uint8 [H, W], [H, W, C] with 1, 3 or 4 channels, or [C, H, W] with
            1 or 3.
    """
    if image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] not in (1, 3, 4):
        image = image.transpose(1, 2, 0)  # as `thumbnets.data.load` has them
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    colours = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if image.dtype != np.uint8 or not colours or not image.size:
        raise ValueError(
            "An image array must be uint8 [H, W], [H, W, C] with 1, 3 or 4 channels, or "
            f"[C, H, W] with 1 or 3, got {image.dtype} {list(image.shape)}."
        )
    picture = Image.fromarray(np.ascontiguousarray(image))
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    plain = picture.convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(FITS[fit](plain, size))
    return np.ascontiguousarray(pixels.reshape(size, size, channels).transpose(2, 0, 1))
