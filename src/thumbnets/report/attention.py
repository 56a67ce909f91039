"""Where the attention of bag networks lies: a few validation bags as pictures, each image weighted.

Test bags are not shown: the pictures were put beside the validation predictions by `train`.
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
        source: The image as a data address.
        weight: Its share of the attention, a fraction.
        hit: Whether it is of the target class.
    """

    source: str
    weight: float
    hit: bool


@dataclass(frozen=True)
class Bag:
    """A bag that is shown.

    Attributes:
        number: Its place among the validation bags.
        label: Name of its class.
        positive: Whether it has an image of the target class.
        probability: That the network gives to being positive.
        images: In the order they were drawn.
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
        on_target: Mean share of the attention on images of the target class, over positive
            validation bags.
        by_chance: The same, were all images of a bag weighted alike.
        positives: How many positive validation bags there are.
        bags: Those that are shown, positive ones first.
    """

    model: str
    on_target: float
    by_chance: float
    positives: int
    bags: list[Bag]


def attention(results: Results) -> list[AttentionOf]:
    """Of each model of the run that has attention."""
    return [
        _attention_of(model, arrays, results.classes)
        for model, arrays in results.judged.items()
        if "bag_attention" in arrays
    ]


def _attention_of(model: str, arrays: dict[str, np.ndarray], classes: list[str]) -> AttentionOf:
    sizes = arrays["bag_sizes"]
    ends = np.cumsum(sizes)[:-1]
    weights, hits = (np.split(arrays[f"bag_{name}"], ends) for name in ("attention", "hits"))
    positive = np.flatnonzero(arrays["labels"])
    shown = arrays["bag_shown"]
    pictures = np.split(arrays["bag_images"], np.cumsum(sizes[shown])[:-1])
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
            for bag, images in zip(shown, pictures, strict=True)
        ],
    )
