"""Score the selected ensembles on the test predictions; write the summary of the run."""

from thumbnets import paths
from thumbnets.artifacts import read_arrays, read_json, write_json
from thumbnets.ensembles.scoring import score_ensembles
from thumbnets.evaluation.metrics import to_probabilities
from thumbnets.evaluation.summaries import summary
from thumbnets.params import load_params
from thumbnets.stage import run_stage


def main() -> None:
    params = load_params()
    metrics = {model: read_json(paths.metrics(model)) for model in params.run}
    predictions = {model: read_arrays(paths.test_predictions(model)) for model in params.members}
    ensemble = score_ensembles(
        read_json(paths.SELECTION),
        {model: to_probabilities(arrays["logits"]) for model, arrays in predictions.items()},
        predictions[params.members[0]]["labels"],
        seeds=params.seeds,
        objective=params.ensemble.objective,
        voting=params.ensemble.voting,
        classes=predictions[params.members[0]]["classes"].tolist(),
        ece_bins=params.evaluation.ece_bins,
    )
    write_json(paths.ENSEMBLE_METRICS, ensemble)
    write_json(paths.SUMMARY, summary(params.model, metrics, ensemble))


if __name__ == "__main__":
    run_stage(main)
