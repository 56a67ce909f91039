"""Augmentations of whole batches, with an independent draw for every image.

Each takes uint8 images (a quarter of the bytes of float32) and fills in zeros outside of the image.
Whole rows and images are moved by `index_select`, which copies blocks of memory: several times
faster on a CPU than masks, or indices of single pixels.
"""

from collections.abc import Callable

from torch import Generator, Tensor

from thumbnets.choices import Choice
from thumbnets.registry import AUGMENTATIONS

Augmentation = Callable[..., Tensor]


def pipeline(choices: list[Choice]) -> Augmentation:
    """One function that applies the chosen augmentations in order.

    Args:
        choices: Names and options of the augmentations.

    Returns:
        A function of uint8 images [N, C, H, W] and, by keyword: `generator` on their device,
        `epoch` (from 1), and `index` int64 [N], the images' places in the training set. It returns
        new images of the same shape and dtype. Each augmentation gets the keywords that it takes.
    """
    steps = []
    for choice in choices:
        given = AUGMENTATIONS[choice.name].parameters.keys() & set(AUGMENTATIONS.given)
        steps.append((AUGMENTATIONS.load(choice.name), given, choice.options))

    def augment(images: Tensor, *, generator: Generator, epoch: int, index: Tensor) -> Tensor:
        keywords = {"generator": generator, "epoch": epoch, "index": index}
        for step, given, options in steps:
            images = step(images, **{name: keywords[name] for name in given}, **options)
        return images

    return augment
