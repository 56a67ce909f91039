"""How long from nothing to the first step: interpreter, import, data, model?"""

from benchmarks import harness
from benchmarks.harness import Contender, Options, at_most, spread, table
from benchmarks.task import Task

MODELS = ("mlp4", "cnn_c", "tiny_cnn")
_GOAL = 2.5  # seconds


def parts(said: dict) -> list[float]:
    """Seconds for import, data and first step, and in total, since the process was started."""
    imported, read, stepped = said["marks"]
    begun = said["spawned"]
    return [imported - begun, read - imported, stepped - read, stepped - begun]


def question(options: Options) -> str:
    """The table of all networks."""

    def contenders(_: int) -> list[Contender]:
        return [
            Contender.of(model, "first_step.train", task=Task(model, "of data/processed").plain())
            for model in MODELS
        ]

    rows = []
    for model, results in harness.compare(contenders, options.repeats).items():
        columns = [list(one) for one in zip(*(parts(said[0]) for said in results), strict=True)]
        rows.append([model, *map(spread, columns), at_most(_GOAL, columns[-1])])
    return (
        "## From nothing to the first step\n\nSeconds since the process was started, files being "
        "in the system's cache.\n\n"
        + table(["", "interpreter, import", "data", "model, first step", "all", "goal"], rows)
    )
