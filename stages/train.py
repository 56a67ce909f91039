"""Train one model with one seed: weights, logits on its validation fold, learning curve.

A training that was finished before is found by its inputs and not done again. With `--ahead` it is
kept for that alone: `thumbnets train` runs several so at once, and the stage then finds them.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from thumbnets import paths, runtime
from thumbnets.artifacts import read_json, write_arrays, write_csv
from thumbnets.data.arrays import read_split
from thumbnets.evaluation import views
from thumbnets.methods.base import Part, build_method
from thumbnets.stage import run_stage
from thumbnets.store import project_store, training_key
from thumbnets.training.batches import Images
from thumbnets.training.checkpoint import Checkpoint
from thumbnets.training.classifier import Classifier
from thumbnets.training.loop import Epoch, fit
from thumbnets.training.progress import Progress
from thumbnets.training.settings import ModelSettings
from thumbnets.training.weights import save_weights


def main(slot: str, seed: str, *flags: str) -> None:
    settings = ModelSettings.model_validate(read_json(paths.training_inputs(slot))["settings"])
    store, key = project_store(), training_key(slot, int(seed))
    files = {
        "weights": paths.weights(slot, int(seed)),
        "validation": paths.validation_predictions(slot, int(seed)),
        "history": paths.history(slot, int(seed)),
    }
    if store.has(key) if "--ahead" in flags else store.take(key, files):
        print(f"{settings.name}, seed {seed}: found, trained before")
        return
    with TemporaryDirectory() as folder:
        if "--ahead" in flags:
            files = {name: Path(folder, path.name) for name, path in files.items()}
        train(settings, seed, key, files)
        store.put(key, files)


def train(settings, seed, key, files):
    model = settings.name
    runtime.prepare(threads=1, precision=settings.train.precision)  # `fit` has threads of its own
    data = read_split(paths.TRAIN)
    validates = settings.validates(data.fold, int(seed))
    key = f"{key} {runtime.device().type}"
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
            paths.checkpoint(key.split()[0], part), f"{part} {key}", runtime.checkpoint_seconds()
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
    judged = examples("validation", validates)
    predictions = views.predict(classifier, judged, views.VIEWS)
    save_weights(files["weights"], final, settings)
    write_arrays(
        files["validation"],
        indices=np.flatnonzero(validates),
        labels=judged.labels.cpu().numpy(),
        **{views.array_name(name): logits for name, logits in predictions.items()},
        **method.shown(classifier, judged),
    )
    write_csv(files["history"], map(asdict, curve))
    for checkpoint in kept:
        checkpoint.remove()


def _refit(settings: ModelSettings, curve: list[Epoch]) -> ModelSettings:
    """The settings for all images: as many epochs as the fold that validates found best."""
    epochs = settings.train.epochs
    if settings.train.early_stopping:
        epochs = min(curve, key=lambda row: row.validation_loss).epoch
    changes = {"epochs": epochs, "early_stopping": None}
    return settings.model_copy(update={"train": settings.train.model_copy(update=changes)})


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
