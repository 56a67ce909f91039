"""What a training sees: batches of uint8 images in memory, and the random numbers it draws."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from thumbnets.data import augment, mix
from thumbnets.data.arrays import Meta, Split, at_once, release_pages
from thumbnets.training.classifier import normalise
from thumbnets.training.sampling import balanced_order, by_class
from thumbnets.training.settings import TrainSettings


@dataclass(frozen=True)
class Images:
    """Labelled images; those in memory are on the device that computes, mapped ones never are.

    Attributes:
        images: uint8 [M, C, H, W].
        labels: int64 [N], on the device that computes.
        rows: int64 [N] on the CPU, which images of the split they are; None: all of them. In
            memory, `images` holds these alone; a map holds all.
        mapped: The memory-mapped array behind `images`, if there is one.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor | None = None
    mapped: np.ndarray | None = None

    @classmethod
    def of(cls, split: Split, device: torch.device, chosen: np.ndarray | None = None) -> "Images":
        """Some images of a split (bool [M]), or all; only a map is not copied."""
        labels = split.labels if chosen is None else split.labels[chosen]
        on_device = torch.from_numpy(labels).to(device)
        rows = None if chosen is None else torch.from_numpy(np.flatnonzero(chosen))
        if isinstance(split.images, np.memmap):
            return cls(torch.from_numpy(split.images), on_device, rows, split.images)
        images = split.images if chosen is None else split.images[chosen]
        return cls(torch.from_numpy(images).to(device), on_device, rows)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Tensor:
        """The images of an index int64 [B], on the device that computes: uint8 [B, C, H, W]."""
        if self.mapped is None:
            return self.images.index_select(0, index)
        rows = index.cpu() if self.rows is None else self.rows.index_select(0, index.cpu())
        taken = self.images.index_select(0, rows).to(self.labels.device)
        release_pages(self.mapped)
        return taken

    def pictures(self, index: np.ndarray) -> np.ndarray:
        """Each image of an index [B] as a picture: uint8 [B, C, H, W]."""
        return self.take(torch.from_numpy(index).to(self.labels.device)).cpu().numpy()

    def split(self, size: int) -> Iterator[Tensor]:
        """All images in order, at most `size` at a time: uint8 [B, C, H, W]."""
        if self.mapped is None:
            yield from self.images.split(size)
        else:
            for index in torch.arange(len(self)).split(size):
                yield self.take(index)


@dataclass
class RandomStreams:
    """One independent stream of random numbers for each use, all from one seed."""

    seed: int
    init: Generator
    order: Generator
    augment: Generator
    dropout: list[np.random.Generator]
    """One for each thread."""

    @classmethod
    def of(cls, seed: int, device: torch.device, threads: int = 1) -> "RandomStreams":
        """The streams of a run. Also seeds torch's global generators, which layers draw from."""
        states = np.random.SeedSequence(seed).generate_state(5, np.uint64)
        numbers = [int(state >> 1) for state in states]  # torch takes signed 64 bits
        torch.manual_seed(numbers[0])
        return cls(
            seed=seed,
            init=Generator().manual_seed(numbers[1]),
            order=Generator(device).manual_seed(numbers[2]),
            augment=Generator(device).manual_seed(numbers[3]),
            dropout=[
                np.random.Generator(bits)
                for bits in map(np.random.SFC64, np.random.SeedSequence(numbers[4]).spawn(threads))
            ],
        )

    def state_dict(self) -> dict[str, Any]:
        """The state of all streams, including torch's global ones: the CPU's and this GPU's."""
        bits, device = [random.bit_generator.state for random in self.dropout], self.order.device
        return {
            "order": self.order.get_state(),
            "augment": self.augment.get_state(),
            "dropout": json.dumps(bits, default=np.ndarray.tolist),
            "global": torch.get_rng_state(),
            "device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was called."""
        self.order.set_state(state["order"])
        self.augment.set_state(state["augment"])
        for random, bits in zip(self.dropout, json.loads(state["dropout"]), strict=True):
            bits["state"]["state"] = np.array(bits["state"]["state"], np.uint64)
            random.bit_generator.state = bits
        torch.set_rng_state(state["global"])
        if state["device"] is not None:
            torch.cuda.set_rng_state(state["device"], self.order.device)


class Batches:
    """The training images, batch after batch: augmented, normalised and mixed.

    Whole batches are gathered by index from uint8 arrays; no Python call is made for a single
    image.

    Args:
        data: The images.
        settings: Batch size, augmentation and mix.
        meta: Normalisation and classes.
        streams: Order of the images and draws of the augmentation.
    """

    def __init__(
        self, data: Images, settings: TrainSettings, meta: Meta, streams: RandomStreams
    ) -> None:
        device = data.labels.device
        self.data, self.size, self.streams = data, settings.batch_size, streams
        self.classes = by_class(data.labels) if settings.sampling else None
        self.augment = augment.pipeline(settings.augment)
        self.mix = mix.mixer(settings.mix, len(meta.classes))
        self.mean = torch.tensor(meta.mean, device=device)
        self.std = torch.tensor(meta.std, device=device)

    def __len__(self) -> int:
        full, rest = divmod(len(self.data), self.size)
        return full + (rest > 1)  # batch norm can't train on a single image

    @property
    def seen(self) -> int:
        """Images per epoch: all, except a last batch of one."""
        return min(len(self.data), len(self) * self.size)

    def shuffled(self) -> Tensor:
        """A new random order of the images, or of as many with classes balanced: int64 [N]."""
        if self.classes:
            return balanced_order(self.classes, len(self.data), self.streams.order)
        device = self.data.labels.device
        return torch.randperm(len(self.data), generator=self.streams.order, device=device)

    def run(self, order: Tensor, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch from number `first` on.

        Returns:
            Images float32 [N, C, H, W], and labels int64 [N] or, if mixed, targets [N, K].
        """
        generator = self.streams.augment
        for index in order.split(self.size)[first : len(self)]:
            images = self.data.take(index)
            images = self.augment(images, generator=generator, epoch=epoch, index=index)
            images = normalise(images, self.mean, self.std)
            yield self.mix(images, self.data.labels.index_select(0, index), generator)

    def plain(self) -> Iterator[Tensor]:
        """All images in order, normalised and not augmented: float32 [N, C, H, W]."""
        for images in self.data.split(at_once(self.data.images[0].numel(), 1000)):
            yield normalise(images, self.mean, self.std)
