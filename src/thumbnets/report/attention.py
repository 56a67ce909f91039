"""Attention of bag networks: the images of a few validation bags, with their weights.

Stage `train` stored the images with the validation predictions.
"""

from dataclasses import dataclass

import numpy as np

from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.evaluation.views import array_name
from thumbnets.report.panels import png
from thumbnets.report.results import Results


@dataclass(frozen=True)
class Instance:
    """An image of a bag.

    Attributes:
        source: The image as a data URI.
        weight: Attention weight, a fraction; the weights of a bag sum to 1.
        hit: Whether it is of the target class.
    """

    source: str
    weight: float
    hit: bool


@dataclass(frozen=True)
class Bag:
    """A bag of the report.

    Attributes:
        number: Index among the validation bags.
        label: Name of its class.
        positive: Whether it has an image of the target class.
        probability: Predicted probability of being positive.
        images: Images in the order they were drawn.
    """

    number: int
    label: str
    positive: bool
    probability: float
    images: list[Instance]


@dataclass(frozen=True)
class AttentionOf:
    """The attention of one model, in its training with the first seed.

    Attributes:
        model: Block of params.yaml.
        on_target: Mean share of attention on images of the target class, over positive
            validation bags.
        by_chance: The same if all images of a bag had equal weights.
        positives: Number of positive validation bags.
        bags: Bags in the report, positive ones first.
    """

    model: str
    on_target: float
    by_chance: float
    positives: int
    bags: list[Bag]


def attention(results: Results) -> list[AttentionOf]:
    """Attention of each model of the run that has it."""
    return [
        _attention_of(model, arrays, results.classes)
        for model, arrays in results.first_validation.items()
        if "bag_attention" in arrays
    ]


def _attention_of(model: str, arrays: dict[str, np.ndarray], classes: list[str]) -> AttentionOf:
    sizes = arrays["bag_sizes"]
    ends = np.cumsum(sizes)[:-1]
    weights, hits = (np.split(arrays[f"bag_{name}"], ends) for name in ("attention", "hits"))
    positive = np.flatnonzero(arrays["labels"])
    selected = arrays["bag_shown"]
    pictures = np.split(arrays["bag_images"], np.cumsum(sizes[selected])[:-1])
    probabilities = to_probabilities(arrays[array_name("none")])[:, 1]
    return AttentionOf(
        model=model,
        on_target=float(np.mean([weights[bag][hits[bag]].sum() for bag in positive])),
        by_chance=float(np.mean([hits[bag].mean() for bag in positive])),
        positives=len(positive),
        bags=[
            Bag(
                number=int(bag),
                label=classes[arrays["labels"][bag]],
                positive=bool(arrays["labels"][bag]),
                probability=float(probabilities[bag]),
                images=[
                    Instance(png(image), float(weight), bool(hit))
                    for image, weight, hit in zip(images, weights[bag], hits[bag], strict=True)
                ],
            )
            for bag, images in zip(selected, pictures, strict=True)
        ],
    )
