"""How many networks per second are trained, for ten seeds of one network?"""

import statistics

from benchmarks import harness
from benchmarks.harness import CORES, Contender, Options, at_least, ratios, spread, table, wall
from benchmarks.process import Job
from benchmarks.task import Task, fetch

_SEEDS = list(range(10))
_GOAL = 1.7  # times as many as one after the other
MODELS = ("mlp4", "lenet5", "cnn_c", "tiny_cnn")  # one per family, all under 600,000 parameters
PERCEPTRONS = ("mlp4",)
_ALONE = f"one after the other, {CORES} threads of torch"


def contenders_of(model: str, options: Options) -> list[Contender]:
    """The ways to train ten seeds."""
    task = Task(model, "fashion_mnist", options.images // 2, {"epochs": 1, "augment": []})

    def ways(job: str, threads: int) -> tuple[Job, ...]:
        """As many processes as there are cores for their threads, with the seeds divided up."""
        processes = CORES // threads
        plain = task.but(threads=threads).plain()
        return tuple(
            Job(job, {"task": plain, "seeds": _SEEDS[number::processes]})
            for number in range(processes)
        )

    one = {"task": task.but(threads=1).plain(), "seeds": _SEEDS, "torch_threads": CORES}
    contenders = [
        Contender(_ALONE, (Job("ours.fit", one),)),
        Contender(f"one after the other, {CORES} threads of ours", ways("ours.fit", CORES)),
        Contender(f"{CORES} processes of 1 thread", ways("ours.fit", 1)),
    ]
    if model in PERCEPTRONS:
        contenders += [
            Contender("stacked weights", ways("ours.stacked", CORES)),
            Contender(f"stacked weights in {CORES} processes", ways("ours.stacked", 1)),
        ]
    return contenders


def section(model: str, options: Options) -> str:
    """The table of one network."""
    print(model, flush=True)
    results = harness.compare(lambda _: contenders_of(model, options), options.repeats)
    alone = wall(results[_ALONE])
    rows = []
    for name, said in results.items():
        accuracies = [a for run in said for process in run for a in process["validation"]]
        rows.append(
            [
                name,
                spread([len(_SEEDS) / s for s in wall(said)]),
                spread(ratios(alone, wall(said))),
                f"{statistics.mean(accuracies):.2f} %",
            ]
        )
    best = max(results, key=lambda name: statistics.median(ratios(alone, wall(results[name]))))
    columns = ["", "models a second", "times as many", "validation accuracy"]
    goal = at_least(_GOAL, ratios(alone, wall(results[best])))
    return f"### {model}\n\nBest: {best}. Goal: {goal}.\n\n{table(columns, rows)}"


def question(options: Options) -> str:
    """Tables of all networks."""
    fetch("fashion_mnist")
    head = (
        f"## {len(_SEEDS)} seeds of a network\n\n"
        f"One epoch of {options.images // 2:,} images a seed, no augmentation; import and data are "
        "not counted, evaluation is. The goal is the best way's, against one after the other with "
        "all threads of torch; ours, which share out batches, are given too."
    )
    return "\n\n".join([head, *(section(model, options) for model in MODELS)])
