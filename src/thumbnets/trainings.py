"""Training one model with one seed, from its settings to the files that it writes."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from thumbnets import paths, runtime
from thumbnets.artifacts import write_arrays, write_csv
from thumbnets.data.arrays import Meta, Split, read_split, renumbered
from thumbnets.evaluation import views
from thumbnets.methods.base import Method, Part, build_method
from thumbnets.methods.weights import save_weights
from thumbnets.registry import METHODS
from thumbnets.training.batches import Images
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.classifier import Classifier
from thumbnets.training.loop import Epoch, fit
from thumbnets.training.progress import Progress
from thumbnets.training.settings import ModelSettings


def train_model(settings: ModelSettings, seed: int, key: str, files: Mapping[str, Path]) -> None:
    """Train a model and write its weights, validation logits and learning curve.

    Args:
        settings: The model block.
        seed: Seed of every generator.
        key: Hash of all inputs of the training: a checkpoint of other inputs is not resumed.
        files: Paths of `weights`, `validation` and `history`.

    Raises:
        ValueError: The training images are missing, or the loss is no longer finite.
    """
    runtime.prepare(threads=1, precision=settings.train.precision)  # `fit` has threads of its own
    data = read_split(paths.TRAIN)
    validates = settings.validates(data.fold, seed)
    training = _Training(data, seed, key)
    classifier, curve = training.run(settings, "folds", ~validates, validates)
    final = classifier
    if settings.train.refit:
        refit = _refit_settings(settings, data.meta, curve)
        everything, halvings = np.ones_like(validates), classifier.halvings
        final, _ = training.run(refit, "refit", everything, None, halvings)

    method = build_method(settings, data.meta)
    validation = training.examples(method, "validation", validates)
    predictions = views.predict(classifier, validation, views.VIEWS)
    save_weights(files["weights"], final, settings)
    of_images = METHODS[settings.train.method.name].metadata.example == "image"
    group = data.group if of_images else None
    write_arrays(
        files["validation"],
        indices=np.flatnonzero(validates),
        **({} if group is None else {"group": renumbered(group[validates])}),
        labels=validation.labels.cpu().numpy(),
        **{views.array_name(name): logits for name, logits in predictions.items()},
        **method.report_arrays(classifier, validation),
    )
    write_csv(files["history"], (row.as_row() for row in curve))
    training.remove_checkpoints()


class _Training:
    """The one or two fits of a training, each with its checkpoint.

    Args:
        data: The training images.
        seed: Seed of every generator.
        key: Hash of all inputs.
    """

    def __init__(self, data: Split, seed: int, key: str) -> None:
        self.data, self.seed, self.key = data, seed, key
        self.device = runtime.device()
        self.checkpoints: list[Checkpoint] = []

    def run(
        self,
        settings: ModelSettings,
        part: str,
        train: np.ndarray,
        validation: np.ndarray | None,
        halvings: int = 0,
    ) -> tuple[Classifier, list[Epoch]]:
        """Fit on some images, bool [N], and validate on others, if any."""
        key = f"{part} {self.key} {self.device.type}"
        path = paths.checkpoint(self.key, part)
        checkpoint = Checkpoint(path, key, runtime.checkpoint_seconds())
        self.checkpoints.append(checkpoint)
        name = f"{settings.name}, seed {self.seed}"
        progress = Progress(name if part == "folds" else f"{name}, {part}")
        method = build_method(settings, self.data.meta)
        with runtime.gpu_memory(name):
            trained = fit(
                method,
                self.examples(method, "train", train),
                None if validation is None else self.examples(method, "validation", validation),
                seed=self.seed,
                watcher=progress,
                checkpoint=checkpoint,
                halvings=halvings,
            )
        progress.close()
        return trained

    def examples(self, method: Method, part: Part, chosen: np.ndarray) -> Images:
        """What the method makes of some images, bool [N]."""
        return method.build_examples(Images.of(self.data, self.device, chosen), part, self.seed)

    def remove_checkpoints(self) -> None:
        """Call once everything is written, so that nothing needs to be resumed."""
        for checkpoint in self.checkpoints:
            checkpoint.remove()


def _refit_settings(settings: ModelSettings, meta: Meta, curve: list[Epoch]) -> ModelSettings:
    """The settings for all images: as many epochs as were best on the fold that validates.

    If these are too few for the warm-up or the method, the fewest that are enough.
    """
    train, best = settings.train, settings.train.epochs
    if train.early_stopping:
        best = min(curve, key=lambda row: row.to_improve).epoch
    for epochs in range(best, train.epochs + 1):  # the last is that of the first training
        changed = train.model_copy(update={"epochs": epochs, "early_stopping": None})
        refit = settings.model_copy(update={"train": changed})
        with suppress(ValueError):
            build_method(refit, meta)
            break
    return refit
