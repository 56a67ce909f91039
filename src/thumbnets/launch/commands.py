"""The commands `thumbnets train` and `thumbnets jobs`."""

import argparse
import contextlib
import math
import re
import shutil
import socket
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from thumbnets import paths, runtime
from thumbnets.doctor.commands import mend_locks
from thumbnets.feasible import check_feasible
from thumbnets.launch.base import BACKENDS, Backend, Bundle, Job, Request, Training, create_backend
from thumbnets.launch.following import epoch_lines, follow
from thumbnets.launch.plan import (
    bundled,
    device_hours,
    missing_encoders,
    missing_trainings,
    note_seconds,
)
from thumbnets.launch.records import forget_jobs, keep_jobs, read_jobs
from thumbnets.params import Params, load_params
from thumbnets.registry import unknown
from thumbnets.store import Store, project_store
from thumbnets.watched import check_watched

PROFILE = Path("launch.toml")


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add the options of `thumbnets train`."""
    add_launch_options(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be trained, and train nothing"
    )
    parser.add_argument(
        "--detach", action="store_true", help="return once all is submitted; run train again later"
    )


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where trainings run, how many at once, and with what."""
    parser.add_argument("--jobs", type=int, help="trainings at once (default: as many as fit)")
    parser.add_argument(
        "--on",
        choices=list(BACKENDS),
        help="where to train (default: local, or where jobs were submitted before)",
    )
    parser.add_argument("--minutes", type=int, help="time limit of a Slurm job (default: 60)")
    parser.add_argument(
        "--bundle", type=int, help="trainings per job (default: a job takes minutes)"
    )
    parser.add_argument("--gpus", type=float, help="GPUs per training; 0.25: four share one")
    parser.add_argument(
        "--per-gpu", type=int, help="trainings that share a GPU here (default: 1, or as --jobs)"
    )
    parser.add_argument(
        "--option",
        action="append",
        type=_option,
        metavar="KEY=VALUE",
        help="option of the cluster, such as partition=gpu; launch.toml may set it, too",
    )


def launch_options(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The given options of `add_launch_options` except `--jobs`, as arguments of a command."""
    given = []
    for name in ("on", "minutes", "bundle", "gpus", "per_gpu"):
        if (value := getattr(arguments, name)) is not None:
            given += [f"--{name.replace('_', '-')}", str(value)]
    for key, value in arguments.option or ():
        given += ["--option", f"{key}={value}"]
    return tuple(given)


def train(arguments: argparse.Namespace) -> None:
    """Train what is out of date, several models at once; `dvc repro` then does the rest."""
    check_launch_options(arguments)
    params = load_params()
    known = read_jobs()
    name = arguments.on or (known[0].backend if known else "local")
    request = _request(name, arguments, params)
    backend = create_backend(name, request)
    if arguments.detach and not backend.detaches:
        raise ValueError(f"--detach: trainings of --on {name} end with the command.")
    bundle = arguments.bundle or (1 if name == "local" else None)
    device = request.environment.get("THUMBNETS_DEVICE")
    _check_same_device(device, [job for job in known if job.backend == name])
    store = project_store(device)
    mend_locks(Path.cwd())
    if arguments.dry_run:
        _tell_plan(params, store, backend, request, bundle)
        return
    backend.check()
    check_watched(params)
    check_feasible(params)
    start = partial(_finish, backend, store, bundle, device, detach=arguments.detach)
    encoders = missing_encoders(params, store)
    submitted = start(encoders, ends_others=False) if encoders else 0
    if submitted and arguments.detach:
        print(
            f"{submitted} jobs that train encoders; the same command submits what begins with "
            "them, once they are finished"
        )
        return
    trainings = missing_trainings(params, store)
    submitted = start(trainings, ends_others=True)
    if arguments.detach:
        print(
            f"{submitted} jobs; `thumbnets jobs` shows them, the same command without --detach "
            "waits for them"
        )
        return
    _tell_machines([*encoders, *trainings], store)
    if all(job.backend != name for job in read_jobs()):
        shutil.rmtree(backend.folder, ignore_errors=True)
    _remove_logs_of_killed_runs()


def _finish(
    backend: Backend,
    store: Store,
    bundle: int | None,
    device: str | None,
    trainings: Sequence[Training],
    *,
    detach: bool,
    ends_others: bool,
) -> int:
    """Train what the store does not have, in jobs that earlier commands submitted or in new ones.

    Args:
        backend: Back end of the jobs.
        store: Store that gets the trainings.
        bundle: Trainings per job; None: as many as take minutes.
        device: Device type of the jobs; None: that of this machine.
        trainings: The trainings.
        detach: Whether to return without waiting.
        ends_others: Whether jobs of other trainings are no longer wanted.

    Returns:
        Number of jobs.

    Raises:
        ValueError: Some trainings failed.
    """
    alive = _alive(backend, read_jobs())  # before the store is read: a job may end meanwhile
    missing = [one for one in trainings if not store.has(one.key)]
    picked = _picked_up(backend, alive, missing, ends_others)
    under_way = {one.key for job in picked for one in job.trainings}
    rest = [one for one in missing if one.key not in under_way]
    elsewhere = [one for one in rest if store.holder(one.key)]
    rest = [one for one in rest if one not in elsewhere]
    jobs = picked + _submit(backend, bundled(rest, backend.jobs, bundle), device)
    if detach:
        return len(jobs)
    try:
        failed, lost = follow(backend, jobs, store, elsewhere)
        while lost:  # another process was running these, and has ended without finishing them
            jobs += (more := _submit(backend, bundled(lost, backend.jobs, bundle), device))
            its_failed, lost = follow(backend, more, store)
            failed += its_failed
    except KeyboardInterrupt:
        stopped = "Stopped: the same command resumes from the last checkpoints."
        going_on = "The jobs continue: `thumbnets jobs --cancel` ends them."
        print(going_on if backend.detaches else stopped, file=sys.stderr)
        raise
    note_seconds(trainings, store)
    if failed:
        raise ValueError(f"{len(failed)} of {len(missing)} failed: {'; '.join(failed)}")
    forget_jobs(jobs)
    return len(jobs)


def _remove_logs_of_killed_runs() -> None:
    import psutil

    for folder in paths.LAUNCH.glob("*-*-*"):  # back end, host, process
        host, _, process = folder.name.partition("-")[2].rpartition("-")
        here = host == socket.gethostname()
        if here and process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _check_same_device(device: str | None, known: Sequence[Job]) -> None:
    """Refuse to wait for jobs on another type of device: their work would not be found.

    Raises:
        ValueError: Jobs that were submitted before train on another one.
    """
    if others := [job for job in known if job.device not in (device, None)]:
        raise ValueError(
            f"{len(others)} jobs were submitted to train on {others[0].device}, this command is "
            f"for {device}: give the options that they were submitted with, such as --gpus, or "
            "end them by `thumbnets jobs --cancel`."
        )


def _submit(backend: Backend, bundles: Sequence[Bundle], device: str | None) -> list[Job]:
    """Submit jobs, if any, and keep a record of those that outlive this process."""
    jobs = [replace(job, device=device) for job in backend.submit(bundles)] if bundles else []
    keep_jobs(jobs if backend.detaches else ())
    return jobs


def check_launch_options(arguments: argparse.Namespace) -> None:
    """Refuse invalid options of `add_launch_options`.

    Raises:
        ValueError: An option is invalid, or does not fit the back end.
    """
    for name in ("jobs", "minutes", "bundle", "per_gpu"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} must be 1 or more, got {value}.")
    if arguments.per_gpu and arguments.on not in (None, "local"):
        raise ValueError(
            f"--per-gpu is for this machine: with --on {arguments.on} use --gpus 0.25."
        )
    if arguments.gpus is not None and not 0 <= arguments.gpus < math.inf:
        raise ValueError(f"--gpus must be 0 or more, got {arguments.gpus:g}.")


def _request(name: str, arguments: argparse.Namespace, params: Params) -> Request:
    if arguments.minutes and name != "slurm":
        raise ValueError(f"--minutes: jobs of --on {name} have no time limit.")
    trained = [*params.run, *params.encoders]
    threads = max(params.settings[name].train.threads for name in trained)
    device = launched_device(name, arguments)
    return Request(
        jobs=arguments.jobs,
        minutes=arguments.minutes or 60,
        threads=threads,
        gpus=arguments.gpus or 0,
        per_gpu=arguments.per_gpu,
        options=_options(name, arguments),
        environment={"THUMBNETS_DEVICE": device} if device else {},
    )


def _options(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of a back end: the given ones override its profile."""
    return {**_profile(name), **dict(arguments.option or ())}


def launched_device(name: str, arguments: argparse.Namespace) -> str | None:
    """Device type that a back end is to train on; None for `local`: that of this machine."""
    if name == "local":
        return None
    options = _options(name, arguments)
    on_gpu = arguments.gpus or any(map(_asks_gpu, options, options.values()))
    return "cuda" if on_gpu else "cpu"


def _asks_gpu(option: str, value: object) -> bool:
    """Whether an option of sbatch asks for a GPU or for a share of one."""
    return option.startswith("gpus") or (
        option == "gres" and re.search(r"\b(gpu|shard)\b", str(value)) is not None
    )


def _profile(name: str) -> Mapping[str, Any]:
    """Options of a back end in launch.toml.

    Raises:
        ValueError: The file is not valid.
    """
    if not PROFILE.is_file():
        return {}
    try:
        tables = tomllib.loads(PROFILE.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{PROFILE} is not TOML: {error}.") from None
    for other in tables:
        if other not in BACKENDS:
            raise ValueError(f"{PROFILE}: {unknown('back end', other, list(BACKENDS))}")
    options = tables.get(name, {})
    if not isinstance(options, dict):
        raise ValueError(f"{PROFILE}: {name} must be a table, [{name}] and lines of key = value.")
    return options


def _alive(backend: Backend, known: Sequence[Job]) -> list[Job]:
    """Jobs of an earlier command that still wait or run; records of ended ones are removed."""
    mine = [job for job in known if job.backend == backend.name]
    phases = [state.phase for state in backend.states(mine)]
    forget_jobs(job for job, phase in zip(mine, phases, strict=True) if phase == "ended")
    return [job for job, phase in zip(mine, phases, strict=True) if phase != "ended"]


def _picked_up(
    backend: Backend, alive: Sequence[Job], missing: Sequence[Training], ends_others: bool
) -> list[Job]:
    """The jobs that train something missing, with only that; others, if now stale, are ended."""
    keys = {one.key for one in missing}
    wanted = [tuple(one for one in job.trainings if one.key in keys) for job in alive]
    if ends_others:
        others = [job for job, trainings in zip(alive, wanted, strict=True) if not trainings]
        backend.cancel(others)
        forget_jobs(others)
    return [
        replace(job, trainings=trainings)
        for job, trainings in zip(alive, wanted, strict=True)
        if trainings
    ]


def _tell_plan(
    params: Params, store: Store, backend: Backend, request: Request, bundle: int | None
) -> None:
    """Say what would be trained."""
    encoders = missing_encoders(params, store)
    trainings = [*encoders, *missing_trainings(params, store, encoders=not encoders)]
    left = []
    for one in trainings:
        holder = None if store.has(one.key) else store.holder(one.key)
        if not store.has(one.key) and not holder:
            left.append(one)
        state = f"under way in {holder}" if holder else "to train" if one in left else "cached"
        print(f"{one.title}: {state}")
    jobs = bundled(left, backend.jobs, bundle)
    on_cores = store.device == "cpu"
    hours, unknown = device_hours(left, request.threads if on_cores else request.gpus or 1)
    unit = "core hours" if on_cores else "GPU hours"
    time = f"about {hours:.2f} {unit}" + (f" and {unknown} of unknown length" if unknown else "")
    after = ", without those that begin with an encoder that is not there yet" * bool(encoders)
    print(f"{len(left)} of {len(trainings)} trainings to do in {len(jobs)} jobs, {time}{after}")


def _tell_machines(trainings: Sequence[Training], store: Store) -> None:
    """Name the machines if their kinds differ, since bytes may then differ too."""
    found: dict[str, int] = {}
    for one in trainings:
        if machine := store.about(one.key).get("machine"):
            name = ", ".join(str(machine.get(key)) for key in ("device", "kind", "torch"))
            found[name] = found.get(name, 0) + 1
    if len(found) > 1:
        each = "; ".join(f"{count} on {name}" for name, count in sorted(found.items()))
        print(f"Trained on machines of {len(found)} kinds, whose bytes may differ: {each}")
    here = runtime.accepted_device()
    if trainings and store.device not in (here, runtime.device_type()):
        print(
            f"These were trained on {store.device}, but `dvc repro` accepts only {here}: set "
            f"THUMBNETS_ACCEPT={store.device} for it."
        )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the options of `thumbnets jobs`."""
    parser.add_argument("--cancel", action="store_true", help="end all jobs; checkpoints stay")


def jobs(arguments: argparse.Namespace) -> None:
    """Show submitted jobs (id, state, last epoch, log file), or end them; those of recipes too."""
    found = False
    for folder in (Path(), *sorted(paths.WORKSPACES.glob("*/"))):
        with contextlib.chdir(folder):
            if known := read_jobs():
                found = True
                _show_or_cancel(known, folder, cancel=arguments.cancel)
    if not found:
        print("No jobs were submitted from here.")


def _show_or_cancel(found: Sequence[Job], folder: Path, *, cancel: bool) -> None:
    for name in dict.fromkeys(job.backend for job in found):
        mine = [job for job in found if job.backend == name]
        backend = create_backend(name, Request(options=_profile(name)))
        if cancel:
            backend.cancel(mine)
            forget_jobs(mine)
            print(f"{len(mine)} jobs on {name} ended")
            continue
        for job, state in zip(mine, backend.states(mine), strict=True):
            epochs = epoch_lines(job)
            titles = "; ".join(one.title for one in job.trainings)
            last = epochs[-1] if epochs else titles
            reason = f" ({state.reason})" if state.reason else ""
            print(f"{job.id}  {state.phase}{reason}  {last}  {folder / job.log}")


def _option(text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not key or not mark:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text!r}")
    return key, value
