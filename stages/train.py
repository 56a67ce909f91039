"""Train one model with one seed: weights, logits on its validation fold, learning curve.

With `--ahead` only the trained state is kept, among the checkpoints: `thumbnets train` runs several
so at once, and the stage then goes on from there.
"""

import hashlib
import sys
from dataclasses import asdict

import numpy as np

from thumbnets import paths, runtime
from thumbnets.artifacts import read_json, write_arrays, write_csv
from thumbnets.data.arrays import Split, read_split
from thumbnets.evaluation import views
from thumbnets.methods.base import Part, build_method
from thumbnets.stage import run_stage
from thumbnets.training.batches import Images
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.classifier import Classifier
from thumbnets.training.loop import Epoch, fit
from thumbnets.training.progress import Progress
from thumbnets.training.settings import ModelSettings
from thumbnets.training.weights import save_weights


def main(model: str, seed: str, *flags: str) -> None:
    settings = ModelSettings.model_validate(read_json(paths.model_code(model))["settings"])
    runtime.prepare(threads=1, precision=settings.train.precision)  # `fit` has threads of its own
    data = read_split(paths.TRAIN)
    validates = settings.validates(data.fold, int(seed))
    key = _key(model, seed, data)
    method = build_method(settings, data.meta)
    kept = []

    def examples(part: Part, chosen: np.ndarray) -> Images:
        return method.examples(Images.of(data, runtime.device(), chosen), part, int(seed))

    def train(
        of: ModelSettings,
        part: str,
        chosen: np.ndarray,
        judge: np.ndarray | None,
        halvings: int = 0,
    ) -> tuple[Classifier, list[Epoch]]:
        checkpoint = Checkpoint(
            paths.checkpoint(model, seed, part), f"{part} {key}", runtime.checkpoint_seconds()
        )
        kept.append(checkpoint)
        progress = Progress(f"{model}, seed {seed}{'' if part == 'folds' else f', {part}'}")
        trained = fit(
            of,
            examples("train", chosen),
            None if judge is None else examples("validation", judge),
            method.task,
            seed=int(seed),
            watcher=progress,
            checkpoint=checkpoint,
            halvings=halvings,
        )
        progress.close()
        return trained

    classifier, curve = train(settings, "folds", ~validates, validates)
    final = classifier
    if settings.train.refit:
        everything = np.ones_like(validates)
        final, _ = train(_refit(settings, curve), "refit", everything, None, classifier.halvings)
    if "--ahead" in flags:
        return
    judged = examples("validation", validates)
    predictions = views.predict(classifier, judged, views.VIEWS)
    save_weights(paths.weights(model, seed), final, settings)
    write_arrays(
        paths.validation_predictions(model, seed),
        indices=np.flatnonzero(validates),
        labels=judged.labels.cpu().numpy(),
        **{views.array_name(name): logits for name, logits in predictions.items()},
        **method.shown(classifier, judged),
    )
    write_csv(paths.history(model, seed), map(asdict, curve))
    for checkpoint in kept:
        checkpoint.remove()


def _refit(settings: ModelSettings, curve: list[Epoch]) -> ModelSettings:
    """The settings for all images: as many epochs as the fold that validates found best."""
    epochs = settings.train.epochs
    if settings.train.early_stopping:
        epochs = min(curve, key=lambda row: row.validation_loss).epoch
    changes = {"epochs": epochs, "early_stopping": None}
    return settings.model_copy(update={"train": settings.train.model_copy(update=changes)})


def _key(model: str, seed: str, data: Split) -> str:
    """All that the trained bytes rest on: settings, code, an encoder, images and folds."""
    files = [paths.model_code(model), paths.encoder_of(model, seed)]
    parts = [*(f.read_bytes() for f in files), data.identity, runtime.device().type.encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
