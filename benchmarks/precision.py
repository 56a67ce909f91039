"""Does training in bfloat16 cost accuracy? Paired over validation images and seeds."""

import numpy as np

from benchmarks.harness import Options, computes_bf16, table
from benchmarks.process import Job, measure
from benchmarks.task import Task, fetch
from thumbnets.evaluation.comparisons import compare
from thumbnets.params import load_params

ROUNDS = 1
_SEEDS = list(range(5))
_MARGIN = 0.005  # worse by less than this counts as no worse


def row(model: str, options: Options) -> list[str]:
    """The scores of both precisions, side by side."""
    limit = options.images if options.quick else None
    task = Task(model, "fashion_mnist", limit, {"epochs": 5})
    tasks = {name: task.but(precision=name) for name in ("bf16", "fp32")}
    jobs = [Job("ours.judged", {"task": t.plain(), "seeds": _SEEDS}) for t in tasks.values()]
    right = dict(zip(tasks, (said["recognised"] for said in measure(*jobs)), strict=True))
    scores = {name: np.array(of_seeds, bool) for name, of_seeds in right.items()}
    [compared] = compare(scores)
    gain = compared.gain
    means = [f"{100 * scores[name].mean():.2f} %" for name in ("fp32", "bf16")]
    interval = f"{100 * gain.mean:+.2f} ({100 * gain.low:+.2f} – {100 * gain.high:+.2f})"
    print(f"{model}: {', '.join(means)}; {interval}", flush=True)
    return [model, *means, interval, "yes" if gain.low > -_MARGIN else "**not shown**"]


def question(options: Options) -> str:
    """The table of the pool's networks.

    Raises:
        ValueError: The machine does not compute bf16 natively.
    """
    if not computes_bf16():
        raise ValueError("this machine has no bf16 of its own")
    fetch("fashion_mnist")
    head = (
        "## bf16 against fp32\n\n"
        f"The pool's blocks with 5 epochs and seeds 0 to {_SEEDS[-1]}, judged on the images of "
        "fold 0, because precision is chosen by this table. Gain of bf16 in points with its 95 % "
        "interval over images and seeds; no worse: the interval lies above "
        f"-{100 * _MARGIN:.1f}."
    )
    models = dict.fromkeys(load_params().pool)
    columns = ["", "fp32", "bf16", "gain", "no worse"]
    return f"{head}\n\n{table(columns, [row(model, options) for model in models])}"
