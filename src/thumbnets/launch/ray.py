"""The back end of Ray: one task per job, on a running cluster or on one that is started here.

Tasks end with the command that started them. Nodes report plain values, see `launch.node`. Finished
trainings are put into the store by the worker, or from here if nodes share no files with this
machine.
"""

import hashlib
import io
import secrets
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thumbnets import paths, runtime
from thumbnets.launch import node
from thumbnets.launch.base import Bundle, Job, Request, State, Training
from thumbnets.launch.parcel import put_parcel
from thumbnets.launch.queued import Queued
from thumbnets.launch.worker import OUT_OF_MEMORY
from thumbnets.messages import shorten
from thumbnets.store import project_store, training_files, training_inputs
from thumbnets.training.imagenet import IMAGENET, file_of
from thumbnets.training.settings import ModelSettings

_OPTIONS = ("address", "num_cpus", "num_gpus", "mem_gb", "shared")
_CODE = (
    paths.SOURCE,
    paths.STAGES,
    paths.ZOO,
    paths.PARAMS,
    paths.CORRECTIONS,
    paths.REQUIREMENTS,
)


@dataclass
class _Task:
    """A submitted job, with Ray's iterator of its reports and its state."""

    job: Job
    told: Any
    state: State = field(default_factory=lambda: State("waiting"))


class Ray(Queued):
    """Runs jobs as tasks of Ray.

    Args:
        request: The user's request. Options: `address` of a cluster; `num_cpus` and `num_gpus` of
            one that is started here; `mem_gb`, memory of a job; `shared`, false if nodes are not to
            read the project's folder.

    Raises:
        ValueError: Ray is not installed, the cluster can't be reached, or an option is wrong.
    """

    detaches, every = False, 0.2

    def __init__(self, request: Request) -> None:
        super().__init__("ray")
        try:
            import ray
        except ImportError:
            raise ValueError("--on ray needs Ray: pip install ray.") from None
        self.ray, self.request = ray, request
        self.options = _checked(request.options)
        runtime.keep_ray_quiet()
        _connect(ray, self.options)
        self.jobs = request.jobs or max(1, int(self._there("CPU")) // request.threads)
        self._store = project_store(request.environment.get("THUMBNETS_DEVICE"))
        self._tasks: dict[str, _Task] = {}
        self._archive: tuple[str, Any] | None = None
        self._tell_what_is_missing()

    def submit(self, bundles: Sequence[Bundle]) -> list[Job]:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._token = (str(self.folder / "token"), secrets.token_hex())
        Path(self._token[0]).write_text(self._token[1], encoding="utf-8")
        self._archive = None  # an earlier one may lack files that these trainings read
        return super().submit(bundles)

    def states(self, jobs: Sequence[Job]) -> list[State]:
        for task in self._tasks.values():
            self._listen(task)
        return super().states(jobs)

    def _end(self, job: Job) -> None:
        task = self._tasks.get(job.id)
        if task and task.state.phase != "ended":
            self.ray.cancel(task.told, force=True)

    def _begun(self, job: Job) -> State | None:
        task = self._tasks.get(job.id)
        return task.state if task else None

    def _start(self) -> None:
        under_way = sum(task.state.phase != "ended" for task in self._tasks.values())
        for job in self._waiting[: max(0, self.jobs - under_way)]:
            self._waiting.remove(job)
            self._tasks[job.id] = _Task(job, self._submitted(job))

    def _submitted(self, job: Job) -> Any:
        """Submit a job to Ray; returns Ray's iterator of references."""
        self.ray.cloudpickle.register_pickle_by_value(node)
        remote = self.ray.remote(node.task).options(
            name=", ".join(one.title for one in job.trainings),
            num_cpus=self.request.threads,
            num_gpus=self.request.gpus,
            memory=self.options["mem_gb"] * 2**30 if "mem_gb" in self.options else None,
            num_returns="streaming",
            max_retries=0,
        )
        order = node.Order(
            root=str(Path.cwd()),
            token=self._token,
            arguments=tuple(one.argument for one in job.trainings),
            environment=dict(self.request.environment),
            shared=self.options.get("shared", True),
        )
        sha256, reference = self._archive or (None, None)
        return remote.remote(order, sha256, [reference])

    def _listen(self, task: _Task) -> None:
        """Process the node's new reports, without waiting."""
        while task.state.phase != "ended":
            ready, _ = self.ray.wait([task.told], timeout=0)
            if not ready:
                return
            try:
                kind, value = self.ray.get(next(task.told))
            except StopIteration:
                task.state = State("ended", task.state.reason)
            except self.ray.exceptions.RayError as error:
                task.state = State("ended", _reason(error))
            else:
                self._heard(task, kind, value)

    def _heard(self, task: _Task, kind: str, value: Any) -> None:
        if kind == "unshared":
            self._send_project()
            task.told = self._submitted(task.job)
        elif kind == "begun":
            task.state = State("running")
        elif kind == "line":
            with task.job.log.open("ab") as log:
                log.write(value)
        elif kind == "finished":
            self._keep(task, *value)
        elif kind == "ended":
            killed = f"killed by signal {-value}" if value < 0 else ""
            task.state = State("ended", killed or task.state.reason)

    def _keep(self, task: _Task, key: str, parcel: bytes) -> None:
        """Check a training that was sent back, and put it into the store."""
        [training] = [one for one in task.job.trainings if one.key == key]
        names = set(training_files(training.slot, training.seed))
        try:
            put_parcel(parcel, self._store, key, names)
        except (ValueError, OSError) as error:
            with task.job.log.open("a", encoding="utf-8") as log:
                print(f"error: {training.title}: {error}", file=log)

    def _send_project(self) -> None:
        """Give code and arrays to Ray, which sends them to each node once."""
        if self._archive is None:
            jobs = [*(task.job for task in self._tasks.values()), *self._waiting]
            content = archive(one for job in jobs for one in job.trainings)
            self._archive = hashlib.sha256(content).hexdigest(), self.ray.put(content)

    def _there(self, resource: str) -> float:
        """Amount of a resource that all nodes of the cluster have together."""
        return self.ray.cluster_resources().get(resource, 0)

    def _tell_what_is_missing(self) -> None:
        """Tell the user if no node has what a job needs: jobs then wait until such a node joins."""
        needed = {"CPU": self.request.threads, "GPU": self.request.gpus}
        nodes = [one["Resources"] for one in self.ray.nodes() if one["Alive"]]
        for name, number in needed.items():
            if all(one.get(name, 0) < number for one in nodes):
                print(
                    f"No node of the Ray cluster has {number:g} {name}s now: jobs wait for one.",
                    file=sys.stderr,
                )


def _checked(options: Mapping[str, object]) -> dict[str, Any]:
    """Validated options for Ray.

    Raises:
        ValueError: An option does not exist, or has a bad value.
    """
    checked: dict[str, Any] = {}
    for key, value in options.items():
        if key not in _OPTIONS:
            raise ValueError(f"--option {key}: the options of --on ray are {', '.join(_OPTIONS)}.")
        try:
            if key == "shared":
                checked[key] = {"true": True, "false": False}[str(value).lower()]
            else:
                checked[key] = str(value) if key == "address" else int(str(value))
        except (KeyError, ValueError):
            kind = "true or false" if key == "shared" else "a whole number"
            raise ValueError(f"--option {key} must be {kind}, got {value!r}.") from None
    return checked


def _connect(ray: Any, options: Mapping[str, Any]) -> None:
    """Join the cluster that was named or is running, or start one on this machine.

    Raises:
        ValueError: The cluster can't be reached, or does not fit.
    """
    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    resources = {name: options[name] for name in ("num_cpus", "num_gpus") if name in options}
    address = options.get("address") or ("local" if resources else None)
    try:
        if address is None:
            try:
                ray.init(address="auto", **quiet)
                return
            except ConnectionError:  # no cluster is running
                address = "local"
        local = {"include_dashboard": False, **resources} if address == "local" else {}
        ray.init(address=address, **local, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ValueError(f"The Ray cluster can't be used: {shorten(str(error))}") from None


def _reason(error: Exception) -> str:
    """Why a task ended early."""
    name, text = type(error).__name__, " ".join(str(error).split())
    known = {
        "OutOfMemoryError": OUT_OF_MEMORY,
        "TaskCancelledError": "was cancelled",
        "WorkerCrashedError": "its process was killed: run `thumbnets train` again",
        "NodeDiedError": "its node failed: run `thumbnets train` again",
    }
    return known.get(name) or shorten(text) or name


def archive(trainings: Iterable[Training]) -> bytes:
    """Code, params and arrays that trainings read, as a tar file."""
    files = dict.fromkeys(file for place in (*_CODE, paths.TRAIN) for file in _files(place))
    for one in trainings:
        files[paths.training_inputs(one.slot)] = None
        if not paths.encoder_of_slot(one.slot):
            files[paths.encoder_of(one.slot, one.seed)] = None
        settings = ModelSettings.model_validate(training_inputs(one.slot)["settings"])
        files.update(dict.fromkeys(path for path, _ in settings.files.values()))
        if settings.train.weights == IMAGENET:
            files[file_of(settings.arch)] = None
        if settings.encoder:
            files[paths.encoder(settings.encoder, one.seed)] = None
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for file in sorted(files):
            about = tarfile.TarInfo(file.as_posix())
            about.size = file.stat().st_size
            with file.open("rb") as content:
                tar.addfile(about, content)
    return made.getvalue()


def _files(place: Path) -> list[Path]:
    """The files of a folder, without those that Python generates; or a file itself."""
    if place.is_file():
        return [place]
    found = (path for path in place.rglob("*") if path.is_file())
    return [p for p in found if "__pycache__" not in p.parts and ".egg-info" not in str(p)]
