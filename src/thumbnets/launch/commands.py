"""The commands `thumbnets train` and `thumbnets jobs`."""

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thumbnets.doctor.commands import mend_locks
from thumbnets.launch.base import BACKENDS, Backend, Job, Request, Training, create_backend
from thumbnets.launch.following import epoch_lines, follow
from thumbnets.launch.plan import bundled, core_hours, missing_trainings, note_seconds
from thumbnets.launch.records import forget_jobs, keep_jobs, read_jobs
from thumbnets.params import Params, load_params
from thumbnets.store import Store, project_store

PROFILE = Path("launch.toml")


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add the options of `thumbnets train`."""
    add_launch_options(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be trained, and train nothing"
    )
    parser.add_argument(
        "--detach", action="store_true", help="return once all is submitted; later, train again"
    )


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where trainings run, how many at once, and with what."""
    parser.add_argument("--jobs", type=int, help="trainings at once (default: as machines allow)")
    parser.add_argument("--on", choices=list(BACKENDS), help="where (default: local)")
    parser.add_argument("--minutes", type=int, help="longest time of a job (default: 60)")
    parser.add_argument("--bundle", type=int, help="trainings a job (default: a job takes minutes)")
    parser.add_argument("--gpus", type=float, help="GPUs a training; 0.25: four share one")
    parser.add_argument("--per-gpu", type=int, help="trainings that share a GPU here (default: 1)")
    parser.add_argument(
        "--option",
        action="append",
        type=_option,
        metavar="KEY=VALUE",
        help="of the cluster, as partition=gpu; launch.toml may hold them",
    )


def launch_options(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The given options of `add_launch_options` but `--jobs`, as another command takes them."""
    given = []
    for name in ("on", "minutes", "bundle", "gpus", "per_gpu"):
        if (value := getattr(arguments, name)) is not None:
            given += [f"--{name.replace('_', '-')}", str(value)]
    for key, value in arguments.option or ():
        given += ["--option", f"{key}={value}"]
    return tuple(given)


def train(arguments: argparse.Namespace) -> None:
    """Train what is out of date, several at once; `dvc repro` then goes on from there."""
    _check_positive(arguments)
    params = load_params()
    request = _request(arguments, params)
    name = arguments.on or "local"
    backend = create_backend(name, request)
    if arguments.detach and not backend.detaches:
        raise ValueError(f"--detach: --on {name} ends its trainings with the command.")
    store = project_store(request.environment.get("THUMBNETS_DEVICE"))
    if arguments.dry_run:
        _tell_plan(params, store, backend, arguments, request)
        return
    mend_locks(Path.cwd())
    trainings = missing_trainings(params, store)
    missing = [one for one in trainings if not store.has(one.key)]
    jobs = _picked_up(backend, missing)
    has_job = {one.key for job in jobs for one in job.trainings}
    rest = [one for one in missing if one.key not in has_job]
    elsewhere = [one for one in rest if store.holder(one.key)]
    rest = [one for one in rest if one not in elsewhere]
    bundles = bundled(rest, backend.jobs, _bundle(arguments))
    if bundles:
        submitted = backend.submit(bundles)
        if backend.detaches:
            keep_jobs(submitted)
        jobs += submitted
    if arguments.detach:
        print(f"{len(jobs)} jobs; `thumbnets jobs` shows them, `thumbnets train` picks them up")
        return
    failed = follow(backend, jobs, store, elsewhere)
    forget_jobs(job for job in jobs if all(store.has(one.key) for one in job.trainings))
    note_seconds(trainings, store)
    _tell_machines(trainings, store)
    if failed:
        raise ValueError(f"{len(failed)} of {len(missing)} failed: {'; '.join(failed)}")


def _check_positive(arguments: argparse.Namespace) -> None:
    for name in ("jobs", "minutes", "bundle", "per_gpu"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} must be 1 or more, got {value}.")
    if arguments.per_gpu and arguments.on not in (None, "local"):
        raise ValueError(f"--per-gpu: only here; --on {arguments.on} shares a GPU by --gpus 0.25.")
    if arguments.gpus is not None and not arguments.gpus >= 0:
        raise ValueError(f"--gpus must be 0 or more, got {arguments.gpus:g}.")


def _request(arguments: argparse.Namespace, params: Params) -> Request:
    name = arguments.on or "local"
    threads = max(params.settings[model].train.threads for model in params.run)
    environment = {}
    if name != "local":  # another machine may have other devices than this one
        environment["THUMBNETS_DEVICE"] = "cuda" if arguments.gpus else "cpu"
    return Request(
        jobs=arguments.jobs,
        minutes=arguments.minutes or 60,
        threads=threads,
        gpus=arguments.gpus or 0,
        per_gpu=arguments.per_gpu,
        options={**_profile(name), **dict(arguments.option or ())},
        environment=environment,
    )


def _profile(name: str) -> Mapping[str, Any]:
    """Options of a back end in launch.toml.

    Raises:
        ValueError: The file is not valid.
    """
    if not PROFILE.is_file():
        return {}
    try:
        options = tomllib.loads(PROFILE.read_text(encoding="utf-8")).get(name, {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{PROFILE} is not TOML: {error}.") from None
    if not isinstance(options, dict):
        raise ValueError(f"{PROFILE}: {name} must be a table, [{name}] and lines of key = value.")
    return options


def _bundle(arguments: argparse.Namespace) -> int | None:
    """Trainings a job; processes here cost little, so that each has one of its own."""
    return arguments.bundle or (1 if arguments.on in (None, "local") else None)


def _picked_up(backend: Backend, missing: Sequence[Training]) -> list[Job]:
    """Jobs of an earlier command that still wait or run; those that have ended are forgotten."""
    keys = {one.key for one in missing}
    mine = [job for job in read_jobs() if job.backend == backend.name]
    states = backend.states(mine) if mine else []
    alive = [
        job
        for job, state in zip(mine, states, strict=True)
        if state.phase != "ended" and any(one.key in keys for one in job.trainings)
    ]
    forget_jobs(job for job, state in zip(mine, states, strict=True) if state.phase == "ended")
    return alive


def _tell_plan(
    params: Params,
    store: Store,
    backend: Backend,
    arguments: argparse.Namespace,
    request: Request,
) -> None:
    """Say what would be trained."""
    encoders = any(params.settings[name].encoder for name in params.run)
    trainings = missing_trainings(params, store, encoders=not encoders)
    left = []
    for one in trainings:
        holder = None if store.has(one.key) else store.holder(one.key)
        if not store.has(one.key) and not holder:
            left.append(one)
        state = f"under way in {holder}" if holder else "to train" if one in left else "cached"
        print(f"{one.title}: {state}")
    jobs = bundled(left, backend.jobs, _bundle(arguments))
    hours, unknown = core_hours(left, request.threads)
    unit = "GPU hours" if request.gpus else "core hours"
    if request.gpus:
        hours *= request.gpus / request.threads
    time = f"about {hours:.2f} {unit}" + (f" and {unknown} of unknown length" if unknown else "")
    after = ", beside those that begin with an encoder" if encoders else ""
    print(f"{len(left)} of {len(trainings)} trainings to do in {len(jobs)} jobs, {time}{after}")


def _tell_machines(trainings: Sequence[Training], store: Store) -> None:
    """Name the machines where they differ, since bytes may do so too."""
    found: dict[str, int] = {}
    for one in trainings:
        if machine := store.about(one.key).get("machine"):
            name = ", ".join(str(machine.get(key)) for key in ("device", "kind", "torch"))
            found[name] = found.get(name, 0) + 1
    if len(found) > 1:
        each = "; ".join(f"{count} on {name}" for name, count in sorted(found.items()))
        print(f"Trained on machines of {len(found)} kinds, whose bytes may differ: {each}")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the options of `thumbnets jobs`."""
    parser.add_argument("--cancel", action="store_true", help="end them all; checkpoints stay")


def jobs(arguments: argparse.Namespace) -> None:
    """Show submitted jobs: id, state, last epoch, log file; or end them."""
    found = read_jobs()
    if not found:
        print("No jobs were submitted from here.")
    for name in dict.fromkeys(job.backend for job in found):
        mine = [job for job in found if job.backend == name]
        backend = create_backend(name, Request(options=_profile(name)))
        if arguments.cancel:
            backend.cancel(mine)
            forget_jobs(mine)
            print(f"{len(mine)} jobs on {name} ended")
            continue
        for job, state in zip(mine, backend.states(mine), strict=True):
            epochs = epoch_lines(job)
            titles = "; ".join(one.title for one in job.trainings)
            last = epochs[-1] if epochs else titles
            reason = f" ({state.reason})" if state.reason else ""
            print(f"{job.id}  {state.phase}{reason}  {last}  {job.log}")


def _option(text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not key or not mark:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text!r}")
    return key, value
