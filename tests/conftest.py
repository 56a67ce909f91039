"""What several test files share: settings with quick defaults, toy images, a silent watcher."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from thumbnets.artifacts import write_arrays, write_json
from thumbnets.data.arrays import Meta
from thumbnets.estimator import DEFAULTS
from thumbnets.methods.base import build_method
from thumbnets.methods.weights import save_weights
from thumbnets.training.batches import Images
from thumbnets.training.classifier import Classifier
from thumbnets.training.loop import Epoch
from thumbnets.training.settings import ModelSettings, TrainSettings

ROOT = Path(__file__).parents[1]

os.environ.setdefault("THUMBNETS_DEVICE", "cpu")  # what is expected is computed there

torch.set_num_threads(1)  # batches here are too small to be worth sharing

# The same examples every time: a test fails by the code, not by the hour or the load.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

QUICK = {
    **DEFAULTS,
    "epochs": 2,
    "batch_size": 16,
    "lr": 0.05,
    "weight_decay": 0.0,
    "schedule": "constant",
    "augment": [],
    "threads": 2,
}


@pytest.fixture
def root() -> Path:
    """The root of the project."""
    return ROOT


@pytest.fixture
def copied(root, tmp_path) -> Path:
    """A copy of the project's code and params, to be changed."""
    for folder in ("src", "stages", "zoo"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(root / folder, tmp_path / folder, ignore=ignored)
    (tmp_path / "images").mkdir()
    for file in ("params.yaml", "requirements.lock"):
        shutil.copy(root / file, tmp_path / file)
    return tmp_path


@pytest.fixture
def remembered(copied, tmp_path_factory) -> Path:
    """As `copied`, with what stage `code` has cached about networks in other tests."""
    shared = tmp_path_factory.getbasetemp() / "feasible"
    shared.mkdir(exist_ok=True)
    (copied / ".dvc/cache").mkdir(parents=True)
    (copied / ".dvc/cache/feasible").symlink_to(shared)
    return copied


@pytest.fixture
def train_settings() -> Callable[..., TrainSettings]:
    """Makes training settings from `QUICK` and the given changes."""
    return lambda **changes: TrainSettings.model_validate({**QUICK, **changes})


@pytest.fixture
def model_settings(train_settings) -> Callable[..., ModelSettings]:
    """Makes the settings of a model block called `toy`."""

    def make(arch: str = "lenet_300_100", options: dict | None = None, **train) -> ModelSettings:
        settings = train_settings(**train)
        settings.check_method()
        return ModelSettings(
            name="toy", arch=arch, options=options or {}, train=settings, rotate=False
        )

    return make


@pytest.fixture
def meta() -> Meta:
    """Metadata of `toy_images`: three classes of 8x8 grey images."""
    return Meta("toy", ["dark", "left", "right"], 1, 8, [0.2], [0.3], [20, 20, 20], "0" * 64)


@pytest.fixture
def toy_images() -> Callable[..., Images]:
    """Makes `n` images that are easy to tell apart: dark, or bright on the left or right."""

    def make(n: int, seed: int = 0) -> Images:
        rng = np.random.default_rng(seed)
        labels = np.arange(n) % 3
        images = rng.integers(0, 60, (n, 1, 8, 8))
        images[labels == 1, :, :, :4] += 150
        images[labels == 2, :, :, 4:] += 150
        return Images(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels))

    return make


class Recorder:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.started: list[tuple[int, int]] = []
        self.batches = 0
        self.epochs: list[Epoch] = []

    def start(self, epochs: int, steps: int, done: int) -> None:
        self.started.append((epochs, steps))

    def batch(self) -> None:
        self.batches += 1

    def epoch(self, row: Epoch) -> None:
        self.epochs.append(row)


@pytest.fixture
def watcher() -> Recorder:
    """A watcher that keeps what it is told."""
    return Recorder()


@pytest.fixture
def python() -> Callable[..., str]:
    """Runs code in a fresh interpreter, by default in the root of the project."""

    def run(code: str, *arguments: str, cwd: Path = ROOT) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def small_run(meta, model_settings, tmp_path, monkeypatch) -> Path:
    """A run in the working folder: untrained networks a and b with all that prediction needs."""
    folder, rng = tmp_path / "run", np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    for number, name in enumerate("ab"):
        settings = model_settings().model_copy(update={"name": name})
        torch.manual_seed(number)
        classifier = Classifier(build_method(settings, meta).network(), meta)
        save_weights(folder / f"weights/{name}/0.safetensors", classifier, settings)
        logits = rng.normal(size=(60, 3)) + 2 * np.eye(3)[labels]
        validation = folder / f"predictions/validation/{name}/0.npz"
        validation.parent.mkdir(parents=True)
        write_arrays(validation, logits=logits.astype(np.float32), labels=labels)
    write_json(folder / "ensembles/selection.json", {"0": {"all": {"votes": {"a-0": 3, "b-0": 1}}}})
    write_json(folder / "metrics/ensemble.json", {"rule": "all", "voting": "soft"})
    monkeypatch.chdir(folder)
    return folder
