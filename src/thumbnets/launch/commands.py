"""The commands `thumbnets train` and `thumbnets jobs`."""

import argparse
import contextlib
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from thumbnets import paths, runtime
from thumbnets.doctor.commands import mend_locks
from thumbnets.feasible import check_feasible
from thumbnets.launch.base import Backend, Job, Request, Training, create_backend
from thumbnets.launch.following import epoch_lines
from thumbnets.launch.options import (
    add_launch_options,
    check_launch_options,
    profile,
    request_of,
)
from thumbnets.launch.plan import bundled, device_hours, missing_encoders, missing_trainings
from thumbnets.launch.records import forget_jobs, read_jobs
from thumbnets.launch.submission import Submission
from thumbnets.messages import plural
from thumbnets.params import Params, load_params
from thumbnets.store import Store, project_store
from thumbnets.watched import check_watched


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add the options of `thumbnets train`."""
    add_launch_options(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be trained, and train nothing"
    )
    parser.add_argument(
        "--detach", action="store_true", help="return once all is submitted; run train again later"
    )


def train(arguments: argparse.Namespace) -> None:
    """Train what is out of date, several models at once; `dvc repro` then does the rest."""
    check_launch_options(arguments)
    params = load_params()
    known = read_jobs()
    name = arguments.on or (known[0].backend if known else "local")
    request = request_of(name, arguments, params)
    backend = create_backend(name, request)
    if arguments.detach and not backend.detaches:
        raise ValueError(f"--detach: trainings of --on {name} end with the command.")
    bundle = arguments.bundle or (1 if name == "local" else None)
    device = request.environment.get("THUMBNETS_DEVICE")
    _check_same_device(device, [job for job in known if job.backend == name])
    store = project_store(device)
    mend_locks(Path.cwd())
    check_watched(params)
    if arguments.dry_run:
        _tell_plan(params, store, backend, request, bundle)
        return
    backend.check()
    check_feasible(params)
    submission, detach = Submission(backend, store, bundle, device), arguments.detach
    encoders = missing_encoders(params, store)
    if encoders and (sentence := _not_accepted(store)):
        raise ValueError(f"Encoders would be trained on {store.device}, but {sentence}")
    submitted = submission.finish(encoders, detach=detach, ends_others=False) if encoders else 0
    if detach and not all(store.has(one.key) for one in encoders):
        print(
            f"Encoders: {plural(submitted, 'job')}; the same command submits what begins with "
            "them, once they are finished"
        )
        return
    trainings = missing_trainings(params, store)
    submitted = submission.finish(trainings, detach=detach, ends_others=True)
    if detach:
        print(
            f"{plural(submitted, 'job')}; `thumbnets jobs` shows them, the same command without "
            "--detach waits for them"
        )
        return
    _tell_machines([*encoders, *trainings], store)
    if all(job.backend != name for job in read_jobs()):
        shutil.rmtree(backend.folder, ignore_errors=True)
    _remove_logs_of_killed_runs()


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
            f"Jobs were submitted to train on {others[0].device}, this command is for {device}: "
            "give the options that they were submitted with, such as --gpus, or end them by "
            "`thumbnets jobs --cancel`."
        )


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
    known = [f"about {hours:.2f} {'core' if on_cores else 'GPU'} hours"]
    others = [f"{unknown} of unknown length"] if unknown else []
    time = " and ".join(others if unknown == len(left) and left else known + others)
    after = ", without those that begin with an encoder that is not there yet" * bool(encoders)
    print(
        f"{len(left)} of {len(trainings)} trainings to do in {plural(len(jobs), 'job')}, "
        f"{time}{after}"
    )


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
    if trainings and (sentence := _not_accepted(store)):
        print(f"These were trained on {store.device}, but {sentence}")


def _not_accepted(store: Store) -> str | None:
    """A sentence if `dvc repro` here would not take what the store has."""
    here = runtime.accepted_device()
    if store.device in (here, runtime.device_type()):
        return None
    return (
        f"`dvc repro` accepts only {here}: set THUMBNETS_ACCEPT={store.device}, for both commands."
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
        backend = create_backend(name, Request(options=profile(name)))
        if cancel:
            backend.cancel(mine)
            forget_jobs(mine)
            print(f"{plural(len(mine), 'job')} on {name} ended")
            continue
        for job, state in zip(mine, backend.states(mine), strict=True):
            epochs = epoch_lines(job)
            titles = "; ".join(one.title for one in job.trainings)
            last = epochs[-1] if epochs else titles
            reason = f" ({state.reason})" if state.reason else ""
            print(f"{job.id}  {state.phase}{reason}  {last}  {folder / job.log}")
