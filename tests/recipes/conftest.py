"""A small project with one recipe, and its result, without any training."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thumbnets import paths
from thumbnets.artifacts import sha256, write_array, write_arrays, write_bytes, write_json
from thumbnets.evaluation.metrics import score_logits
from thumbnets.evaluation.summaries import over_seeds
from thumbnets.params import Params
from thumbnets.recipes.recipe import RecipeFile, read_recipe
from thumbnets.yaml_files import read_yaml

RIGHT = {"lenet_300_100": [30, 34], "lenet5": [38, 38]}  # of 40 test images, by model and seed
CLASSES = ["a", "b", "c"]
RECIPE = """\
title: A try
shows: That it can be tried.
goals:
- {of: lenet5, metric: accuracy, value: 0.95, source: a book}
- {of: lenet_300_100, metric: error, value: 0.19}
data: {name: digits}
model: lenet5
pool: [lenet_300_100]
seeds: [3, 5]
models:
  lenet5: {epochs: 2}
"""


@pytest.fixture
def project(root, tmp_path, monkeypatch) -> Path:
    """The project's params, zoo and code, with one recipe; the working folder."""
    for name in ("src", "stages", "zoo", "requirements.lock"):
        (tmp_path / name).symlink_to(root / name)
    shutil.copy(root / "params.yaml", tmp_path)
    write_bytes(tmp_path / "recipes/digits/try.yaml", RECIPE.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def recipe(project) -> RecipeFile:
    """The recipe of the small project."""
    return read_recipe(project / "recipes/digits/try.yaml", project)


@pytest.fixture
def params(recipe) -> Params:
    """Its params."""
    return recipe.params(read_yaml(paths.PARAMS))


def logits(right: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 [40, 3] that are right for the first images, and labels int64 [40]."""
    labels = np.arange(40) % 3
    predicted = np.where(np.arange(40) < right, labels, (labels + 1) % 3)
    return 3 * np.eye(3, dtype=np.float32)[predicted], labels


@pytest.fixture
def artifacts(project, params) -> dict[str, Any]:
    """What a run of the recipe would have written; by model the checksums of its weights."""
    checksums: dict[str, list[str]] = {}
    for name, slot in params.slots.items():
        of_seeds = [logits(right)[0] for right in RIGHT[name]]
        labels = logits(0)[1]
        scores = [score_logits(of, labels, ece_bins=15) for of in of_seeds]
        summed_up = over_seeds(scores, classes=CLASSES, images=40)
        write_json(paths.metrics(slot), summed_up | {"parameters": 7})
        write_arrays(paths.test_predictions(slot), logits=np.stack(of_seeds), labels=labels)
        write_json(paths.training_inputs(slot), {})
        for seed in params.seeds:
            write_json(paths.encoder_of(slot, seed), {})
            write_bytes(paths.weights(slot, seed), f"{name} {seed}".encode())
            checksums.setdefault(name, []).append(sha256(paths.weights(slot, seed)))
        if slot != paths.HEADLINE:
            counted = summed_up
    vote = {key: counted[key] for key in ("accuracy", "wilson")}
    ensemble = {
        "selected": counted,
        "members": {"lenet_300_100": {"weight": 1.0}},
        "rule": "greedy_loss",
        "voting": "soft",
        "rules": {"all": {"soft": vote, "hard": vote}, "stacking": {"soft": vote}},
    }
    write_json(paths.ENSEMBLE_METRICS, ensemble)
    write_json(paths.SUMMARY, {"ensemble": {"parameters": 7}})
    for folder, images in ((paths.TRAIN, 100), (paths.TEST, 40)):
        meta = {"dataset": "digits", "sha256": f"{images:064}", "counts": [images, 0, 0]}
        write_json(folder / "meta.json", meta)
    write_array(paths.TRAIN / "fold.npy", np.zeros(100, np.uint8))
    return checksums
