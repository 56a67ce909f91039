"""Measure one GPU, in minutes: `python -m benchmarks gpu --data FOLDER`.

FOLDER has one folder of official archives per data set, `mnist/` and `fashion-mnist/`. This needs
torch, torchvision, scikit-learn and what trainings need, but no DVC and no network. The table and a
log are rewritten after every line, so an interrupted run keeps its findings. A line that fails says
so, and the next one follows: each is computed in separate processes, forked from this one, which
never touches the GPU.
"""

import argparse
import multiprocessing
import os
import signal
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import gpu_lines as lines
from benchmarks.gpu_lines import Extent
from benchmarks.harness import mean_sd, spread, table
from benchmarks.process import ROOT

_COLUMNS = ["", "measured", "goal", "took, s"]
_KILLED = "killed"  # result of a process that was killed on purpose


class Failed(RuntimeError):
    """A process gave no result."""


class Processes:
    """Starts functions in processes of their own.

    Args:
        extent: First argument of every function.
        deadline: Time by which all must have ended, in seconds of `time.monotonic`.
    """

    def __init__(self, extent: Extent, deadline: float) -> None:
        self.extent, self.deadline = extent, deadline

    def call(self, function: Callable, **arguments: object) -> Any:
        """Result of a function, called in a process."""
        return self.at_once(function, [arguments])[0]

    def at_once(self, function: Callable, calls: list[dict[str, object]]) -> list[Any]:
        """Results of calls in several processes that run at the same time.

        Raises:
            Failed: One failed, or time is up; none is left running.
        """
        fork = multiprocessing.get_context("fork")
        pipes = [fork.Pipe(duplex=False) for _ in calls]
        processes = [
            fork.Process(target=_answer, args=(writer, function, self.extent, arguments))
            for (_, writer), arguments in zip(pipes, calls, strict=True)
        ]
        try:
            for process, (_, writer) in zip(processes, pipes, strict=True):
                process.start()
                writer.close()
            return [self._result(*one) for one in zip(processes, pipes, strict=True)]
        finally:
            for process in processes:
                process.kill()
                process.join()

    def _result(self, process: Any, pipe: tuple[Connection, Connection]) -> Any:
        reader = pipe[0]
        if not reader.poll(max(0.0, self.deadline - time.monotonic())):
            raise Failed("time is over")
        try:
            failed, result = reader.recv()
        except EOFError:
            process.join()
            if process.exitcode == -signal.SIGKILL:
                return _KILLED
            raise Failed(f"a process ended with {process.exitcode}") from None
        if failed:
            raise Failed(result)
        return result


def _answer(pipe: Connection, function: Callable, extent: Extent, arguments: dict) -> None:
    """The child's side: call the function, and send its result or its error."""
    try:
        answer = (False, function(extent, **arguments))
    except Exception as error:  # any error belongs in the table
        traceback.print_exc()
        answer = (True, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    pipe.send(answer)


def machine(processes: Processes) -> tuple[str, str]:
    """The device and versions."""
    return processes.call(lines.machine), ""


def steps(processes: Processes) -> tuple[str, str]:
    """Whether a step waits for the GPU."""
    waiting = processes.call(lines.waiting_steps)
    told = "; ".join(f"{name}: {why}" for name, why in waiting.items())
    return told or "none waits", "none waits"


def same_bits(*captured: bool) -> Callable[[Processes], tuple[str, str]]:
    """Whether two processes end with the same weights, each with captured gradients or without."""

    def measured(processes: Processes) -> tuple[str, str]:
        one, two = (processes.call(lines.hashes, captured=each) for each in captured)
        differ = [name for name in one if one[name] != two[name]]
        return (f"differ: {', '.join(differ)}" if differ else f"same: {', '.join(one)}"), "same"

    return measured


def resumed(processes: Processes) -> tuple[str, str]:
    """Whether a killed and resumed training ends with the weights of an uninterrupted one."""
    file = processes.extent.out / "gpu.checkpoint"
    file.unlink(missing_ok=True)
    through = processes.call(lines.checkpointed, file=file, kill=None)
    file.unlink()
    killed = processes.call(lines.checkpointed, file=file, kill=0.6)
    if killed != _KILLED or not file.is_file():
        raise Failed("it was not killed, or left no checkpoint")
    again = processes.call(lines.checkpointed, file=file, kill=None)
    file.unlink()
    began = again["began"] / again["steps"]
    same = "same" if again["hash"] == through["hash"] else "other"
    return f"{same} bits, resumed after {100 * began:.0f} % of the steps", "same"


def memory(processes: Processes) -> tuple[str, str]:
    """The message if memory runs out."""
    return processes.call(lines.without_memory), "one line"


def epoch(name: str) -> Callable[[Processes], tuple[str, str]]:
    """An epoch of a network: ours (also as a CUDA graph) and the usual loop."""

    def measured(processes: Processes) -> tuple[str, str]:
        ours = processes.call(lines.our_epochs, name=name)
        usual = processes.call(lines.usual_epochs, name=name)
        graph = processes.call(lines.our_epochs, name=name, captured=True)
        faster, fastest = (statistics.median(usual) / statistics.median(t) for t in (ours, graph))
        return (
            f"{_seconds(ours)}; usual loop {_seconds(usual)}: {faster:.1f} times as fast; "
            f"with the gradients as a CUDA graph {_seconds(graph)}: {fastest:.1f}",
            "> 1 time as fast",
        )

    return measured


def _seconds(found: list[float]) -> str:
    return f"{spread(found)} s (n={len(found)})"


def accuracy(
    name: str, goal: float, seconds: float, *, captured: bool = False
) -> Callable[[Processes], tuple[str, str]]:
    """Time and test accuracy of whole trainings with several seeds."""

    def measured(processes: Processes) -> tuple[str, str]:
        took, tested = processes.call(lines.accuracies, name=name, captured=captured)
        told = f"{spread(took)} s of training, {mean_sd(tested)} % of test images, n={len(took)}"
        return told, f"{goal} % in {seconds:g} s"

    return measured


def stacked(processes: Processes) -> tuple[str, str]:
    """Many seeds as one network, compared with one after the other."""
    said = processes.call(lines.stacked)
    ratio = said["seeds"] * said["one"] / said["all"]
    return (
        f"{said['seeds']} seeds: {said['all']:.1f} s for {said['epochs']} epoch(s), one alone "
        f"{said['one']:.1f} s: {ratio:.1f} times as fast as in turn; "
        f"{mean_sd(said['accuracies'])} % of test images"
    ), "> 1 time as fast"


def packed(processes: Processes) -> tuple[str, str]:
    """Some processes that share the GPU, as with --per-gpu."""
    alone = statistics.median(processes.call(lines.our_epochs, name="tiny_cnn"))
    calls = [{"name": "tiny_cnn"}] * (2 if processes.extent.small else 8)
    together = [statistics.median(t) for t in processes.at_once(lines.our_epochs, calls)]
    gain = len(calls) * alone / statistics.mean(together)
    return (
        f"{len(calls)} at once: an epoch takes {spread(together)} s, alone {alone:.2f} s: "
        f"{gain:.1f} times as many a second"
    ), "> 1 time as many"


# The most important lines come first, for a run that is interrupted.
LINES: dict[str, Callable[[Processes], tuple[str, str]]] = {
    "machine": machine,
    "bits of two processes": same_bits(False, False),
    "bits with the gradients as a CUDA graph": same_bits(False, True),
    "a killed training": resumed,
    "memory that ends": memory,
    **{f"epoch of {name}": epoch(name) for name in lines.EPOCHS},
    "MNIST, mnist_sprint": accuracy("mnist_sprint", 99.0, 0.5),
    "MNIST, mnist_sprint as a CUDA graph": accuracy("mnist_sprint", 99.0, 0.5, captured=True),
    "Fashion-MNIST, airbench": accuracy("airbench", 94.0, 5),
    "Fashion-MNIST, airbench as a CUDA graph": accuracy("airbench", 94.0, 5, captured=True),
    "tiny_cnn, processes that share the GPU": packed,
    "steps that wait for the GPU": steps,
    "tiny_cnn, many seeds as one network": stacked,
}


class Record:
    """The table and the log, both complete after every line.

    Args:
        out: Folder of both.
        small: Whether this is a small run, whose numbers mean nothing.
    """

    def __init__(self, out: Path, small: bool) -> None:
        self.out, self.small = out, small
        self.rows: list[list[str]] = []
        out.mkdir(parents=True, exist_ok=True)
        (out / "gpu.log").write_text("")

    def add(self, name: str, measured: str, goal: str, seconds: float) -> None:
        """Add a line to both."""
        self.rows.append([name, measured.replace("|", "/"), goal, f"{seconds:.0f}"])
        head = "**On a CPU, few images: the numbers mean nothing.**\n\n" if self.small else ""
        text = f"## One GPU\n\n{head}{table(_COLUMNS, self.rows)}\n"
        for file, how, content in (
            ("gpu.md", "w", text),
            ("gpu.log", "a", f"{name}: {measured} (goal: {goal or '–'}; {seconds:.1f} s)\n"),
        ):
            with (self.out / file).open(how, encoding="utf-8") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
        print(f"{name}: {measured}", flush=True)


def main(arguments: list[str]) -> None:
    """Compute all lines, as far as time allows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with mnist/ and fashion-mnist/")
    parser.add_argument("--minutes", type=float, default=8, help="for all of it (default: 8)")
    parser.add_argument("--out", type=Path, help="folder of gpu.md and gpu.log")
    parser.add_argument("--small", action="store_true", help="on a CPU, only to see that it works")
    given = parser.parse_args(arguments)
    if given.data is None and not given.small:
        parser.error("--data FOLDER is needed, with the archives of mnist and fashion-mnist")
    results = ROOT / ("build/benchmarks" if given.small else "benchmarks/results")
    out = given.out or results
    deadline = time.monotonic() + 60 * given.minutes
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
    record, failed = Record(out, given.small), 0
    processes = Processes(lines.read(given.data, out, small=given.small), deadline)
    for name, line in LINES.items():
        began = time.monotonic()
        try:
            measured, goal = line(processes)
        except Failed as error:
            measured, goal, failed = f"failed: {error}", "", failed + 1
        record.add(name, measured, goal, time.monotonic() - began)
    if failed:
        sys.exit(f"{failed} of {len(LINES)} lines failed")
