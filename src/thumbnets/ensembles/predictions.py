"""Test predictions of the selected ensemble, combined from those of its members."""

import numpy as np

from thumbnets import paths
from thumbnets.artifacts import read_json
from thumbnets.ensembles.members import by_training, model_of
from thumbnets.ensembles.rules import combine, members_of
from thumbnets.evaluation.metrics import to_log_probabilities
from thumbnets.evaluation.predictions import Predictions, check_alike, read_predictions


def read_ensemble_predictions() -> Predictions:
    """Combine the test predictions of the selected ensemble's members.

    Raises:
        ValueError: An artifact is missing, or the artifacts come from different runs.
    """
    selected, selection = read_json(paths.ENSEMBLE_METRICS), read_json(paths.SELECTION)
    if selected.get("rule") not in next(iter(selection.values())):
        raise ValueError(f"{paths.SELECTION} is of an older version: run `dvc repro`.")
    ensembles = {group: of_group[selected["rule"]] for group, of_group in selection.items()}
    names = sorted({model_of(t) for chosen in ensembles.values() for t in members_of(chosen)})
    members = {name: read_predictions(name) for name in names}
    check_alike(members)
    first = members[names[0]]
    # JSON sorts groups by name; here they are in the order of the seeds.
    groups = sorted(ensembles, key=lambda group: _place(group, first.seeds))
    if [int(seed) for group in groups for seed in group.split()] != first.seeds:
        raise ValueError(f"{paths.SELECTION} is of other seeds than {names[0]}: run `dvc repro`.")
    probabilities = by_training(
        {name: np.exp(member.log_probabilities) for name, member in members.items()}, first.seeds
    )
    voted = [combine(ensembles[group], probabilities, selected["voting"]) for group in groups]
    return Predictions(
        log_probabilities=to_log_probabilities(np.stack(voted)),
        labels=first.labels,
        seeds=first.seeds,
        hard=selected["voting"] == "hard",
        group=first.group,
    )


def _place(group: str, seeds: list[int]) -> int:
    first = int(group.split()[0])
    return seeds.index(first) if first in seeds else -1
