"""What the tests of launching share: a real Slurm, and toy trainings."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.launch.cluster import hindrance, running_slurm
from tests.launch.stand_in import WORKER
from thumbnets.launch.base import Training


@pytest.fixture
def training() -> Callable[..., Training]:
    """Makes a training of two epochs."""

    def make(name: str = "good", seed: int = 0, **changes) -> Training:
        key = f"{name}{seed}".encode().hex().ljust(64, "0")
        return Training(
            **{"slot": name, "seed": seed, "key": key, "name": name, "epochs": 2} | changes
        )

    return make


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder, entered, whose worker is `stand_in.WORKER`."""
    for package in ("thumbnets", "thumbnets/launch"):
        (tmp_path / "src" / package).mkdir(parents=True)
        (tmp_path / "src" / package / "__init__.py").touch()
    (tmp_path / "src/thumbnets/launch/worker.py").write_text(WORKER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[None]:
    """A real Slurm that runs four jobs at once."""
    if reason := hindrance():
        pytest.skip(reason)
    with running_slurm(tmp_path_factory.mktemp("slurm"), cores=4):
        yield
