"""Measure: `python -m benchmarks [QUESTION …]`, all questions by default.

`python -m benchmarks gpu` is for a machine with a GPU, and has its own options.
"""

import argparse
import importlib
import os
import sys

from benchmarks import harness, process

# Modules of this package; each is imported when its turn comes. A module's `ROUNDS` caps --repeats.
QUESTIONS = (
    "graph",
    "cold_start",
    "side_by_side",
    "precision",
    "epoch",
    "pool",
    "roofline",
    "bags",
    "seeds",
    "accuracy",
    "mnist",
    "ensemble",
    "labels",
    "memory",
    "local_memory",
    "launch",
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("--repeats", type=int, default=5, help="rounds, at most (default 5)")
    parser.add_argument("--images", type=int, default=12_000, help="an epoch (default 12000)")
    parser.add_argument("--sprint", default="mnist_sprint", help="block for 99.0 %% on MNIST")
    parser.add_argument("--tiny", default="tiny_cnn_15", help="block for 99.5 %% on MNIST")
    parser.add_argument("--quick", action="store_true", help="only to see that it all works")
    return parser


def _options(arguments: argparse.Namespace, repeats: int) -> harness.Options:
    extent = (1, 1_500) if arguments.quick else (repeats, arguments.images)
    return harness.Options(*extent, arguments.quick, arguments.sprint, arguments.tiny)


def main() -> None:
    """Answer one question after the other; results are kept even if a later question fails."""
    if sys.argv[1:2] == ["gpu"]:
        return importlib.import_module("benchmarks.gpu").main(sys.argv[2:])
    parser = _parser()
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.questions if name not in QUESTIONS]:
        parser.error(f"unknown question {unknown[0]!r}; known: {', '.join(QUESTIONS)}, gpu (alone)")
    if min(arguments.repeats, arguments.images) < 1:
        parser.error("--repeats and --images must be 1 or more")
    for environment in (os.environ, process.ENVIRONMENT):
        environment["THUMBNETS_DEVICE"] = "cpu"  # the same device for all contenders
    failed = []
    for name in arguments.questions or QUESTIONS:
        module = importlib.import_module(f"benchmarks.{name}")
        repeats = min(arguments.repeats, getattr(module, "ROUNDS", arguments.repeats))
        try:
            harness.answer_question(name, module.question, _options(arguments, repeats))
        except (ValueError, RuntimeError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
    if failed:
        sys.exit(f"not answered: {', '.join(failed)}")


if __name__ == "__main__":
    main()
