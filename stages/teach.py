"""Ask the selected ensemble about the training images, if `ensemble.teach` says so: teacher/."""

import shutil

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import read_json, write_arrays
from thumbnets.inputs import stage_params
from thumbnets.stage import run_stage
from thumbnets.stale import remove_stale_runs


def main() -> None:
    params = stage_params("teach")
    shutil.rmtree(paths.TEACHER, ignore_errors=True)
    paths.TEACHER.mkdir()
    remove_stale_runs(params, paths.WEIGHTS)
    views = params.ensemble.teach
    if views is None:
        return
    # Not before: importing torch takes seconds.
    from thumbnets import runtime
    from thumbnets.data.arrays import read_split
    from thumbnets.ensembles.members import groups_of, training
    from thumbnets.ensembles.teaching import chosen, teach
    from thumbnets.methods.weights import load_weights
    from thumbnets.training.batches import Images

    runtime.prepare(threads=params.train.threads)
    device, data = runtime.device(), read_split(paths.TRAIN)
    selection = read_json(paths.SELECTION)
    groups = groups_of(params.seeds, params.ensemble.seeds)
    ensembles = [selection[group][params.ensemble.counts] for group in groups]
    asked = chosen(ensembles)
    members = {
        training(model, seed): load_weights(paths.weights(model, seed), device)
        for model in params.pool
        for seed in params.seeds
        if training(model, seed) in asked
    }
    write_arrays(
        paths.TEACHER / "teacher.npz",
        log_probabilities=teach(ensembles, members, Images.of(data, device), views),
        views=np.array(views),
        classes=np.array(data.meta.classes),
        sha256=np.array(data.meta.sha256),
    )


if __name__ == "__main__":
    run_stage(main)
