"""One recipe as a user runs it: killed, run again, judged and verified."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EPOCHS = 40
RECIPE = f"""\
title: A try
shows: That a killed run goes on.
goals:
- {{of: lenet_300_100, metric: accuracy, value: 0.5}}
data: {{name: digits}}
model: lenet_300_100
pool: [lenet_300_100]
seeds: [1]
models:
  lenet_300_100: {{epochs: {EPOCHS}}}
"""


@dataclass
class Ran:
    """A project in which the recipe was killed and run again.

    Attributes:
        folder: The project.
        told: What a second run said while the first was under way.
        after_kill: What git saw in the user's tree after the kill.
        resumed: What the last run printed.
    """

    folder: Path
    told: str
    after_kill: str
    resumed: str

    def run(self, *arguments: str, code: int = 0) -> str:
        """What `thumbnets` prints."""
        return thumbnets(self.folder, *arguments, code=code)


def environment(folder: Path) -> dict[str, str]:
    """The code of the project, and a checkpoint as often as can be."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),
        "DVC_NO_ANALYTICS": "1",
        "THUMBNETS_CHECKPOINT_SECONDS": "0",
    }


def thumbnets(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run a command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "thumbnets.cli", *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def git(folder: Path, *arguments: str) -> str:
    """What a git command prints."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def clone(folder: Path) -> None:
    """What git tracks or would track, and the recipe, in a repository of its own."""
    for name in filter(None, git(ROOT, "ls-files", "-co", "--exclude-standard", "-z").split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "recipes/digits/try.yaml").write_text(RECIPE)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Test")
    git(folder, "config", "user.email", "test@localhost")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "state")


def wait_for_epoch(output: Path, process: subprocess.Popen) -> None:
    """Wait until an epoch of the training is saved: it is before the next one is through."""
    until = time.monotonic() + 300
    while f"epoch 2/{EPOCHS}," not in output.read_text():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Ran:
    """The project after a run that was killed in its training, and another one to the end."""
    folder = tmp_path_factory.mktemp("project")
    clone(folder)
    command = [sys.executable, "-m", "thumbnets.cli", "recipe", "recipes/digits/try.yaml"]
    output = tmp_path_factory.mktemp("first") / "output.txt"
    with output.open("w") as file:
        first = subprocess.Popen(
            [*command, "--jobs", "1"],
            cwd=folder,
            env=environment(folder),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for_epoch(output, first)
        os.killpg(first.pid, signal.SIGSTOP)  # on a busy machine it would be through by then
        told = thumbnets(folder, "recipe", "recipes/digits/try.yaml", code=1)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    after_kill = git(folder, "status", "--porcelain")
    resumed = thumbnets(folder, "recipe", "recipes/digits/try.yaml", "--jobs", "1")
    return Ran(folder, told, after_kill, resumed)


def test_a_second_run_is_told_while_the_first_is_under_way(ran):
    assert ran.told.count("\n") == 1
    assert "digits-try is already running" in ran.told


def test_the_users_tree_shows_results_and_nothing_else(ran):
    assert ran.after_kill == ""
    changes = git(ran.folder, "status", "--porcelain").splitlines()
    assert changes == ["?? recipes/digits/try.json", "?? recipes/digits/try.md"]
    assert len(git(ran.folder, "worktree", "list").splitlines()) == 1
    assert not (ran.folder / ".dvc/tmp/recipes/digits-try").exists()


def test_the_killed_training_went_on_where_it_was(ran):
    assert f"epoch {EPOCHS}/{EPOCHS}" in ran.resumed
    assert f"epoch 1/{EPOCHS}," not in ran.resumed
    assert "\nrecipes/digits/try.md: current, 1 of 1 goals reached\n" in ran.resumed


def test_the_result_is_current_and_traces_to_its_training(ran):
    result = json.loads((ran.folder / "recipes/digits/try.json").read_text())
    assert result["measured"]["commit"] == git(ran.folder, "rev-parse", "HEAD").strip()
    (row,) = result["trainings"]
    assert (row["model"], row["seed"], len(row["weights"])) == ("lenet_300_100", 1, 64)
    assert row["accuracy"] == result["models"]["lenet_300_100"]["accuracy"]["mean"] > 0.9
    (line,) = [line for line in ran.run("results").splitlines() if line.startswith("digits/try ")]
    assert line.split(maxsplit=1)[1] == "current, 1 of 1 goals reached"
    params = ran.folder / "params.yaml"
    committed = params.read_text()
    params.write_text(committed.replace("folds: ", "folds: 1"))  # as an experiment leaves it
    assert line in ran.run("results")  # a recipe runs what is committed
    params.write_text(committed)


@pytest.mark.slow
def test_a_training_without_a_kill_has_the_same_bytes(ran):
    before = git(ran.folder, "status", "--porcelain")
    printed = ran.run("verify", "recipes/digits/try.yaml")
    assert f"epoch 1/{EPOCHS}," in printed  # not taken from the store
    assert "lenet_300_100, seed 1: same bytes" in printed
    assert git(ran.folder, "status", "--porcelain") == before


def test_a_dry_run_says_what_is_cached_and_leaves_nothing(ran):
    printed = ran.run("recipe", "recipes/digits/try.yaml", "--dry-run", "--seeds", "1,2")
    assert "lenet_300_100, seed 1: cached" in printed
    assert "lenet_300_100, seed 2: to train" in printed
    assert printed.splitlines()[-1] == "recipes/digits/try.yaml: 1 of 2 trainings to do"
    assert not (ran.folder / ".dvc/tmp/recipes/digits-try").exists()
