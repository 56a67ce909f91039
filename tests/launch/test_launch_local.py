"""Processes here: how many at once, what is shown, and what becomes of those that fail."""

import os
import subprocess

import pytest

from tests.launch.stand_in import Done
from thumbnets.launch import following, local
from thumbnets.launch.base import Request, create_backend
from thumbnets.launch.following import follow
from thumbnets.launch.local import Local


def train(trainings, jobs: int) -> list[str]:
    backend = Local(Request(jobs=jobs))
    return follow(backend, backend.submit([(one,) for one in trainings]), Done())[0]


def most_at_once(project) -> int:
    return max(map(int, (project / "at_once").read_text().split()))


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_so_many_run_at_once_and_each_says_how_it_ended(project, training, capfd, jobs):
    assert train([training(seed=seed) for seed in range(4)], jobs) == []
    first, *lines = capfd.readouterr().out.splitlines()
    assert first == f"4 trainings, {jobs} at once"
    assert sorted(lines) == [f"good, seed {seed}: epoch 2/2, loss 0.1" for seed in range(4)]
    assert most_at_once(project) == jobs
    assert not list(project.glob("*.running"))


def test_one_that_fails_or_is_killed_is_told_and_stops_no_other(project, training, capfd):
    trainings = [training("bad"), training("killed", 1), training("good", 2)]
    assert sorted(train(trainings, 2)) == [
        "bad, seed 0: the loss is no longer finite",
        "killed, seed 1: killed by signal 9",
    ]
    assert len(capfd.readouterr().out.splitlines()) == 1 + 3
    assert Done().has(trainings[2].key)


def test_a_bundle_is_one_process(project, training):
    backend = Local(Request(jobs=2))
    jobs = backend.submit([(training(), training("bad", 1), training(seed=2)), (training(seed=3),)])
    assert [len(job.trainings) for job in jobs] == [3, 1] and len(backend._processes) == 2
    failed, lost = follow(backend, jobs, Done())
    assert failed == ["bad, seed 1: the loss is no longer finite"] and not lost
    assert Done().has(training(seed=2).key)


def test_an_interruption_leaves_nothing_running(project, training, monkeypatch):
    backend = Local(Request(jobs=2))
    jobs = backend.submit([(training(),), (training(seed=1),)])

    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        follow(backend, jobs, Done())
    assert [process.wait() for process in backend._processes.values()] == [-9, -9]


def test_nothing_to_train_is_silent(capfd):
    assert follow(Local(Request()), [], Done()) == ([], [])
    assert capfd.readouterr() == ("", "")


def test_it_is_the_number_of_cores_by_default(monkeypatch):
    monkeypatch.setattr(local.runtime, "cores", lambda: 8)
    assert Local(Request(threads=2)).jobs == 4
    assert Local(Request(threads=16)).jobs == 1


def test_what_can_not_be_is_told_at_once(monkeypatch):
    with pytest.raises(ValueError, match="--option gres: not for --on local"):
        create_backend("local", Request(options={"gres": "gpu:1"}))
    with pytest.raises(ValueError, match="--on must be one of local, slurm, ray, got 'sge'"):
        create_backend("sge", Request())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="needs sbatch, which is not on PATH"):
        create_backend("slurm", Request())
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(ValueError, match="pip install submitit"):
        create_backend("slurm", Request())


def test_a_worker_is_asked_only_for_what_it_needs(project):
    """No environment of the driver's is lost, and the code is that of the project."""
    environment = Local(Request(environment={"X": "1"})).environment
    assert environment.items() >= {**os.environ, "PYTHONPATH": "src", "X": "1"}.items()
    code = "import thumbnets.launch.worker as w; print(w.__file__)"
    done = subprocess.run(
        [__import__("sys").executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(project / "src/thumbnets/launch/worker.py")
