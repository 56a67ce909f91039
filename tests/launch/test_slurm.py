"""Trainings on a real Slurm: the bytes of a serial run, and what becomes of jobs that die."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thumbnets import paths
from thumbnets.launch.base import Job, Request, Training
from thumbnets.launch.following import epoch_lines, follow
from thumbnets.launch.slurm import Slurm
from thumbnets.launch.worker import OUT_OF_TIME
from thumbnets.store import Store, training_files, training_key

pytestmark = pytest.mark.slurm

BLOCKS = """
small:
  {arch: mlp4, epochs: 2, lr: 0.1, augment: [], refit: false}
small_cnn:
  {arch: cnn_a, epochs: 2, lr: 0.1, augment: []}
brief:
  {arch: mlp4, epochs: 1, lr: 0.01, augment: []}
long:
  {arch: mlp4, epochs: 5000, lr: 0.01, augment: []}
"""
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def project(tmp_path_factory, slurm) -> Path:
    """A copy of the code on `digits`, with two small models, prepared up to the trainings."""
    root, folder = Path(__file__).parents[2], tmp_path_factory.mktemp("project")
    for name in ("src", "stages", "zoo"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(root / name, folder / name, ignore=ignored)
    for name in ("dvc.yaml", "requirements.lock"):
        shutil.copy(root / name, folder / name)
    for name in (paths.PRETRAINED, paths.CORRECTIONS, Path("images")):
        (folder / name).mkdir()
    (folder / "zoo/test.yaml").write_text(BLOCKS)
    text = (root / "params.yaml").read_text().replace("name: fashion_mnist", "name: digits")
    start, end = text.index("model:"), text.index("data:")
    run_of = f"model: small\npool: [small_cnn]\nseeds: {list(SEEDS)}\n"
    (folder / "params.yaml").write_text(text[:start] + run_of + text[end:])
    command(folder, "dvc", "init", "--no-scm", "--quiet")
    return folder


def command(folder: Path, *arguments: str) -> str:
    """Run a command with the code of the project; returns what it printed."""
    tools = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder / "src"),
            "PATH": f"{tools}:{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def trained(project) -> Path:
    """The project after six trainings in an array, detached and picked up."""
    train = ["thumbnets.cli", "train", "--on", "slurm", "--jobs", "4", "--bundle", "1"]
    assert "6 jobs; `thumbnets jobs` shows them" in command(project, *train, "--detach")
    shown = command(project, "thumbnets.cli", "jobs").splitlines()
    assert [line.split()[0].split("_")[1] for line in shown] == list("012345")
    printed = command(project, "thumbnets.cli", "train")  # goes where the jobs are
    assert "sacct" not in printed
    assert not (project / paths.LAUNCH / "slurm").exists()
    return project


@pytest.fixture
def inside(trained, monkeypatch) -> Path:
    """The project as the working folder."""
    monkeypatch.chdir(trained)
    return trained


def test_an_array_detached_and_picked_up_has_the_bytes_of_a_serial_run(inside):
    """The lock of what jobs have trained is that of the same trainings, one after the other."""
    printed = command(inside, "dvc", "repro", "train", "train-headline")
    assert printed.count("trained before, found by its inputs") == 6 and "epoch 1/" not in printed
    shutil.rmtree(".dvc/cache/finished")
    keys = {
        (slot, seed): training_key(slot, seed)
        for slot in ("small_cnn", paths.HEADLINE)
        for seed in SEEDS
    }
    arguments = [f"{slot}:{seed}:{key}:{slot}" for (slot, seed), key in keys.items()]
    printed = command(inside, "thumbnets.launch.worker", *arguments)  # in one process
    assert printed.count("epoch 2/2") == 6
    for (slot, seed), key in keys.items():
        for path in training_files(slot, seed).values():
            path.unlink()
        assert Store(Path(".dvc/cache")).take(key, training_files(slot, seed))
    assert command(inside, "dvc", "status", "--json", "train", "train-headline") == "{}\n"


# Jobs that die, of blocks that the pool now has in place of `small_cnn`.


@pytest.fixture(scope="module")
def changed(trained) -> Store:
    """The store, after other blocks were put into the pool."""
    text = (trained / "params.yaml").read_text()
    (trained / "params.yaml").write_text(text.replace("[small_cnn]", "[brief, long]"))
    command(trained, "stages.code")
    of_models = trained / paths.ENCODERS_OF
    for name in ("brief", "long"):  # as stage `pretrain` has it where there is no encoder
        shutil.copytree(of_models / "small_cnn", of_models / name)
    return Store(trained / ".dvc/cache")


@pytest.fixture
def submit(changed, inside) -> Iterator[Callable[..., tuple[Slurm, list[Job]]]]:
    """Submits a job of each seed; all are ended after the test."""
    with contextlib.ExitStack() as ending:

        def run(block: str, *seeds: int, **options) -> tuple[Slurm, list[Job]]:
            backend = Slurm(Request(jobs=8, minutes=5, options=options))
            jobs = backend.submit([(_training(block, seed),) for seed in seeds])
            ending.callback(backend.cancel, jobs)
            return backend, jobs

        yield run


def _training(block: str, seed: int) -> Training:
    return Training(block, seed, training_key(block, seed), block, epochs=5000)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_jobs_that_end_before_their_time_are_told_with_what_to_do(changed, submit):
    backend, jobs = submit("long", *SEEDS)
    full, full_jobs = submit("brief", 0, setup=["ulimit -f 16"])
    wait_for(lambda: all(len(epoch_lines(job)) > 1 for job in jobs))
    assert [state.phase for state in backend.states(jobs)] == ["running"] * 3
    assert changed.holder(jobs[0].trainings[0].key)
    subprocess.run(["scancel", jobs[0].id], check=True)
    os.kill(_worker_of(changed, jobs[1].trainings[0]), signal.SIGKILL)
    subprocess.run(["scancel", "--signal=USR2", jobs[2].id], check=True)  # as before a time limit
    failed, _ = follow(backend, jobs, changed)
    for seed, why in enumerate(("was cancelled", "Killed", OUT_OF_TIME)):
        (sentence,) = [one for one in failed if one.startswith(f"long, seed {seed}: ")]
        assert why in sentence and f"(job {jobs[seed].id}, " in sentence
    assert all(changed.holder(one.key) is None for job in jobs for one in job.trainings)
    (sentence,), _ = follow(full, full_jobs, changed)
    assert sentence.startswith("brief, seed 0: ") and "File too large" in sentence
    assert not changed.has(full_jobs[0].trainings[0].key)


def _worker_of(store: Store, training: Training) -> int:
    (claim,) = (store.cache / "finished").rglob(f"{training.key[2:]}.claim")
    return json.loads(claim.read_text())["process"]


def test_nothing_is_trained_of_code_that_has_changed_while_jobs_wait(changed, submit):
    backend, jobs = submit("brief", 1, hold=True)
    (state,) = backend.states(jobs)
    assert (state.phase, state.reason) == ("waiting", "JobHeldUser")
    file = changed.cache.parents[1] / "src/thumbnets/models/mlp4.py"
    text = file.read_text()
    file.write_text(text + "\n_NEW = 1\n")
    subprocess.run(["scontrol", "release", jobs[0].id], check=True)
    (sentence,), _ = follow(backend, jobs, changed)
    file.write_text(text)
    assert "brief, seed 1: code, params or data have changed since it was submitted" in sentence
    assert not changed.has(jobs[0].trainings[0].key)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partition": "nope"}, "Slurm refused the job: .*[Ii]nvalid partition name"),
        ({"nonsense": "1"}, "Slurm refused the job: unrecognized option '--nonsense"),
    ],
)
def test_what_slurm_refuses_is_its_own_message_in_one_line(submit, options, message, capfd):
    with pytest.raises(ValueError, match=message):
        submit("long", 0, **options)
    assert capfd.readouterr() == ("", "")
