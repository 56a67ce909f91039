"""How long do the default networks train with `thumbnets train`, and with the usual loop?"""

import re
import tempfile
import time
from itertools import count
from pathlib import Path

from benchmarks import harness
from benchmarks.harness import CORES, Contender, Options, against, spread, table, wall
from benchmarks.process import Job, Measured, answer
from benchmarks.project import cloned, run
from benchmarks.task import Task, fetch

DATA = "fashion_mnist"
POOL = ("mlp4", "mlp_custom", "cnn_a", "cnn_b", "cnn_c", "tiny_cnn")
QUICK = ("mlp4", "cnn_a")
ROUNDS = 3
GOALS = {"thumbnets train": 4, "thumbnets train, bf16": 6}

# Processes at a time, and DataLoader workers of each. A single process has torch's own threads.
WAYS = ((1, 0), (1, 1), (1, 2), (CORES, 0))


def usual(tasks: list[Task], way: tuple[int, int], folder: Path, *, autocast: bool) -> Contender:
    """The usual loop on all networks; parallel processes take the next network when they are free.

    Args:
        tasks: The trainings.
        way: One of `WAYS`.
        folder: Empty folder in which processes note what they have taken.
        autocast: Whether it trains in bf16.
    """
    processes, workers = way
    job = Job(
        "peers.pool",
        {
            "tasks": [task.plain() for task in tasks],
            "workers": workers,
            "autocast": autocast,
            "taken": str(folder),
        },
        {"OMP_NUM_THREADS": "1"} if processes > 1 else {},
    )
    return Contender("usual loop, bf16" if autocast else "usual loop", (job,) * processes)


def best_way(tasks: list[Task], images: int, folder: Path) -> tuple[int, int]:
    """The fastest of `WAYS` for one epoch of each network."""
    trial = [Task(task.model, task.data, images, {"epochs": 1}) for task in tasks]
    numbers = count()

    def contenders(_: int) -> list[Contender]:
        found = []
        for way in WAYS:
            taken = folder / f"trial-{next(numbers)}"
            taken.mkdir()
            found.append(Contender(str(way), usual(trial, way, taken, autocast=False).jobs))
        return found

    results = harness.compare(contenders, 1)
    return min(WAYS, key=lambda way: min(wall(results[str(way)])))


def project(folder: Path, models: list[str], epochs: int | None, precision: str) -> None:
    """Make a clone of the project with its images prepared, and nothing trained.

    Args:
        folder: Folder of the clone.
        models: Its pool.
        epochs: Epochs of each network; None: those of its block.
        precision: `train.precision`.
    """
    cloned(folder, DATA, f"model: {models[0]}\npool: [{', '.join(models)}]\nseeds: [0]\n")
    text = (folder / "params.yaml").read_text()
    text = re.sub(r"(?m)^  precision: \w+", f"  precision: {precision}", text)
    if epochs:
        text = re.sub(r"epochs: \d+", f"epochs: {epochs}", text)
    (folder / "params.yaml").write_text(text)
    run(folder, "-m", "dvc", "repro", "pretrain")


def ours(models: list[str], epochs: int | None, precision: str) -> Measured:
    """`thumbnets train` in a fresh clone, including all processes it starts; gives `seconds`."""
    folder = tempfile.TemporaryDirectory()
    clone = Path(folder.name, "clone")
    project(clone, models, epochs, precision)

    def measured() -> dict:
        began = time.perf_counter()
        run(clone, "-m", "thumbnets", "train")
        seconds = time.perf_counter() - began
        folder.cleanup()
        return {"seconds": seconds}

    return measured


def question(options: Options) -> str:
    """The table, and which of `WAYS` was best for the usual loop."""
    fetch(DATA)
    models, epochs = (list(QUICK), 1) if options.quick else (list(POOL), None)
    images, train = options.images if options.quick else None, {"epochs": epochs} if epochs else {}
    tasks = [Task(model, DATA, images, train) for model in models]
    numbers = count()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("trial of the usual loop", flush=True)
        processes, workers = way = best_way(tasks, options.images, folder)

        def contenders(_: int) -> list[Contender]:
            found = []
            for autocast in (False, True):
                taken = folder / f"taken-{next(numbers)}"
                taken.mkdir()
                found.append(usual(tasks, way, taken, autocast=autocast))
            for title, precision in zip(GOALS, ("fp32", "bf16"), strict=True):
                how = {"models": models, "epochs": epochs, "precision": precision}
                found.append(Contender.of(title, "pool.ours", **how))
            return found

        results = harness.compare(contenders, options.repeats)
    base = wall(results["usual loop"])
    rows = [
        [
            title,
            spread(wall(said), 1),
            *against(base, wall(said), GOALS.get(title)),
        ]
        for title, said in results.items()
    ]
    at_once = f"{processes} at once" if processes > 1 else "one after the other"
    return (
        f"## The pool\n\n{', '.join(models)}, each with the epochs of its block, batch size and "
        f"augmentation; on {CORES} cores. `thumbnets train` from the command to its end, "
        "with its start, validation after every epoch and the writing of all files; the usual "
        f"loop ready to begin, without validation, in its best way: {at_once}, {workers} workers "
        f"(of one after the other with 0, 1 and 2 workers, and {CORES} at once).\n\n"
        + table(["", "seconds", "times as fast as the usual loop", "goal"], rows)
    )


if __name__ == "__main__":
    answer(ours)
