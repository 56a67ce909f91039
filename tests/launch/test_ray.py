"""Ray: the same cases as on Slurm, on a cluster of two cores that is started here."""

import hashlib
import importlib.util
import io
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from tests.launch.stand_in import Done
from thumbnets import paths
from thumbnets.artifacts import write_json
from thumbnets.data.arrays import Split, write_split
from thumbnets.inputs import training_inputs
from thumbnets.launch import node, parcel, ray
from thumbnets.launch.base import Request, create_backend
from thumbnets.launch.following import follow
from thumbnets.params import load_params
from thumbnets.store import Store, training_files, training_key

needs_ray = [
    pytest.mark.ray,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]
OPTIONS = {"address": "local", "num_cpus": 2}


@pytest.fixture(scope="module")
def cluster():
    """One cluster for all tests; what connects uses it."""
    module = pytest.importorskip("ray")
    ray._connect(module, ray._checked(OPTIONS))
    yield
    module.shutdown()


@pytest.fixture
def real_project(copied, toy_images, meta, training, monkeypatch):
    """A project of toy images, in which the local worker has done one training, and two trainings.

    Returns:
        Its store, and the trainings.
    """
    monkeypatch.chdir(copied)
    Path(".dvc").mkdir()
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("dropout: 0.2, epochs: 25", "epochs: 2"))
    data = toy_images(60)
    fold = (np.arange(60) % 3).astype(np.int16)
    write_split(paths.TRAIN, Split(data.images.numpy(), data.labels.numpy(), meta, fold))
    inputs = training_inputs(load_params(), "mlp4")
    write_json(paths.training_inputs("mlp4"), inputs, exact=True)
    trainings = []
    for seed in range(2):
        write_json(paths.encoder_of("mlp4", seed), {})
        trainings.append(training("mlp4", seed, key=training_key("mlp4", seed)))
    return Store(Path(".dvc/cache").resolve()), trainings


def backend_of(**changes):
    return create_backend("ray", Request(**{"options": OPTIONS, **changes}))


class TestOnACluster:
    pytestmark = needs_ray

    def test_six_trainings_two_at_once(self, cluster, project, training, capfd):
        backend = backend_of()
        assert backend.jobs == 2
        jobs = backend.submit([(training(seed=2 * k), training(seed=2 * k + 1)) for k in range(3)])
        assert follow(backend, jobs, Done()) == ([], [])
        first, *lines = capfd.readouterr().out.splitlines()
        assert first == "6 trainings, 2 at once"
        assert sorted(lines) == [f"good, seed {seed}: epoch 2/2, loss 0.1" for seed in range(6)]
        at_once = (project / "at_once").read_text().split()
        assert max(map(int, at_once)) == 2

    def test_one_that_fails_or_is_killed_stops_no_other(self, cluster, project, training):
        backend = backend_of()
        trainings = [training("bad"), training("killed", 1), training("good", 2)]
        failed, _ = follow(backend, backend.submit([(one,) for one in trainings]), Done())
        assert len(failed) == 2 and Done().has(trainings[2].key)
        assert any(
            line.startswith("bad, seed 0: the loss is no longer finite (job ") for line in failed
        )
        assert any("killed, seed 1: killed by signal 9 (job " in line for line in failed)

    def test_cancel_ends_one_with_its_worker(self, cluster, project, training):
        (project / "src/thumbnets/launch/worker.py").write_text(SLOW)
        backend = backend_of()
        jobs = backend.submit([(training(seed=seed),) for seed in range(2)])
        workers = wait_for_workers(backend, jobs)
        backend.cancel(jobs[:1])
        assert ended(backend, jobs[0]).reason in ("was cancelled", KILLED)
        assert gone(workers[0]) and not gone(workers[1], seconds=0.2)
        backend.cancel(jobs)
        assert gone(workers[1])

    def test_a_killed_worker_is_told(self, cluster, project, training):
        """The process of Ray that has the job: its child ends with it."""
        (project / "src/thumbnets/launch/worker.py").write_text(SLOW)
        backend = backend_of()
        [job] = backend.submit([(training(),)])
        [worker] = wait_for_workers(backend, [job])
        parent = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1]
        os.kill(int(parent), signal.SIGKILL)
        assert ended(backend, job).reason == KILLED
        assert gone(worker)

    def test_without_shared_files_states_come_back_and_are_checked(self, cluster, real_project):
        """Code and arrays are sent once; the store gets the bytes that a worker here makes."""
        store, trainings = real_project
        backend = backend_of(options={**OPTIONS, "shared": "false"}, environment=CPU)
        jobs = backend.submit([(one,) for one in trainings])
        assert follow(backend, jobs, store) == ([], [])
        sent = [contents(store, one) for one in trainings]
        assert all(store.about(one.key)["machine"]["device"] == "cpu" for one in trainings)
        shutil.rmtree(".dvc/cache")
        backend = backend_of(environment=CPU)  # with the project's folder in sight
        jobs = backend.submit([tuple(trainings)])
        assert follow(backend, jobs, store) == ([], [])
        assert [contents(store, one) for one in trainings] == sent
        assert sent[0] != sent[1]

    def test_what_changes_while_jobs_wait_is_not_trained(self, cluster, real_project):
        store, trainings = real_project
        backend = backend_of(environment=CPU)
        jobs = backend.submit([(one,) for one in trainings])
        with Path("src/thumbnets/training/loop.py").open("a") as file:
            file.write("CHANGED = True\n")
        failed, _ = follow(backend, jobs, store)
        assert len(failed) == 2 and not any(store.has(one.key) for one in trainings)
        assert all("code, params or data have changed since it was submitted" in f for f in failed)


SLOW = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1].split(":")[1] + ".pid").write_text(str(os.getpid()))
time.sleep(60)
"""
KILLED = "its process was killed: run `thumbnets train` again"
CPU = {"THUMBNETS_DEVICE": "cpu"}


def contents(store: Store, one) -> dict[str, bytes]:
    """The files of a finished training."""
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder, name) for name in training_files(one.slot, one.seed)}
        assert store.take(one.key, places)
        return {name: place.read_bytes() for name, place in places.items()}


def wait_for_workers(backend, jobs) -> list[int]:
    for _ in range(300):
        backend.states(jobs)
        files = [Path(f"{job.trainings[0].seed}.pid") for job in jobs]
        if all(file.exists() and file.read_text() for file in files):
            return [int(file.read_text()) for file in files]
        time.sleep(0.1)
    pytest.fail("the workers have not begun")


def ended(backend, job):
    for _ in range(300):
        [state] = backend.states([job])
        if state.phase == "ended":
            return state
        time.sleep(0.1)
    pytest.fail("it has not ended")


def gone(process: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stat = Path(f"/proc/{process}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


# Without Ray.


def test_a_parcel_is_checked_before_it_is_used(tmp_path):
    files = {"weights": b"\x00\n1", "history": b"epoch\n"}
    packed = parcel.pack(files, {"seconds": 2})
    assert parcel.unpack(packed) == (files, {"seconds": 2})
    store = Store(tmp_path)
    for damaged, why in [
        (packed[:-1], "returned history is damaged"),
        (packed.replace(b"epoch\n", b"epoxy\n"), "returned history is damaged"),
        (b"", "not a training, or is damaged"),
        (b"[]\n", "not a training, or is damaged"),
    ]:
        with pytest.raises(ValueError, match=why):
            parcel.put_parcel(damaged, store, "ab" * 32, {"weights", "history"})
    with pytest.raises(ValueError, match="other files: weights, history"):
        parcel.put_parcel(packed, store, "ab" * 32, {"weights"})
    assert not list(tmp_path.rglob("*"))
    parcel.put_parcel(packed, store, "ab" * 32, {"weights", "history"})
    assert store.has("ab" * 32) and store.about("ab" * 32) == {"seconds": 2}


def test_a_project_is_unpacked_once_a_node(tmp_path, monkeypatch):
    monkeypatch.setattr(node.tempfile, "gettempdir", lambda: str(tmp_path))
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        about = tarfile.TarInfo("src/module.py")
        about.size = 5
        tar.addfile(about, io.BytesIO(b"a = 1"))
    content = made.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    with pytest.raises(ValueError, match="damaged"):
        node.unpacked(sha256, lambda: content[:-1])
    asked = []
    for _ in range(2):
        folder = node.unpacked(sha256, lambda: asked.append(1) or content)
        assert (folder / "src/module.py").read_bytes() == b"a = 1" and (folder / ".dvc").is_dir()
    assert len(asked) == 1 and len(list(folder.parent.iterdir())) == 1
    shutil.rmtree(folder)

    def while_another_job_is_faster() -> bytes:
        (folder / "src").mkdir(parents=True)
        return content

    assert node.unpacked(sha256, while_another_job_is_faster) == folder
    assert list(folder.parent.iterdir()) == [folder]  # no second copy


def test_ray_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="--on ray needs Ray: pip install ray"):
        backend_of()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"partition": "gpu"}, "--option partition: the options of --on ray are address, num_cpus"),
        ({"num_cpus": "two"}, "--option num_cpus must be a whole number, got 'two'"),
        ({"shared": "no"}, "--option shared must be true or false, got 'no'"),
    ],
)
def test_options_that_ray_has_not(option, message):
    with pytest.raises(ValueError, match=message):
        ray._checked(option)
