"""Small projects with hand-made metrics, in repositories of their own; nothing is trained."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from thumbnets.artifacts import write_json, write_text
from thumbnets.evaluation.correctness import correctness, write_correctness

IMAGES = 1_000


class Project:
    """A project that is committed state by state."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.params: dict = {
            "model": "one",
            "pool": ["one", "two"],
            "seeds": [0],
            "data": {"name": "digits"},
            "train": {"epochs": 2, "lr": 0.1, "method": "supervised"},
            "models": {"one": {"arch": "mlp4"}, "two": {"arch": "cnn_a", "lr": 0.2}},
        }
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def score(
        self,
        name: str,
        wrong: int,
        *,
        model: str | None = None,
        images: int = IMAGES,
        seeds: tuple[int | str, ...] = (0,),
        labels: int = 0,
        first: int = 0,
        group: np.ndarray | None = None,
        sha256: str | None = None,
    ) -> None:
        """Write metrics of a classifier that errs on so many images, beginning with `first`."""
        truth = (np.arange(images) + labels) % 10
        predicted = np.stack([truth] * len(seeds))
        predicted[:, first : first + wrong] += 1
        metrics = {"accuracy": {"mean": 1 - wrong / images}, "parameters": 10, "seeds": len(seeds)}
        metrics["multiply_accumulates"] = 20
        path, of = self.root / "metrics", {"test_sha256": sha256} if sha256 else {}
        if name == "ensemble":
            write_json(path / "ensemble.json", {"selected": metrics, **of})
        else:
            write_json(path / "models" / f"{name}.json", metrics | of)
        found = correctness(model or name, predicted, truth, seeds, group)
        write_correctness(path / "correct" / f"{name}.json", found)

    def write(self, path: str, text: str) -> None:
        write_text(self.root / path, text)

    def lock(self, dataset: str) -> None:
        """Write a dvc.lock of a run with the present params, on raw files with that checksum."""
        stages = {
            "code": {"params": {"params.yaml": self.params}},
            "download": {"outs": [{"path": "data/raw/dataset", "md5": dataset}]},
        }
        with (self.root / "dvc.lock").open("w") as file:
            YAML(pure=True).dump({"schema": "2.0", "stages": stages}, file)

    def save(self) -> None:
        write_json(self.root / "params.yaml", self.params)  # JSON is YAML

    def commit(self, message: str = "a state") -> str:
        self.save()
        self.git("add", "-A")
        self.git("commit", "-qm", message, "--allow-empty")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    """A project whose headline, ensemble and two models are scored, not yet committed."""
    for name in [key for key in os.environ if key.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "someone")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "someone@example.org")
    monkeypatch.chdir(tmp_path)
    found = Project(tmp_path)
    found.score("headline", 100, model="one")
    found.score("one", 100)
    found.score("two", 200)
    found.score("ensemble", 90)
    return found
