"""Score the selected ensembles on the test predictions; write the summary of the run."""

from thumbnets import paths
from thumbnets.artifacts import read_arrays, read_json, write_json
from thumbnets.ensembles.members import by_training, groups_of, training
from thumbnets.ensembles.predictions import ENSEMBLE, read_ensemble_predictions
from thumbnets.ensembles.scoring import score_ensembles
from thumbnets.evaluation.correctness import correctness, write_correctness
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.evaluation.summaries import summary
from thumbnets.inputs import stage_params
from thumbnets.stage import run_stage
from thumbnets.stale import remove_stale_runs


def main() -> None:
    params = stage_params("evaluate_ensemble")
    remove_stale_runs(params, paths.MODEL_METRICS, paths.TEST_PREDICTIONS)
    metrics = {model: read_json(paths.metrics(slot)) for model, slot in params.slots.items()}
    predictions = {model: read_arrays(paths.test_predictions(model)) for model in params.pool}
    logits = {model: arrays["logits"] for model, arrays in predictions.items()}
    groups = groups_of(params.seeds, params.ensemble.seeds)
    ensemble = score_ensembles(
        read_json(paths.SELECTION),
        {
            name: to_probabilities(of_training)
            for name, of_training in by_training(logits, params.seeds).items()
        },
        predictions[params.pool[0]]["labels"],
        groups={
            group: [training(model, seed) for model in params.pool for seed in seeds]
            for group, seeds in groups.items()
        },
        rule=params.ensemble.counts,
        voting=params.ensemble.voting,
        classes=predictions[params.pool[0]]["classes"].tolist(),
        ece_bins=params.evaluation.ece_bins,
    )
    write_json(paths.ENSEMBLE_METRICS, ensemble)
    found = read_ensemble_predictions()
    correct = correctness(ENSEMBLE, found.predicted, found.labels, list(groups))
    write_correctness(paths.correct(ENSEMBLE), correct)
    write_json(paths.SUMMARY, summary(params.model, metrics, ensemble))


if __name__ == "__main__":
    run_stage(main)
