"""Check the params, and write what each stage and each training depends on: build/inputs."""

import shutil

from thumbnets import paths
from thumbnets.artifacts import write_json
from thumbnets.feasible import check_feasible
from thumbnets.inputs import READS, overridden, stage_inputs, training_inputs
from thumbnets.params import load_params
from thumbnets.stage import run_stage
from thumbnets.stale import remove_stale_runs
from thumbnets.watched import check_watched


def main() -> None:
    params = load_params()
    check_watched(params)
    stages = {stage: stage_inputs(params, stage) for stage in [*READS, "pretrain"]}
    trainings = {slot: training_inputs(params, params.block_of(slot)) for slot in params.pool}
    trainings[paths.HEADLINE] = training_inputs(params, params.model)
    check_feasible(params, {params.block_of(slot): inputs for slot, inputs in trainings.items()})
    for sentence in overridden(params):
        print(sentence)
    shutil.rmtree(paths.INPUTS, ignore_errors=True)
    for stage, content in stages.items():
        write_json(paths.stage_inputs(stage), content, exact=True)
    for slot, content in trainings.items():
        write_json(paths.training_inputs(slot), content, exact=True)
    remove_stale_runs(params)


if __name__ == "__main__":
    run_stage(main)
