"""How much slower are two trainings at once? Threads that spin while waiting would show here."""

from benchmarks import harness
from benchmarks.harness import CORES, Contender, Options, ratios, spread, table, wall
from benchmarks.process import Job
from benchmarks.task import Task, fetch

MODELS = ("mlp4", "cnn_c")


def jobs_of(model: str, options: Options) -> dict[str, Job]:
    """Ours with the threads of params.yaml, and with one per core; the usual loop with torch's."""
    train = {"epochs": 1, "augment": [], "schedule": "constant", "lr": 0.01}
    task = Task(model, "fashion_mnist", options.images, train)
    seeds = [0, 1, 2]
    return {
        "thumbnets": Job("ours.fit", {"task": task.plain(), "seeds": seeds}),
        f"thumbnets, {CORES} threads": Job(
            "ours.fit", {"task": task.but(threads=CORES).plain(), "seeds": seeds}
        ),
        "usual loop": Job("peers.epoch", {"task": task.plain(), "tool": "usual"}),
    }


def section(model: str, options: Options) -> str:
    """The table of one network."""
    print(model, flush=True)
    jobs = jobs_of(model, options)
    results = harness.compare(
        lambda _: [
            contender
            for name, job in jobs.items()
            for contender in (
                Contender(f"{name}, alone", (job,)),
                Contender(f"{name}, two at once", (job, job)),
            )
        ],
        options.repeats,
    )
    rows = []
    for name in jobs:
        alone, together = (wall(results[f"{name}, {how}"]) for how in ("alone", "two at once"))
        rows.append([name, spread(alone), spread(together), spread(ratios(together, alone))])
    columns = ["", "seconds alone", "seconds, two at once", "times as long"]
    return f"### {model}\n\n{table(columns, rows)}"


def question(options: Options) -> str:
    """Tables of all networks."""
    fetch("fashion_mnist")
    head = (
        "## Two trainings side by side\n\n"
        "Each trains 3 networks (the usual loop: one, without workers) for one epoch of "
        f"{options.images:,} images on {CORES} cores. Two of one thread have a core each; two "
        f"of {CORES} threads that share the cores fairly take 2 times as long as one alone. Goal: "
        "no more than that by waiting for each other's spinning threads."
    )
    return "\n\n".join([head, *(section(model, options) for model in MODELS)])
