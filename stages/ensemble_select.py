"""Choose ensemble members on validation logits alone: ensembles/selection.json."""

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import keep_only, read_arrays, write_json
from thumbnets.ensembles.selection import select_members
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.evaluation.views import array_name
from thumbnets.params import load_params
from thumbnets.stage import run_stage


def main() -> None:
    params = load_params()
    for model in params.members:
        keep_only(paths.VALIDATION / model, [f"{seed}.npz" for seed in params.seeds])
    selection = {}
    for seed in params.seeds:
        runs = [read_arrays(paths.validation_predictions(m, seed)) for m in params.members]
        selection[str(seed)] = select_members(
            params.members,
            to_probabilities(np.stack([run[array_name(params.evaluation.tta)] for run in runs])),
            runs[0]["labels"],
            steps=params.ensemble.steps,
        )
    write_json(paths.SELECTION, selection)


if __name__ == "__main__":
    run_stage(main)
