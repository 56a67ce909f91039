"""Score the selected ensembles on the test predictions; write the summary of the run."""

from thumbnets import paths
from thumbnets.artifacts import read_json, write_json
from thumbnets.ensembles.evaluation import score_run
from thumbnets.ensembles.members import groups_of
from thumbnets.ensembles.predictions import read_ensemble_predictions
from thumbnets.evaluation.correctness import correctness, write_correctness
from thumbnets.evaluation.summaries import common_checksum, summary
from thumbnets.inputs import stage_params
from thumbnets.paths import ENSEMBLE
from thumbnets.stage import run_stage
from thumbnets.stale import remove_stale_runs


def main() -> None:
    params = stage_params("evaluate_ensemble")
    remove_stale_runs(params, paths.MODEL_METRICS, paths.TEST_PREDICTIONS)
    metrics = {model: read_json(paths.metrics(slot)) for model, slot in params.slots.items()}
    groups = groups_of(params.seeds, params.ensemble.seeds)
    ensemble = score_run(
        params.pool,
        params.seeds,
        groups,
        rule=params.ensemble.counts,
        voting=params.ensemble.voting,
        ece_bins=params.evaluation.ece_bins,
    )
    ensemble["test_sha256"] = common_checksum(metrics)
    write_json(paths.ENSEMBLE_METRICS, ensemble)
    write_json(paths.SUMMARY, summary(params.model, metrics, ensemble))
    found = read_ensemble_predictions()
    correct = correctness(ENSEMBLE, found.predicted, found.labels, list(groups), found.group)
    write_correctness(paths.correct(ENSEMBLE), correct)


if __name__ == "__main__":
    run_stage(main)
