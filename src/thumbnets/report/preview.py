"""A picture of augmented training images."""

from pathlib import Path

import numpy as np
import torch

from thumbnets.choices import Choice
from thumbnets.data.arrays import Split
from thumbnets.data.augment import pipeline
from thumbnets.report.figures import image_grid, save

_VARIANTS = 9


def preview(split: Split, choices: list[Choice], path: Path) -> None:
    """Draw one image of each class (at most ten) with several augmentations of it.

    Args:
        split: Training images.
        choices: Augmentations to apply.
        path: PNG file to write.
    """
    classes = split.meta.classes[:10]
    first = [int(np.argmax(split.labels == label)) for label in range(len(classes))]
    originals = torch.from_numpy(split.images[first])
    repeated = originals.repeat_interleave(_VARIANTS, dim=0)
    augmented = pipeline(choices)(
        repeated,
        generator=torch.Generator().manual_seed(0),
        epoch=1,
        index=torch.arange(len(repeated)),  # each variant counts as an image of its own
    )
    rows = [
        [original, *variants]
        for original, variants in zip(
            originals.numpy(),
            augmented.numpy().reshape(len(first), _VARIANTS, *originals.shape[1:]),
            strict=True,
        )
    ]
    save(image_grid(rows, row_titles=classes, column_titles=["original", "augmented"]), path)
