"""`thumbnets train` and `thumbnets jobs` with a back end that finishes what it is told to."""

import argparse
import contextlib
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from thumbnets import paths
from thumbnets.launch import commands, following
from thumbnets.launch.base import Job, State
from thumbnets.launch.options import PROFILE, add_launch_options
from thumbnets.launch.records import read_jobs
from thumbnets.recipes.commands import recipe
from thumbnets.store import Store


class Fake:
    """Keeps what is submitted; a job ends as `ends` says, finished if that is empty."""

    name, detaches, jobs, every, folder = "slurm", True, 2, 0.0, paths.LAUNCH / "slurm"

    def __init__(self, store: Store) -> None:
        self.store, self.submitted, self.cancelled = store, [], []
        self.ends: dict[str, str] = {}
        self.kind = "avx2"
        self.asked = 0

    def check(self):
        pass

    def submit(self, bundles):
        self.folder.mkdir(parents=True, exist_ok=True)
        jobs = []
        for number, bundle in enumerate(bundles, len(self.submitted)):
            log = self.folder / f"{number}.log"
            lines = [f"{t.title}: epoch {k}/2, loss 0.1" for t in bundle for k in (1, 2)]
            log.write_text("\n".join(lines) + "\n")
            jobs.append(Job(self.name, str(number), bundle, log))
        self.submitted += jobs
        return jobs

    def states(self, jobs):
        self.asked += 1
        assert self.asked < 100, "a job that never ends is waited for"
        return [self.state(job) for job in jobs]

    def state(self, job):
        if job.id not in self.ends:
            return State("waiting", "Resources")
        if not self.ends[job.id]:
            for one in job.trainings:
                about = {"seconds": 6.0, "machine": {"device": "cpu", "kind": self.kind}}
                self.store.put(one.key, {"log": job.log}, about)
        return State("ended", self.ends[job.id])

    def cancel(self, jobs):
        self.cancelled += [job.id for job in jobs]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "cache")
    monkeypatch.setattr(commands, "project_store", lambda device=None: store)
    return store


@pytest.fixture
def backend(store, monkeypatch):
    """The back end, whatever is asked for."""
    backend = Fake(store)
    monkeypatch.setattr(commands, "create_backend", lambda name, request: backend)
    return backend


@pytest.fixture
def missing(training, monkeypatch, model_settings):
    """The trainings that DVC misses, to be changed."""
    missing = [training(seed=seed) for seed in range(4)]
    params = SimpleNamespace(settings={"good": model_settings()}, run=["good"], encoders=[])
    monkeypatch.setattr(commands, "load_params", lambda: params)
    for name in ("mend_locks", "check_watched", "check_feasible"):
        monkeypatch.setattr(commands, name, lambda _: None)
    monkeypatch.setattr(commands, "missing_encoders", lambda *_: [])
    monkeypatch.setattr(commands, "missing_trainings", lambda *_, **__: list(missing))
    return missing


@pytest.fixture
def encoders(missing, training, monkeypatch):
    """The encoders that are missing, to be changed."""
    encoders = [training("encoders/good", seed=seed) for seed in range(2)]
    monkeypatch.setattr(commands, "missing_encoders", lambda *_: list(encoders))
    return encoders


def run(*options: str) -> None:
    parser = argparse.ArgumentParser()
    commands.add_train(parser)
    commands.train(parser.parse_args(options))


def show(*options: str) -> None:
    parser = argparse.ArgumentParser()
    commands.add_jobs(parser)
    commands.jobs(parser.parse_args(options))


def test_what_was_detached_is_picked_up_and_not_submitted_again(
    backend, missing, store, capsys, monkeypatch
):
    run("--on", "slurm", "--bundle", "2", "--detach")
    assert [len(job.trainings) for job in backend.submitted] == [2, 2] and not backend.ends
    assert read_jobs() == [replace(job, device="cpu") for job in backend.submitted]
    monkeypatch.setattr(following.time, "sleep", lambda _: backend.ends.update({"0": "", "1": ""}))
    capsys.readouterr()
    run()  # goes where the jobs are
    assert len(backend.submitted) == 2 and read_jobs() == []
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "4 trainings, 2 at once"
    assert lines == [f"{one.title}: epoch 2/2, loss 0.1" for one in missing]
    assert not backend.folder.exists()
    run("--on", "slurm")
    assert len(backend.submitted) == 2


def test_encoders_are_trained_before_what_begins_with_them(backend, missing, encoders, monkeypatch):
    def sleep(seconds):
        backend.ends |= {job.id: "" for job in backend.submitted}

    monkeypatch.setattr(following.time, "sleep", sleep)
    asked = []
    found = commands.missing_trainings
    monkeypatch.setattr(
        commands, "missing_trainings", lambda *_: asked.append([*backend.ends]) or found()
    )
    run("--on", "slurm", "--bundle", "2")
    assert asked == [["0"]]
    trainings = [job.trainings for job in backend.submitted]
    assert trainings == [tuple(encoders), tuple(missing[:2]), tuple(missing[2:])]
    assert read_jobs() == []


def test_encoders_are_detached_first_and_end_no_other_job(backend, missing, encoders, capsys):
    waiting, encoders[:] = [*encoders], []
    run("--on", "slurm", "--bundle", "4", "--detach")
    encoders[:] = waiting
    capsys.readouterr()
    run("--on", "slurm", "--bundle", "2", "--detach")
    assert capsys.readouterr().out.startswith("Encoders: 1 job; the same command submits")
    assert [job.trainings for job in read_jobs()] == [tuple(missing), tuple(encoders)]
    assert not backend.cancelled


def test_a_detached_command_does_not_wait_for_the_encoders_of_another(
    backend, encoders, store, monkeypatch, capsys
):
    monkeypatch.setattr(commands, "missing_trainings", lambda *_: pytest.fail("waits for them"))
    with store.claim(encoders[0].key), store.claim(encoders[1].key):
        run("--on", "slurm", "--detach")
    assert capsys.readouterr().out.startswith("Encoders: 0 jobs; ")
    assert not backend.submitted


def test_the_last_line_of_a_training_is_not_that_of_another_seed():
    lines = ["cnn_c, seed 1, refit: epoch 1/2", "cnn_c, seed 10: epoch 2/2"]
    followed = following._Followed(None, lines)
    last = [followed.last(SimpleNamespace(title=f"cnn_c, seed {n}")) for n in (1, 10, 0)]
    assert last == [*lines, None]


@pytest.mark.parametrize(
    ("detaches", "said"), [(True, "The jobs continue"), (False, "resumes from")]
)
def test_an_interruption_says_what_becomes_of_the_trainings(
    backend, missing, monkeypatch, capsys, detaches, said
):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", interrupted)
    monkeypatch.setattr(backend, "detaches", detaches)
    with pytest.raises(KeyboardInterrupt):
        run("--on", "slurm")
    assert said in capsys.readouterr().err


def test_jobs_are_shown_and_ended(backend, missing, capsys):
    show()
    assert capsys.readouterr().out == "No jobs were submitted from here.\n"
    run("--on", "slurm", "--bundle", "3", "--detach")
    backend.ends = {"0": "was cancelled"}
    capsys.readouterr()
    show()
    assert capsys.readouterr().out.splitlines() == [
        "0  ended (was cancelled)  good, seed 2: epoch 2/2, loss 0.1  build/launch/slurm/0.log",
        "1  waiting (Resources)  good, seed 3: epoch 2/2, loss 0.1  build/launch/slurm/1.log",
    ]
    show("--cancel")
    assert backend.cancelled == ["0", "1"] and read_jobs() == []


def test_jobs_of_recipes_are_shown_and_ended_too(backend, missing, store, capsys):
    place = paths.WORKSPACES / "digits-try"
    place.mkdir(parents=True)
    with contextlib.chdir(place):
        run("--on", "slurm", "--bundle", "4", "--detach")
    capsys.readouterr()
    show()
    assert f"  {place}/build/launch/slurm/0.log\n" in capsys.readouterr().out
    show("--cancel")
    assert backend.cancelled == ["0"]
    with contextlib.chdir(place):
        assert read_jobs() == []


def test_a_command_for_another_device_does_not_wait_for_jobs(backend, missing):
    run("--on", "slurm", "--gpus", "1", "--bundle", "4", "--detach")
    with pytest.raises(ValueError, match="Jobs were submitted to train on cuda, this command is"):
        run()
    assert len(backend.submitted) == 1 and len(read_jobs()) == 1
    backend.ends["0"] = ""
    run("--gpus", "1")
    assert len(backend.submitted) == 1 and read_jobs() == []


def test_a_job_that_died_is_told_and_trained_by_the_next_command(backend, missing):
    backend.ends = {"0": "", "1": "was cancelled"}
    with pytest.raises(ValueError) as caught:
        run("--on", "slurm", "--bundle", "3")
    assert str(caught.value) == (
        "1 of 4 failed: good, seed 3: was cancelled (job 1, build/launch/slurm/1.log)"
    )
    backend.ends["2"] = ""
    run("--on", "slurm")
    assert backend.submitted[2].trainings == (missing[3],)


def test_jobs_of_what_is_no_longer_wanted_are_ended(backend, missing, training):
    run("--on", "slurm", "--bundle", "4", "--detach")
    missing[:] = [training("other")]
    run("--on", "slurm", "--detach")
    assert backend.cancelled == ["0"]
    assert [job.trainings for job in read_jobs()] == [(missing[0],)]


def test_of_a_job_that_is_picked_up_only_what_is_missing_counts(
    backend, missing, training, monkeypatch
):
    run("--on", "slurm", "--bundle", "2", "--detach")
    gone, *rest = missing
    longer = replace(rest[0], seconds=7.0)  # as the cache has learnt meanwhile
    missing[:] = [longer, *rest[1:], training(seed=9)]
    monkeypatch.setattr(
        following.time, "sleep", lambda _: backend.ends.update(dict.fromkeys("012", ""))
    )
    put = backend.store.put
    monkeypatch.setattr(backend.store, "put", lambda key, *of: key != gone.key and put(key, *of))
    run()
    assert [job.trainings for job in backend.submitted[2:]] == [(missing[-1],)]
    assert not backend.cancelled and read_jobs() == []


def test_logs_of_another_host_stay(store):
    folders = [paths.LAUNCH / f"local-{host}-{2**30}" for host in ("node", "node-1")]
    for folder in folders:
        folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands.socket, "gethostname", lambda: "node")
        commands._remove_logs_of_killed_runs()
    assert [folder.exists() for folder in folders] == [False, True]


def test_what_another_has_under_way_is_waited_for_and_trained_if_it_ends_without(
    backend, missing, store, monkeypatch, capsys
):
    backend.ends = {"0": "", "1": ""}
    naps = []
    with store.claim(missing[1].key) as ours, store.claim(missing[2].key) as too:
        assert ours is too is None

        def sleep(seconds):
            naps.append(seconds)
            if len(naps) == 3:  # one of them is finished, of the other nothing comes
                file = paths.LAUNCH / "file"
                file.touch()
                store.put(missing[1].key, {"log": file})
                for path in (store.cache / "finished").rglob("*.claim"):
                    path.unlink()

        monkeypatch.setattr(following.time, "sleep", sleep)
        run("--on", "slurm", "--bundle", "9")
    said = capsys.readouterr().out
    assert f"{missing[1].title}: under way in process {os.getpid()} on " in said
    assert [job.trainings for job in backend.submitted] == [
        (missing[0], missing[3]),
        (missing[2],),
    ]


def test_a_dry_run_submits_nothing(backend, missing, store, training, tmp_path, capsys):
    missing[:] = [training(seed=seed, seconds=90.0) for seed in range(3)]
    missing.append(training(seed=3))
    (tmp_path / "file").touch()
    store.put(missing[0].key, {"log": tmp_path / "file"})
    with store.claim(missing[1].key):
        run("--on", "slurm", "--dry-run")
    first, second, *others, last = capsys.readouterr().out.splitlines()
    assert first == "good, seed 0: cached"
    assert second.startswith("good, seed 1: under way in process ")
    assert others == ["good, seed 2: to train", "good, seed 3: to train"]
    said = "2 of 4 trainings to do in 2 jobs, about 0.05 core hours and 1 of unknown length"
    assert last == said  # 90 s of 2 threads
    assert backend.submitted == []


def test_machines_are_named_where_they_differ(backend, missing, training, capsys):
    backend.ends = {str(number): "" for number in range(3)}
    run("--on", "slurm", "--bundle", "4")
    assert "machines" not in capsys.readouterr().out
    backend.kind = "avx512f"
    missing.append(training("other"))
    run("--on", "slurm", "--bundle", "4")
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Trained on machines of 2 kinds, whose bytes may differ: "
        "4 on cpu, avx2, None; 1 on cpu, avx512f, None"
    )


def test_states_of_gpus_are_named_to_a_machine_without(backend, missing, store, capsys):
    store.device, store.devices = "cuda", ("cuda",)
    backend.ends = {"0": ""}
    run("--on", "slurm", "--bundle", "4", "--gpus", "1")
    assert capsys.readouterr().out.splitlines()[-1] == (
        "These were trained on cuda, but `dvc repro` accepts only cpu: set "
        "THUMBNETS_ACCEPT=cuda, for both commands."
    )


def test_encoders_that_would_not_be_taken_are_not_trained(backend, encoders, store, monkeypatch):
    store.device, store.devices = "cuda", ("cuda",)
    with pytest.raises(ValueError, match="^Encoders would be trained on cuda, but `dvc repro` acc"):
        run("--on", "slurm", "--gpus", "1")
    assert not backend.submitted
    monkeypatch.setenv("THUMBNETS_ACCEPT", "cuda")
    run("--on", "slurm", "--gpus", "1", "--bundle", "2", "--detach")
    assert [job.trainings for job in backend.submitted] == [tuple(encoders)]


def test_options_are_those_of_the_profile_and_of_the_command(store, missing, monkeypatch):
    asked = []

    def create(name, request):
        asked.append((name, request))
        raise ValueError("enough")

    monkeypatch.setattr(commands, "create_backend", create)
    profile = '[slurm]\npartition = "cpu"\nmodules = ["python"]\n[ray]\naddress = "x"\n'
    PROFILE.write_text(profile)
    with pytest.raises(ValueError, match="enough"):
        run("--on", "slurm", "--option", "partition=gpu", "--option", "gres=a=b", "--gpus", "0.5")
    ((name, request),) = asked
    assert name == "slurm" and (request.gpus, request.minutes, request.threads) == (0.5, 60, 2)
    assert request.options == {"partition": "gpu", "modules": ["python"], "gres": "a=b"}
    assert request.environment == {"THUMBNETS_DEVICE": "cuda"}
    devices = {"gres=gpu:1": "cuda", "partition=gpu": "cpu", "gpus_per_task=1": "cuda"}
    for option, device in devices.items():
        with pytest.raises(ValueError, match="enough"):
            run("--on", "slurm", "--option", option)
        assert asked[-1][1].environment == {"THUMBNETS_DEVICE": device}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--jobs", "0"], "--jobs must be 1 or more, got 0."),
        (["--bundle", "-1"], "--bundle must be 1 or more, got -1."),
        (["--minutes", "0"], "--minutes must be 1 or more, got 0."),
        (["--gpus", "-1"], "--gpus must be 0 or more, got -1."),
        (["--gpus", "nan"], "--gpus must be 0 or more, got nan."),
        (["--gpus", "inf"], "--gpus must be 0 or more, got inf."),
    ],
)
def test_wrong_numbers_are_told(backend, missing, options, message):
    with pytest.raises(ValueError, match=message):
        run(*options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slurm", "launch.toml is not TOML"),
        ("slurm = 1", "slurm must be a table"),
        ("[sluurm]", "Unknown back end 'sluurm'. Did you"),
    ],
)
def test_a_wrong_profile_is_one_line(backend, missing, text, message):
    PROFILE.write_text(text)
    with pytest.raises(ValueError, match=message):
        run("--on", "slurm")


def test_processes_here_can_not_be_detached(store, missing):
    with pytest.raises(ValueError, match="--detach: trainings of --on local end"):
        run("--detach")


def test_a_recipe_passes_them_on_and_is_judged_by_its_own_params(monkeypatch, capsys):
    given = {}

    def run_recipe(file, **more):
        given.update(more)
        return "its params"

    monkeypatch.setattr("thumbnets.recipes.commands.read_recipe", lambda path, root: path)
    monkeypatch.setattr("thumbnets.recipes.commands._judged", lambda file, params: f"by {params}")
    monkeypatch.setattr("thumbnets.recipes.run.run_recipe", run_recipe)
    parser = argparse.ArgumentParser()
    add_launch_options(parser)
    options = ["--on", "slurm", "--minutes", "5", "--option", "qos=low", "--jobs", "3"]
    arguments = parser.parse_args(options)
    file = SimpleNamespace(page="x")
    arguments.files, arguments.seeds, arguments.dry_run = [file], None, False
    recipe(arguments)
    assert capsys.readouterr().out == "x: by its params\n"
    expected = ("--on", "slurm", "--minutes", "5", "--option", "qos=low")
    assert given == {"seeds": None, "jobs": 3, "launch": expected, "device": "cpu"}
    arguments.gpus = 1
    recipe(arguments)
    assert given["device"] == "cuda"
    arguments.on = None
    recipe(arguments)
    assert given["device"] is None
