"""How long does an epoch of bags take, in ragged batches and one bag at a time?"""

from benchmarks.harness import Contender, Options, against, compare, seconds, spread, table
from benchmarks.task import Task, fetch
from thumbnets.params import load_params

_GOAL = 5
_BATCH = 10  # bags


def _task(bags: int, **train: object) -> Task:
    method = load_params().models["mil_source"]["method"] | {"train_bags": bags}
    return Task("mil_source", "mnist", train={"method": method, "batch_size": _BATCH, **train})


def question(options: Options) -> str:
    """The table: seconds per epoch, with the network of the source."""
    fetch("mnist")
    bags, epochs = (40, 1) if options.quick else (200, 5)

    def ours(name: str, **train: object) -> Contender:
        return Contender.of(name, "ours.bags", task=_task(bags, **train).plain(), epochs=epochs)

    def contenders(_: int) -> list[Contender]:
        one = _task(bags).plain()
        return [
            Contender.of("one bag at a time", "bag_source.epoch", task=one, epochs=epochs),
            ours("thumbnets, 1 thread", threads=1),
            ours("thumbnets, 2 threads", threads=2),
            ours("thumbnets, 2 threads, bf16", threads=2, precision="bf16"),
        ]

    results = compare(contenders, options.repeats)
    slow = seconds(results["one bag at a time"])
    rows = [
        [
            name,
            spread(seconds(said), 3),
            *against(slow, seconds(said), _GOAL if name == "thumbnets, 2 threads" else None),
        ]
        for name, said in results.items()
    ]
    head = (
        f"## An epoch of {bags} bags\n\nMNIST-bags of mean size 10, the network of the source "
        f"(490,828 parameters), Adam. One bag at a time: the loop of the source, which computes "
        f"each bag once more for its error, with torch's threads. Ours: batches of {_BATCH} bags."
    )
    columns = ["", "seconds an epoch", "times as fast", "goal"]
    return f"{head}\n\n{table(columns, rows)}"
