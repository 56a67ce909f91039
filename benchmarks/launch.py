"""What overhead has a back end of `thumbnets train`, compared with processes on this machine?"""

import shutil
import tempfile
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from benchmarks.harness import CORES, Options, ratios, shuffled, spread, table
from benchmarks.project import cloned, run
from benchmarks.task import fetch
from tests.launch.cluster import hindrance, running_slurm

DATA = "fashion_mnist"
SEEDS = 12
# About ten seconds per training on one core without AVX-512.
BLOCK = "timed: {arch: mlp4, epochs: %d, lr: 0.05, augment: []}\n"
EPOCHS, QUICK_EPOCHS = 3, 1

Command = tuple[str, ...]


def contenders() -> tuple[dict[str, Command], list[str]]:
    """Options of each back end that is available here, and why others are not measured."""
    found: dict[str, Command] = {"local": ()}
    absent = []
    if reason := hindrance():
        absent.append(f"Slurm is not measured: {reason}.")
    else:
        found["Slurm, a job each"] = ("--on", "slurm", "--bundle", "1")
        found["Slurm, bundles of six"] = ("--on", "slurm", "--bundle", "6")
    if find_spec("ray"):
        found["Ray, with its start-up"] = ("--on", "ray", "--option", f"num_cpus={CORES}")
    else:
        absent.append("Ray is not measured: it is not installed.")
    return found, absent


def prepared(folder: Path, epochs: int) -> None:
    """Make a clone of the project whose run is twelve trainings of one block."""
    cloned(folder, DATA, f"model: timed\npool: [timed]\nseeds: {list(range(SEEDS))}\n")
    (folder / "zoo/timed.yaml").write_text(BLOCK % epochs)
    run(folder, "-m", "dvc", "repro", "pretrain")


def seconds(folder: Path, options: Command) -> float:
    """How long `thumbnets train` takes when nothing has been trained yet."""
    shutil.rmtree(folder / ".dvc/cache/finished", ignore_errors=True)
    began = time.perf_counter()
    run(folder, "-m", "thumbnets", "train", "--jobs", str(CORES), *options)
    return time.perf_counter() - began


def question(options: Options) -> str:
    """The table of all back ends."""
    fetch(DATA)
    found, absent = contenders()
    taken: dict[str, list[float]] = {name: [] for name in found}
    with ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory()), "clone")
        prepared(folder, QUICK_EPOCHS if options.quick else EPOCHS)
        if not hindrance():
            servers = Path(open_.enter_context(tempfile.TemporaryDirectory()))
            open_.enter_context(running_slurm(servers, cores=CORES))
        for round_ in range(options.repeats):
            for name in shuffled(list(found), round_):
                print(name, flush=True)
                taken[name].append(seconds(folder, found[name]))
    rows = [
        [name, spread(times, 1), spread(ratios(times, taken["local"]))]
        for name, times in taken.items()
    ]
    head = (
        f"## Back ends of `thumbnets train`\n\n{SEEDS} trainings of about ten seconds, {CORES} at "
        "once on as many cores, from the command to its end. Slurm's servers run on the same "
        "machine. Goal: no more than 1.25 times local processes."
    )
    columns = ["", "seconds", "times local"]
    return "\n\n".join([head, table(columns, rows), *absent])
