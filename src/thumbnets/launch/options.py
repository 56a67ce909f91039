"""Options of `thumbnets train`: where trainings run, how many at once, and with what."""

import argparse
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thumbnets.launch.base import BACKENDS, Request
from thumbnets.params import Params
from thumbnets.registry import unknown

PROFILE = Path("launch.toml")


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


def request_of(name: str, arguments: argparse.Namespace, params: Params) -> Request:
    """What a back end is asked for.

    Args:
        name: Name of the back end.
        arguments: Options of `add_launch_options`, checked.
        params: Params of the run.

    Raises:
        ValueError: An option does not fit the back end, or launch.toml is not valid.
    """
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
    return {**profile(name), **dict(arguments.option or ())}


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


def profile(name: str) -> Mapping[str, Any]:
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


def _option(text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not key or not mark:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text!r}")
    return key, value
