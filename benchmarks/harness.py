"""Comparing: rounds in random order, ratios within a round, tables that state their basis."""

import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.process import ROOT, Job, measure
from thumbnets import runtime

CORES = 2  # number of cores that the goals are stated for

_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scikit-learn",
    "pytorch-lightning",
    "skorch",
    "torchensemble",
    "cleanlab",
    "ray",
)


@dataclass(frozen=True)
class Options:
    """How thoroughly to measure.

    Attributes:
        repeats: Rounds; in each, every contender runs once.
        images: Images per epoch where epochs are timed.
        quick: Whether this is only to see that everything works: trainings stop early.
        sprint: Block of params.yaml that is to reach 99.0 % on MNIST.
        tiny: Block that is to reach 99.5 % on MNIST.
    """

    repeats: int
    images: int
    quick: bool
    sprint: str
    tiny: str

    @property
    def out(self) -> Path:
        """Folder of the results; a quick run does not touch the committed ones."""
        return ROOT / "build" / "benchmarks" if self.quick else ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Contender:
    """A row of a table: one process, or several at once; names of those in bf16 end in `bf16`."""

    name: str
    jobs: tuple[Job, ...]

    @classmethod
    def of(cls, name: str, job: str, **arguments: object) -> "Contender":
        """One process."""
        return cls(name, (Job(job, arguments),))


def shuffled(names: list[str], round_: int) -> list[str]:
    """The order of a round: random, the same in every run."""
    return random.Random(round_).sample(names, len(names))


def computes_bf16() -> bool:
    """Whether this machine computes bf16 natively."""
    return runtime.computes_bf16(runtime.device())


def compare(contenders: Callable[[int], list[Contender]], rounds: int) -> dict[str, list]:
    """Run every contender once per round, in random order, so that slow phases affect all alike.

    Those in bf16 run only if the machine has it.

    Args:
        contenders: Function from the number of a round to its contenders.
        rounds: Number of rounds.

    Returns:
        For each name, the results of its processes in each round.
    """
    results: dict[str, list] = {}
    bf16 = computes_bf16()
    for round_ in range(rounds):
        runnable = [one for one in contenders(round_) if bf16 or not one.name.endswith("bf16")]
        entries = {contender.name: contender for contender in runnable}
        results = results or {name: [] for name in entries}
        for name in shuffled(list(entries), round_):
            results[name].append(measure(*entries[name].jobs))
            took = wall(results[name])[-1]
            print(f"  round {round_ + 1}/{rounds}, {name}: {took:.2f} s", flush=True)
    return results


def seconds(results: list) -> list[float]:
    """Seconds measured by the single process of each round."""
    return [said[0]["seconds"] for said in results]


def wall(results: list) -> list[float]:
    """Seconds from the first process's start to the last one's end, in each round."""
    return [max(r["ended"] for r in said) - min(r["began"] for r in said) for said in results]


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """How many times as fast, round by round, so that changes of the machine's speed cancel."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def spread(values: list[float], digits: int = 2) -> str:
    """Median, minimum and maximum as text."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} ({low:.{digits}f} – {high:.{digits}f})"


def at_least(goal: float, values: list[float]) -> str:
    """A goal as text, and whether the median reaches it."""
    return f"≥ {goal:g}, {verdict(statistics.median(values) >= goal)}"


def at_most(goal: float, values: list[float]) -> str:
    """An upper limit as text, and whether the median keeps within it."""
    return f"≤ {goal:g}, {verdict(statistics.median(values) <= goal)}"


def against(base: list[float], took: list[float], goal: float | None = None) -> list[str]:
    """How many times as fast as the base, and the goal if there is one: two cells of a table."""
    faster = ratios(base, took)
    return [spread(faster), "" if goal is None else at_least(goal, faster)]


def verdict(reached: bool) -> str:
    """How a table says whether a goal is reached."""
    return "reached" if reached else "**missed**"


def mean_sd(values: list[float], digits: int = 2) -> str:
    """Mean and, for several values, standard deviation."""
    sd = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{sd}"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, with the first column left-aligned and the others right-aligned."""
    rule = [":--", *["--:"] * (len(columns) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [columns, rule, *rows])


def keep_to_cores(cores: int = CORES) -> None:
    """Pin this process and those it starts to the first cores that it may use (Linux)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def basis(options: Options) -> str:
    """The basis of the numbers: machine, versions, commit, extent of the measurements."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {metadata.version(name)}" for name in _PACKAGES if _installed(name)]
    without = "" if computes_bf16() else " It has no bf16 of its own: no rows of it."
    measured = (
        f"{options.repeats} rounds, every contender once in each, in random order, each in a "
        "process of its own. Ratios are taken within a round. Given are medians (least – greatest)."
    )
    changed = _git("status", "--porcelain", "-uno", "--", ":!benchmarks/results")
    return (
        f"{_cpu()}, {cores} of its cores; load before {os.getloadavg()[0]:.1f}.{without} "
        f"{', '.join(versions)}. Commit {_git('rev-parse', '--short', 'HEAD')}"
        f"{' with changes' if changed else ''}. "
        f"{measured if options.repeats > 1 else 'Measured once.'}"
    )


def _installed(name: str) -> bool:
    return any(True for _ in metadata.distributions(name=name))


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def answer_question(name: str, question: Callable[[Options], str], options: Options) -> None:
    """Measure, print the tables, and write them to <out>/<name>.md at once."""
    keep_to_cores()
    began, rests_on = time.time(), basis(options)
    tables = question(options)
    minutes = (time.time() - began) / 60
    quick = "**A quick run: the numbers mean nothing.**\n\n" if options.quick else ""
    text = f"{quick}{tables}\n\n{rests_on} It took {minutes:.0f} minutes.\n"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
