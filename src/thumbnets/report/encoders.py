"""Encoders: their loss, a map of their features, and nearest neighbours.

The images are validation images, which stage `pretrain` stored with the encoders.
"""

from dataclasses import dataclass

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import read_arrays
from thumbnets.report.charts import encoder_chart, svg
from thumbnets.report.panels import png
from thumbnets.report.records import read_curve
from thumbnets.report.results import Results


@dataclass(frozen=True)
class Neighbours:
    """An image and its nearest neighbours in feature space.

    Attributes:
        label: Class of the image.
        images: The image, then its neighbours: data URI, class, and whether the class is `label`.
    """

    label: str
    images: list[tuple[str, str, bool]]


@dataclass(frozen=True)
class EncoderOf:
    """One encoder of the run.

    Attributes:
        name: Block of the encoder.
        begins: Names of the models that begin with it.
        chart: An <svg> of loss and map.
        images: Number of images on the map.
        neighbours: Nearest neighbours of one image of each class.
    """

    name: str
    begins: list[str]
    chart: str
    images: int
    neighbours: list[Neighbours]


def encoders(results: Results) -> list[EncoderOf]:
    """Each encoder of the run, with its first seed's map and neighbours."""
    return [_encoder_of(name, results) for name in results.params.encoders]


def _encoder_of(name: str, results: Results) -> EncoderOf:
    params, classes = results.params, results.classes
    found = read_arrays(paths.embedding(name, params.seeds[0]))
    curves = {seed: _losses(name, seed) for seed in params.seeds}
    first, last = (curves[params.seeds[0]]["validation_loss"][place] for place in (0, -1))
    pictures = zip(found["neighbours"], found["neighbour_labels"], strict=True)
    return EncoderOf(
        name=name,
        begins=[model for model in params.run if params.settings[model].encoder == name],
        chart=svg(
            encoder_chart(curves, found["map"], found["labels"], classes),
            f"Loss of {name} by epoch, from {first:.2f} to {last:.2f}, and a map of its features",
        ),
        images=len(found["labels"]),
        neighbours=[
            Neighbours(
                label=classes[labels[0]],
                images=[
                    (png(image), classes[label], bool(label == labels[0]))
                    for image, label in zip(images, labels, strict=True)
                ],
            )
            for images, labels in pictures
        ],
    )


def _losses(name: str, seed: int) -> dict[str, np.ndarray]:
    """Loss by epoch in training and on the validation fold."""
    parts = ("train_loss", "validation_loss")
    curve = read_curve(paths.encoder(name, seed).with_suffix(".csv"), parts)
    return {part: np.array([row[part] for row in curve]) for part in parts}
