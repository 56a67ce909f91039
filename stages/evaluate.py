"""Score all seeds of one model on the test split: predictions, metrics, confusion data."""

import sys

from thumbnets import paths, runtime
from thumbnets.artifacts import read_json, remove_stale
from thumbnets.costs import cost_of_image
from thumbnets.data.arrays import read_checksum, read_meta
from thumbnets.inputs import stage_params
from thumbnets.stage import run_stage
from thumbnets.stale import remove_results_of_other_data
from thumbnets.store import key_of, project_store
from thumbnets.training.settings import ModelSettings


def main(slot: str) -> None:
    params = stage_params("evaluate")
    remove_results_of_other_data(read_checksum(paths.TEST))
    remove_stale(paths.weights_folder(slot), [f"{seed}.safetensors" for seed in params.seeds])
    weights = [paths.weights(slot, seed) for seed in params.seeds]
    inputs = [paths.stage_inputs("evaluate"), paths.training_inputs(slot), paths.TEST / "meta.json"]
    inputs += [path for path in [paths.TEST / "group.npy"] if path.is_file()]
    files = {
        "predictions": paths.test_predictions(slot),
        "confusion": paths.confusion(slot),
        "metrics": paths.metrics(slot),
        "correct": paths.correct(slot),
    }
    store, key = project_store(runtime.device_type()), key_of("evaluate", *inputs, *weights)
    if store.take(key, files):
        print(f"{slot}: found, evaluated before")
        return
    from thumbnets.evaluation.evaluate import evaluate, write_evaluation  # torch takes seconds

    settings = ModelSettings.model_validate(read_json(paths.training_inputs(slot))["settings"])
    write_evaluation(evaluate(settings, weights, params.seeds, params.evaluation), files)
    store.put(key, files)
    cost_of_image("evaluate", slot, settings, read_meta(paths.TEST / "meta.json"))  # for the report


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
