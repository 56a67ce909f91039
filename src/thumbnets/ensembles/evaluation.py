"""Scoring the ensembles of a run on the test predictions of their members."""

from typing import Any

from thumbnets import paths
from thumbnets.artifacts import read_arrays, read_json
from thumbnets.ensembles.members import by_training, training
from thumbnets.ensembles.scoring import score_ensembles
from thumbnets.evaluation.metrics import to_probabilities


def score_run(
    pool: list[str],
    seeds: list[int],
    groups: dict[str, list[int]],
    *,
    rule: str,
    voting: str,
    ece_bins: int,
) -> dict[str, Any]:
    """Read the test predictions and the selection of a run, and score its ensembles.

    Args:
        pool: Blocks that may be members.
        seeds: Seeds of the run.
        groups: Seeds of each ensemble, as `groups_of` gives them.
        rule: Name of the selected rule.
        voting: Way of combining members, `soft` or `hard`.
        ece_bins: Number of bins of the expected calibration error.

    Returns:
        As `score_ensembles`.

    Raises:
        ValueError: An artifact is missing or damaged.
    """
    predictions = {model: read_arrays(paths.test_predictions(model)) for model in pool}
    logits = {model: arrays["logits"] for model, arrays in predictions.items()}
    first = predictions[pool[0]]
    return score_ensembles(
        read_json(paths.SELECTION),
        {
            name: to_probabilities(of_training)
            for name, of_training in by_training(logits, seeds).items()
        },
        first["labels"],
        groups={
            group: [training(model, seed) for model in pool for seed in of_group]
            for group, of_group in groups.items()
        },
        rule=rule,
        voting=voting,
        classes=first["classes"].tolist(),
        image_group=first.get("group"),
        ece_bins=ece_bins,
    )
