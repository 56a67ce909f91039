"""Training one encoder with one seed, from its settings to the files that it writes.

All that is here counts as code of the training: an edit trains every encoder again.
"""

from collections.abc import Mapping
from pathlib import Path

from thumbnets import paths, runtime
from thumbnets.artifacts import write_csv
from thumbnets.data.arrays import read_split
from thumbnets.methods.base import build_method
from thumbnets.methods.simclr import pretraining_images
from thumbnets.methods.weights import save_weights
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.loop import fit
from thumbnets.training.progress import Progress
from thumbnets.training.settings import ModelSettings


def train_encoder(settings: ModelSettings, seed: int, key: str, files: Mapping[str, Path]) -> None:
    """Train an encoder and write its weights and learning curve.

    Args:
        settings: Its block.
        seed: Seed of every generator.
        key: Hash of all inputs of the training, written into the weights: a checkpoint of other
            inputs is not resumed.
        files: Paths of `weights` and `history`.

    Raises:
        ValueError: The training images are missing, or the loss is no longer finite.
    """
    runtime.prepare(threads=settings.train.threads, precision=settings.train.precision)
    data, device = read_split(paths.TRAIN), runtime.device()
    name = f"{settings.name}, seed {seed}"
    progress = Progress(name)
    checkpoint = Checkpoint(
        paths.checkpoint(key, "encoder"), f"{key} {device.type}", runtime.checkpoint_seconds()
    )
    with runtime.gpu_memory(name):
        images, validation = pretraining_images(data, settings, seed, device)
        classifier, curve = fit(
            build_method(settings, data.meta),
            images,
            validation,
            seed=seed,
            watcher=progress,
            checkpoint=checkpoint,
        )
    progress.close()
    write_csv(files["history"], (row.as_row() for row in curve))
    save_weights(files["weights"], classifier, settings, key=key)
    checkpoint.remove()
