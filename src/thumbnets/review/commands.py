"""The commands `thumbnets review` and `thumbnets history`."""

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from thumbnets.git import commit_of, merge_base
from thumbnets.review.snapshot import TREE, Snapshot

if TYPE_CHECKING:
    from rich.console import Console


def review(arguments: argparse.Namespace) -> None:
    """Say whether each model is better or worse than in another commit, and what changed."""
    from thumbnets.review.comparing import review
    from thumbnets.review.markdown import markdown
    from thumbnets.review.terminal import show

    if not 0 <= arguments.margin < math.inf:  # nan neither
        raise ValueError(f"--margin must be points, 0 or more, got {arguments.margin:g}.")
    root = Path.cwd()
    base, is_experiment = _commit(root, arguments.base)
    head = _commit(root, arguments.head)[0] if arguments.head else TREE
    if not is_experiment:  # what two experiments have in common is the commit they started from
        base = merge_base(root, base, commit_of(root, "HEAD") if head == TREE else head)
    found = review(Snapshot(root, base), Snapshot(root, head), arguments.margin)
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2, sort_keys=True, allow_nan=False))
    elif arguments.md:
        print(markdown(found), end="")
    else:
        show(found, _console())
    if found.fails(arguments.fail_on):
        sys.exit(1)


def _commit(root: Path, name: str) -> tuple[str, bool]:
    """The full name of a commit, or of an experiment by the name that DVC gave it; and which it is.

    Raises:
        ValueError: There is no such commit or experiment here.
    """
    try:
        return commit_of(root, name), False
    except ValueError:
        from thumbnets.review.history import experiments

        found = [one.name for one in experiments(root) if one.subject == name]
        if not found:
            raise
        return found[-1], True  # the last of that name


def _console() -> "Console":
    """Standard output; a file or a pipe has lines of any length, not the 80 characters of rich."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200)


def add_review(parser: argparse.ArgumentParser) -> None:
    """Add the options of `review`."""
    parser.add_argument("base", metavar="BASE", help="commit, branch or experiment to compare with")
    parser.add_argument(
        "head", metavar="HEAD", nargs="?", help="commit or experiment (default: working tree)"
    )
    parser.add_argument(
        "--margin", type=float, default=0.3, help="points that count as equal (default 0.3)"
    )
    parser.add_argument(
        "--fail-on",
        choices=("worse", "unshown", "never"),
        default="never",
        help="exit with 1 if a model is worse, or is neither better nor equal (default never)",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--md", action="store_true", help="Markdown, for a pull request")
    shown.add_argument("--json", action="store_true", help="all numbers as JSON")


def history(arguments: argparse.Namespace) -> None:
    """Show accuracies over the commits of the branch and over experiments, with verdicts."""
    from thumbnets.review.history import history
    from thumbnets.review.history_pages import markdown, page, show

    found = history(Path.cwd(), list(dict.fromkeys(arguments.model)))
    unknown = [series.name for series in found[2:] if not series.points]
    if unknown:
        raise ValueError(f"No commit of this branch has metrics of {unknown[0]!r}.")
    if arguments.json:
        series = [of_one.as_dict() for of_one in found]
        print(json.dumps({"series": series}, indent=2, sort_keys=True, allow_nan=False))
    elif arguments.md or arguments.html:
        print((markdown if arguments.md else page)(found), end="")
    else:
        show(found, _console())


def add_history(parser: argparse.ArgumentParser) -> None:
    """Add the options of `history`."""
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="a block to show besides headline and ensemble (may be repeated)",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--md", action="store_true", help="Markdown")
    shown.add_argument("--html", action="store_true", help="a page with charts, on stdout")
    shown.add_argument("--json", action="store_true", help="all numbers as JSON")
