"""Removing what earlier runs have left behind: it must change neither a result nor dvc.lock.

A model or seed that was taken off its list leaves files in folders that later stages depend on as a
whole. Stage `code` removes them when params change; stages that summarise do so before they read.
After a change of the data, the first evaluation removes the results on the previous data, which
would otherwise stay beside its own until all evaluations are done.
"""

from pathlib import Path

from thumbnets import paths
from thumbnets.artifacts import read_json, remove_stale
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


def remove_results_of_other_data(checksum: str) -> None:
    """Remove what evaluations found on other test images: metrics, bits, predictions.

    Args:
        checksum: Checksum of the test images, as `read_checksum` gives it.
    """
    found = sorted(paths.MODEL_METRICS.glob("*.json"))
    for metrics in [path for path in found if _checksum(path) != checksum]:
        slot = metrics.stem
        for of_slot in (paths.correct, paths.test_predictions, paths.confusion):
            of_slot(slot).unlink(missing_ok=True)
        metrics.unlink()
    ensemble = paths.ENSEMBLE_METRICS
    if ensemble.is_file() and _checksum(ensemble) != checksum:
        for path in (paths.correct(ensemble.stem), paths.SUMMARY, ensemble):
            path.unlink(missing_ok=True)


def _checksum(metrics: Path) -> str | None:
    """The checksum that a file of metrics states; None for a damaged one, or an older version."""
    try:
        return read_json(metrics).get("test_sha256")
    except (ValueError, AttributeError):
        return None


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
    of_headline = (paths.weights_folder, paths.validation_folder, paths.history_folder)
    files = (paths.test_predictions, paths.confusion)
    found[Path(paths.HEADLINE)] = [of(paths.HEADLINE).name for of in (*of_headline, *files)]
    found[paths.TEST_PREDICTIONS] = [f"{model}.npz" for model in params.pool]
    found[paths.CONFUSION] = [f"{model}.csv" for model in params.pool]
    found[paths.MODEL_METRICS] = [f"{slot}.json" for slot in slots]
    found[paths.CORRECT] = [f"{slot}.json" for slot in [*slots, paths.ENSEMBLE_METRICS.stem]]
    return found
