"""How long does an epoch take, against a PyTorch loop, Lightning, skorch and scikit-learn?"""

from benchmarks import harness
from benchmarks.harness import Contender, Options, against, seconds, spread, table
from benchmarks.task import PLAIN, Task, fetch

_TRAIN = {**PLAIN, "early_stopping": None, "threads": 2}
_TURNED = [{"name": "rotation", "degrees": 7.0}, {"name": "shift", "pixels": 1}]

TASKS = {
    "mlp4": (Task("mlp4", "fashion_mnist", train=_TRAIN), 4),
    "cnn_c": (Task("cnn_c", "fashion_mnist", train=_TRAIN), 4),
    "tiny_cnn, rotation and shift": (
        Task("tiny_cnn", "mnist", train={**_TRAIN, "augment": _TURNED}),
        5,
    ),
}


def best_workers(task: Task, rounds: int = 2) -> int:
    """The number of DataLoader workers (0, 1 or 2) with which the usual loop is fastest."""

    def contenders(_: int) -> list[Contender]:
        return [
            Contender.of(str(n), "peers.epoch", task=task.plain(), tool="usual", workers=n)
            for n in (0, 1, 2)
        ]

    results = harness.compare(contenders, rounds)
    return int(min(results, key=lambda n: min(seconds(results[n]))))


def contenders_of(task: Task, workers: int) -> list[Contender]:
    """Ours and the peers; the usual loop is the baseline."""

    def ours(name: str, **train: object) -> Contender:
        changed = task.but(**train)
        return Contender.of(f"thumbnets, {name}", "ours.fit", task=changed.plain(), seeds=[0])

    def peer(name: str, tool: str, **how: object) -> Contender:
        return Contender.of(
            name, "peers.epoch", task=task.plain(), tool=tool, workers=workers, **how
        )

    contenders = [
        peer("usual loop", "usual"),
        ours("2 threads"),
        peer("usual loop, bf16", "usual", autocast=True),
        peer("Lightning", "lightning"),
        peer("skorch", "skorch"),
        ours("2 threads, bf16", precision="bf16"),
    ]
    if task.model.startswith("mlp"):
        contenders.append(peer("scikit-learn, no dropout", "sklearn"))
    return contenders


def section(name: str, task: Task, goal: float, options: Options) -> str:
    """The table of one network."""
    print(f"{name}: trial of workers", flush=True)
    workers = best_workers(task)
    results = harness.compare(lambda _: contenders_of(task, workers), options.repeats)
    usual = seconds(results["usual loop"])
    rows = [
        [
            contender,
            spread(seconds(said)),
            *against(usual, seconds(said), goal if contender == "thumbnets, 2 threads" else None),
        ]
        for contender, said in results.items()
    ]
    return "\n".join(
        [
            f"### {name}\n",
            f"Of 0, 1 and 2 workers {workers} was best for the usual loop.\n",
            table(["", "seconds", "times as fast as the usual loop", "goal"], rows),
        ]
    )


def question(options: Options) -> str:
    """Tables of all networks."""
    for dataset in ("fashion_mnist", "mnist"):
        fetch(dataset)
    head = (
        f"## An epoch of {options.images:,} images\n\nBatches of {_TRAIN['batch_size']}, SGD with "
        "momentum; each time is that of the call that trains, with all that it sets up."
    )
    tables = [
        section(name, Task(task.model, task.data, options.images, task.train), goal, options)
        for name, (task, goal) in TASKS.items()
    ]
    return "\n\n".join([head, *tables])
