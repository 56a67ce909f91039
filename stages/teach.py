"""Predict the training images with the selected ensemble, if `ensemble.teach` is set: teacher/."""

import shutil

from thumbnets import paths
from thumbnets.artifacts import read_json, write_arrays
from thumbnets.ensembles.members import groups_of
from thumbnets.inputs import stage_params
from thumbnets.stage import run_stage
from thumbnets.stale import remove_stale_runs


def main() -> None:
    params = stage_params("teach")
    shutil.rmtree(paths.TEACHER, ignore_errors=True)
    paths.TEACHER.mkdir()
    remove_stale_runs(params, paths.WEIGHTS)
    if params.ensemble.teach is None:
        return
    from thumbnets.ensembles.teaching import teacher  # not before: importing torch takes seconds

    selection = read_json(paths.SELECTION)
    groups = groups_of(params.seeds, params.ensemble.seeds)
    ensembles = [selection[group][params.ensemble.counts] for group in groups]
    weights = {
        (model, seed): paths.weights(model, seed) for model in params.pool for seed in params.seeds
    }
    arrays = teacher(ensembles, weights, params.ensemble.teach, threads=params.train.threads)
    write_arrays(paths.TEACHER / "teacher.npz", **arrays)


if __name__ == "__main__":
    run_stage(main)
