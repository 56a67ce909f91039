"""Train one model with one seed: weights, logits on its validation fold, learning curve."""

import sys
from dataclasses import asdict

import numpy as np
import torch

from thumbnets import paths, runtime
from thumbnets.artifacts import read_json, write_arrays, write_csv
from thumbnets.data.arrays import read_split
from thumbnets.stage import run_stage
from thumbnets.training.loop import Images, fit
from thumbnets.training.progress import Progress
from thumbnets.training.settings import ModelSettings
from thumbnets.training.weights import save_weights


def main(model: str, seed: str) -> None:
    settings = ModelSettings.model_validate(read_json(paths.model_code(model))["settings"])
    runtime.prepare(threads=settings.train.threads)
    data = read_split(paths.TRAIN)
    folds = int(data.fold.max()) + 1
    validates = data.fold == settings.validation_fold(int(seed), folds)

    def images(chosen: np.ndarray) -> Images:
        tensors = torch.from_numpy(data.images[chosen]), torch.from_numpy(data.labels[chosen])
        return Images(*(tensor.to(runtime.device()) for tensor in tensors))

    progress = Progress(f"{model}, seed {seed}")
    classifier, curve = fit(
        settings,
        images(~validates),
        images(validates),
        data.meta,
        seed=int(seed),
        watcher=progress,
    )
    progress.close()
    save_weights(paths.weights(model, seed), classifier.network, settings, data.meta)
    write_arrays(
        paths.validation_predictions(model, seed),
        logits=classifier.logits(torch.from_numpy(data.images[validates])),
        indices=np.flatnonzero(validates),
        labels=data.labels[validates],
    )
    write_csv(paths.history(model, seed), map(asdict, curve))


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
