"""What Slurm is asked for, and how its answers are read; no Slurm is needed."""

import subprocess
from pathlib import Path

import pytest

from thumbnets.launch import slurm
from thumbnets.launch.base import Job, Request, State
from thumbnets.launch.worker import OUT_OF_MEMORY, OUT_OF_TIME


@pytest.fixture
def backend(monkeypatch):
    """Makes a back end from a request, as if there were a Slurm."""
    monkeypatch.setattr(slurm.shutil, "which", lambda name: f"/usr/bin/{name}")
    return lambda **request: slurm.Slurm(Request(**request))


@pytest.fixture
def answers(monkeypatch):
    """Lets the commands of Slurm print something; returns what is printed by command."""
    said = {"squeue": "", "scontrol": "", "scancel": ""}

    def run(command, **kwargs):
        answer = said[command[0]]
        return subprocess.CompletedProcess(command, answer is None, answer or "")

    monkeypatch.setattr(slurm.subprocess, "run", run)
    return said


def test_options_go_to_submitit_or_to_sbatch_itself(backend):
    options = {
        "partition": "cpu",
        "mem_gb": 4,
        "reservation": "me",
        "modules": ["gcc", "python"],
        "setup": "ulimit -c 0",
    }
    found = backend(jobs=7, minutes=9, threads=3, options=options, environment={"X": "a b"})
    found = found.parameters
    assert (found["partition"], found["mem"]) == ("cpu", "4G")
    assert (found["time"], found["cpus_per_task"], found["array_parallelism"]) == (9, 3, 7)
    assert found["additional_parameters"] == {"reservation": "me"}
    first, *modules, path, mine = found["setup"]
    assert (first, modules) == ("ulimit -c 0", ["module load gcc", "module load python"])
    assert path == f"export PYTHONPATH={Path('src').resolve()}" and mine == "export X='a b'"
    assert "gpus_per_node" not in found


def test_gpus_are_whole(backend):
    assert backend(gpus=2.0).parameters["gpus_per_node"] == 2
    with pytest.raises(ValueError, match="--gpus 0.25: Slurm gives only whole GPUs"):
        backend(gpus=0.25)


@pytest.mark.parametrize("name", ["modules", "setup"])
@pytest.mark.parametrize("value", [5, [1], {"a": "b"}])
def test_texts_are_texts(backend, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a string or a list of strings, got"):
        backend(options={name: value})


def test_servers_that_do_not_answer_are_told_before_anything_is_made_ready(backend, answers):
    backend().check()
    answers["squeue"] = None
    with pytest.raises(ValueError, match="Slurm does not answer .*: are its servers up"):
        backend().check()


@pytest.mark.parametrize(
    ("queue", "control", "expected"),
    [
        ("7_0|PENDING|Resources", "", State("waiting", "Resources")),
        ("7_0|PENDING|None", "", State("waiting")),
        ("7_0|RUNNING|None", "", State("running")),
        ("7_0|COMPLETING|None", "", State("running")),
        ("7_0|CANCELLED|None", "", State("ended", "was cancelled")),
        ("7_1|RUNNING|None", "JobId=8 JobState=TIMEOUT Reason=x", State("ended", OUT_OF_TIME)),
        ("", "JobId=8 JobState=OUT_OF_MEMORY", State("ended", OUT_OF_MEMORY)),
        ("", "JobId=8 JobState=COMPLETED", State("ended")),
        ("", None, State("ended")),  # forgotten by the controller
        (None, "", State("running", "squeue does not answer")),  # which is no end of a job
    ],
)
def test_states_are_those_of_squeue_or_scontrol(backend, answers, queue, control, expected):
    answers.update(squeue=queue, scontrol=control)
    assert backend().states([Job("slurm", "7_0", (), Path("log"))]) == [expected]


@pytest.mark.parametrize("queue", ["7_0|RUNNING|None", None])
def test_jobs_that_can_not_be_ended_are_told(backend, answers, queue):
    jobs = [Job("slurm", "7_0", (), Path("log"))]
    answers.update(squeue="7_0|COMPLETING|None")
    backend().cancel(jobs)
    answers.update(scancel=None, squeue="")  # it has ended meanwhile
    backend().cancel(jobs)
    answers.update(squeue=queue)
    with pytest.raises(ValueError, match="--on slurm: jobs could not be ended"):
        backend().cancel(jobs)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("sbatch: error: one\nsbatch: error: Invalid account", "Invalid account"),
        ("sbatch: unrecognized option '--x'\nTry \"sbatch --help\"", "unrecognized option '--x'"),
        ("no reason", "no reason"),
    ],
)
def test_a_refusal_is_what_sbatch_says(said, message):
    assert slurm._refusal(said) == message
