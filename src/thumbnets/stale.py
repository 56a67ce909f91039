"""What earlier runs have left behind: it must change neither a result nor dvc.lock.

A model or seed that was taken off its list leaves files in folders that later stages depend on as a
whole. Stage `code` removes them when params change; the stages that sum up do so before they read.
"""

from pathlib import Path

from thumbnets import paths
from thumbnets.artifacts import remove_stale
from thumbnets.params import Params


def remove_stale_runs(params: Params, *folders: Path) -> None:
    """Remove what params do not name from folders of results.

    Args:
        params: Params of the run, with `pool` and `seeds`.
        folders: The folders; none: all that stages depend on as a whole.
    """
    for folder, names in _expected(params).items():
        if not folders or any(folder.is_relative_to(given) for given in folders):
            remove_stale(folder, names)


def _expected(params: Params) -> dict[Path, list[str]]:
    """Every folder of results, and the names of what belongs there."""
    slots, found = [*params.pool, paths.HEADLINE], {}
    for folder, of_slot, end in (
        (paths.WEIGHTS, paths.weights_folder, ".safetensors"),
        (paths.VALIDATION, paths.validation_folder, ".npz"),
        (paths.HISTORY, paths.history_folder, ".csv"),
    ):
        found[folder] = params.pool
        found |= {of_slot(slot): [f"{seed}{end}" for seed in params.seeds] for slot in slots}
    found[paths.TEST_PREDICTIONS] = [f"{model}.npz" for model in params.pool]
    found[paths.CONFUSION] = [f"{model}.csv" for model in params.pool]
    found[paths.MODEL_METRICS] = [f"{slot}.json" for slot in slots]
    found[paths.CORRECT] = [f"{slot}.json" for slot in [*slots, paths.ENSEMBLE_METRICS.stem]]
    return found
