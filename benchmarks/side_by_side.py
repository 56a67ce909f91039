"""How much slower are two trainings at once? Threads that spin while they wait would tell."""

from benchmarks import harness
from benchmarks.harness import Contender, Options, ratios, spread, table, wall
from benchmarks.process import Job
from benchmarks.task import Task, fetch

MODELS = ("mlp4", "cnn_c")
_SPINNING = {"GOMP_SPINCOUNT": "300000"}  # what libgomp does by itself


def contenders_of(model: str, options: Options) -> list[Contender]:
    """A training alone and two at once, with our threads' settings and with libgomp's own."""
    task = Task(model, "fashion_mnist", options.images, {"epochs": 1, "augment": []})
    contenders = []
    for name, environment in {"thumbnets": {}, "libgomp's own spinning": _SPINNING}.items():
        job = Job("ours.fit", {"task": task.plain(), "seeds": [0, 1, 2]}, environment)
        contenders += [
            Contender(f"{name}, alone", (job,)),
            Contender(f"{name}, two at once", (job, job)),
        ]
    return contenders


def section(model: str, options: Options) -> str:
    """The table of one network."""
    print(model, flush=True)
    results = harness.compare(lambda _: contenders_of(model, options), options.repeats)
    alone = wall(results["thumbnets, alone"])
    rows = [
        [name, spread(wall(said)), spread(ratios(wall(said), alone))]
        for name, said in results.items()
    ]
    return f"### {model}\n\n{table(['', 'seconds', 'times thumbnets alone'], rows)}"


def question(options: Options) -> str:
    """Tables of all networks."""
    fetch("fashion_mnist")
    head = (
        "## Two trainings side by side\n\n"
        f"Each trains 3 networks for one epoch of {options.images:,} images with the threads of "
        "params.yaml. Two that share the cores fairly take 2 times as long as one alone; goal: "
        "no more than that by waiting for each other's spinning threads."
    )
    return "\n\n".join([head, *(section(model, options) for model in MODELS)])
