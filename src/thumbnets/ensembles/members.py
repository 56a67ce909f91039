"""Names of ensemble rules and of ensemble members.

Members are trainings, each named after its model block and seed, in groups of seeds.
`ensemble.seeds` is the number of seeds in one ensemble. With 1 the members are the models of the
pool, and every seed repeats the experiment; with n they are all the trainings of n seeds.
"""

from collections.abc import Mapping

import numpy as np

BY_OBJECTIVE = ("best", "greedy", "bagged")  # rules that are fitted for each objective


def rule_of(rule: str, objective: str) -> str:
    """Full name of a rule: `greedy_loss`; `weighted`, which has no objective."""
    return f"{rule}_{objective}" if rule in BY_OBJECTIVE else rule


def groups_of(seeds: list[int], size: int) -> dict[str, list[int]]:
    """The seeds of each ensemble; their list is its name: `0`, or `0 1 2`.

    Args:
        seeds: Seeds of the run, one training each; their number is a multiple of `size`.
        size: Number of seeds of one ensemble.
    """
    groups = (seeds[first : first + size] for first in range(0, len(seeds), size))
    return {" ".join(map(str, group)): group for group in groups}


def training(model: str, seed: int) -> str:
    """Name of a training, as in DVC; names of blocks have no hyphen."""
    return f"{model}-{seed}"


def model_of(training: str) -> str:
    """The model block of a training."""
    return training.rpartition("-")[0]


def by_training(arrays: Mapping[str, np.ndarray], seeds: list[int]) -> dict[str, np.ndarray]:
    """Split arrays [S, …] of each model into arrays […] of each training."""
    return {
        training(model, seed): of_seed
        for model, of_model in arrays.items()
        for seed, of_seed in zip(seeds, of_model, strict=True)
    }
