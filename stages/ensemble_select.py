"""Fit every ensemble rule on validation logits alone: ensembles/selection.json."""

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import read_arrays, write_json
from thumbnets.ensembles.members import groups_of, training
from thumbnets.ensembles.rules import fit_rules
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.evaluation.views import array_name
from thumbnets.inputs import stage_params
from thumbnets.stage import run_stage
from thumbnets.stale import remove_stale_runs


def main() -> None:
    params = stage_params("ensemble_select")
    remove_stale_runs(params, paths.VALIDATION)
    selection = {}
    for group, seeds in groups_of(params.seeds, params.ensemble.seeds).items():
        runs = {
            training(model, seed): read_arrays(paths.validation_predictions(model, seed))
            for model in params.pool
            for seed in seeds
        }
        logits = [run[array_name(params.evaluation.tta)] for run in runs.values()]
        images = next(iter(runs.values()))
        selection[group] = fit_rules(
            list(runs),
            to_probabilities(np.stack(logits)),
            images["labels"],
            steps=params.ensemble.steps,
            objective=params.ensemble.objective,
            groups=images.get("group"),
        )
    write_json(paths.SELECTION, selection)


if __name__ == "__main__":
    run_stage(main)
