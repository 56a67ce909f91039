"""Multiple-instance learning: bags of images are labelled, positive if one is of the target."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from thumbnets.data.arrays import Meta, at_once
from thumbnets.data.bags import Bags, Drawing, whole
from thumbnets.methods.base import Method, Part, class_weights
from thumbnets.models.bag_network import BagNetwork
from thumbnets.models.patches import build
from thumbnets.options import Count
from thumbnets.registry import METHODS
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.classifier import Classifier, normalise
from thumbnets.training.settings import ModelSettings

CLASSES = 2  # bags without the target class, and with it
SHOWN = {1: 6, 0: 3}  # bags in the report: positive ones first


@METHODS.register(
    example="bag",
    examples=("target", "mean", "spread", "validation_bags", "test_bags", "drawing", "seed"),
    classes=2,
    excludes=("mix",),
)
def mil(
    settings: ModelSettings,
    meta: Meta,
    *,
    pooling: Literal[
        "attention", "gated_attention", "mean", "max", "instance_mean", "instance_max"
    ] = "attention",
    width: Count = 128,
    target: Annotated[int, Field(ge=0)] = 9,
    mean: Annotated[float, Field(gt=0, le=10_000)] = 10.0,
    spread: Annotated[float, Field(ge=0, le=10_000)] = 2.0,
    train_bags: Annotated[int, Field(ge=2, le=1_000_000)] = 200,
    validation_bags: Annotated[int, Field(ge=2, le=1_000_000)] = 200,
    test_bags: Annotated[int, Field(ge=2, le=1_000_000)] = 1000,
    drawing: Literal["natural", "balanced"] = "natural",
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1,
) -> Method:
    """Bernoulli likelihood of a bag's label; batches are of bags, which `batch_size` counts.

    The cross-entropy of the two logits (0, z) is that likelihood; the source clamps it at 1e-5.
    Training bags are drawn from the training folds, validation bags from the fold that validates,
    test bags from the test images, by `evaluate` alone. Validation and test bags are drawn with
    `seed`, the same for every run and model; training bags with `seed` + the seed of the run, so
    that a spread over seeds is also one over training sets.

    Args:
        pooling: Pooling of a bag, see `BagNetwork`.
        width: Hidden units of the attention.
        target: Number of the class that makes a bag positive.
        mean: Mean size of a bag, images.
        spread: Standard deviation of the size of a bag, images.
        train_bags: Number of training bags.
        validation_bags: Number of validation bags.
        test_bags: Number of test bags.
        drawing: Bags as in the source's code (natural), or as for its published results (balanced).
        seed: Seed of the bags; 1 is the source's.

    Source: Ilse et al. 2018, arXiv:1802.04712; code AMLab-Amsterdam/AttentionDeepMIL.
    """
    counts = {"train": train_bags, "validation": validation_bags, "test": test_bags}
    drawn = Drawing(target, mean, spread, drawing == "balanced")
    return Mil(settings, meta, pooling, width, drawn, counts, seed)


class Mil(Method):
    """See `mil`."""

    def __init__(
        self,
        settings: ModelSettings,
        meta: Meta,
        pooling: str,
        width: int,
        drawing: Drawing,
        counts: dict[str, int],
        seed: int,
    ) -> None:
        super().__init__(settings, meta)
        self.pooling, self.width = pooling, width
        self.drawing, self.counts, self.first_seed = drawing, counts, seed

    @property
    def example_meta(self) -> Meta:
        target, names, counts = self.drawing.target, self.meta.classes, self.meta.counts
        if target >= len(names):
            raise ValueError(
                f"models.{self.settings.name}.method.target must be the number of a class, 0 to "
                f"{len(names) - 1}, got {target}."
            )
        return replace(
            self.meta,
            classes=[f"without {names[target]}", f"with {names[target]}"],
            counts=[sum(counts) - counts[target], counts[target]],
        )

    def build_examples(self, images: Images, part: Part, seed: int = 0) -> "BagSet":
        seed = self.first_seed + (seed if part == "train" else 0)
        labels = images.labels.cpu()
        try:
            rows, sizes = self.drawing.draw(labels.numpy(), self.counts[part], seed)
        except ValueError as error:
            raise ValueError(f"models.{self.settings.name}, {part} bags: {error}") from None
        rows, sizes = torch.from_numpy(rows), torch.from_numpy(sizes)
        return BagSet.of(images, rows, sizes, labels[rows] == self.drawing.target)

    def network(self) -> nn.Module:
        network = build(self.settings, **self.meta.shape | {"num_classes": CLASSES})
        try:
            return BagNetwork(network, self.pooling, self.width)
        except ValueError as error:
            raise ValueError(f"models.{self.settings.name}: {error}") from None

    def batches(self, train: "BagSet", streams: RandomStreams) -> Batches:
        self.class_weights = class_weights(self.train.class_weights, train, CLASSES)
        return BagBatches(train, self.train, self.meta, streams)

    def report_arrays(self, classifier: Classifier, examples: "BagSet") -> dict[str, np.ndarray]:
        """Where the attention lies, and pictures of a few bags, positive ones first.

        Returns:
            Of all I images in N bags `bag_sizes` int64 [N], `bag_hits` bool [I] (of the target
            class) and `bag_attention` float32 [I]; `bag_shown` int64 [S], which bags are pictured,
            and `bag_images` uint8 [J, C, H, W], their images. Nothing without attention.
        """
        if classifier.network.attention is None:
            return {}
        labels = examples.labels.cpu()
        of_label = {label: (labels == label).nonzero()[:, 0] for label in SHOWN}
        shown = torch.cat([of_label[label][:count] for label, count in SHOWN.items()])
        return {
            "bag_sizes": examples.sizes.numpy(),
            "bag_hits": examples.hits.numpy(),
            "bag_attention": classifier.outputs(examples, classifier.network.weights),
            "bag_shown": shown.numpy(),
            "bag_images": examples.take(shown).images.cpu().numpy(),
        }


@dataclass(frozen=True)
class BagSet:
    """Labelled bags, in the place of `training.batches.Images`.

    Attributes:
        images: Images that the bags are drawn from.
        rows: int64 [I] on the CPU, which images are in them, bag after bag.
        sizes: int64 [N] on the CPU, images of each bag.
        hits: bool [I] on the CPU, which of `rows` are of the target class.
        labels: int64 [N], 1 where a bag has one of those, on the device that computes.
    """

    images: Images
    rows: Tensor
    sizes: Tensor
    hits: Tensor
    labels: Tensor

    @classmethod
    def of(cls, images: Images, rows: Tensor, sizes: Tensor, hits: Tensor) -> "BagSet":
        """The bags with their labels."""
        labels = torch.tensor([bool(bag.any()) for bag in hits.split(sizes.tolist())])
        return cls(images, rows, sizes, hits, labels.long().to(images.labels.device))

    def __len__(self) -> int:
        return len(self.sizes)

    def places(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """For bags int64 [B]: the places of their images in `rows`, int64 [J], and their sizes."""
        index = index.cpu()
        sizes = self.sizes[index]
        begins = (self.sizes.cumsum(0) - self.sizes)[index]
        shift = begins - (sizes.cumsum(0) - sizes)
        return torch.arange(int(sizes.sum())) + shift.repeat_interleave(sizes), sizes

    def take(self, index: Tensor) -> Bags:
        """The bags of an index int64 [B]: uint8 images, on the device that computes."""
        places, sizes = self.places(index)
        return Bags(self.images.take(self.rows[places].to(self.labels.device)), sizes)

    def split(self, size: int) -> Iterator[Bags]:
        """All bags in order, whole, at most `size` images at a time unless a bag is larger."""
        for index in torch.arange(len(self)).split(whole(self.sizes, size)):
            yield self.take(index)

    def pictures(self, index: np.ndarray) -> np.ndarray:
        """The bags of an index [B], each as a square of its images: uint8 [B, C, h, w]."""
        bags = self.take(torch.from_numpy(index))
        side = math.isqrt(max([0, *bags.sizes.tolist()]) - 1) + 1 if len(bags) else 1
        first = bags.sizes.cumsum(0) - bags.sizes
        place = torch.arange(len(bags.images)) - first.repeat_interleave(bags.sizes)
        images = bags.images.cpu()
        grid = images.new_zeros(len(bags), side**2, *images.shape[1:])
        grid[bags.of.cpu(), place] = images
        grid = grid.unflatten(1, (side, side)).permute(0, 3, 1, 4, 2, 5)  # [B, C, side, H, side, W]
        return grid.flatten(4, 5).flatten(2, 3).numpy()


class BagBatches(Batches):
    """Batches of bags, whose images are augmented one by one and normalised."""

    data: BagSet

    def run(self, order: Tensor, epoch: int, first: int = 0) -> Iterator[tuple[Bags, Tensor]]:
        """The batches of an epoch from number `first` on: bags, and labels int64 [N]."""
        generator = self.streams.augment
        for index in order.split(self.size)[first : len(self)]:
            bags, places = self.data.take(index), self.data.places(index)[0].to(index.device)
            images = self.augment(bags.images, generator=generator, epoch=epoch, index=places)
            images = normalise(images, self.mean, self.std)
            yield Bags(images, bags.sizes), self.data.labels.index_select(0, index)

    def plain(self) -> Iterator[Bags]:
        image = self.data.images.images[0]
        for bags in self.data.split(at_once(image.numel(), 1000)):
            yield bags.changed(lambda images: normalise(images, self.mean, self.std))
