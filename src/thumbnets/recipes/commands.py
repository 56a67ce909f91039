"""The commands about recipes: `thumbnets recipe`, `results` and `verify`."""

import argparse
import contextlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thumbnets import paths
from thumbnets.launch.options import (
    add_launch_options,
    check_launch_options,
    launch_options,
    launched_device,
)
from thumbnets.params import Params
from thumbnets.recipes.recipe import (
    RecipeFile,
    find_recipes,
    read_recipe,
    recipe_id,
    recipe_paths,
)
from thumbnets.yaml_files import parse_yaml, read_yaml

Command = Callable[[Callable[[argparse.Namespace], None]], argparse.ArgumentParser]


def add_commands(command: Command) -> None:
    """Add the commands.

    Args:
        command: Function that adds the command of a function, and returns its parser.
    """
    running = command(recipe)
    running.add_argument(
        "files", nargs="+", type=Path, metavar="RECIPE", help="DATASET/NAME or its file"
    )
    running.add_argument("--seeds", type=_seeds, help="instead of the recipe's, such as 0,1,2")
    add_launch_options(running)
    running.add_argument(
        "--dry-run", action="store_true", help="say what would be trained, and train nothing"
    )
    summing = command(results)
    summing.add_argument(
        "--write",
        action="store_true",
        help="bring docs/results.md and the README's table up to date",
    )
    verifying = command(verify)
    verifying.add_argument(
        "recipe",
        nargs="?",
        type=Path,
        metavar="RECIPE",
        help="DATASET/NAME or its file (default: the default run)",
    )
    verifying.add_argument(
        "--trainings", type=int, help="how many to repeat, cheapest first (default: 1)"
    )
    verifying.add_argument(
        "--tolerance",
        type=float,
        metavar="POINTS",
        help="largest difference in accuracy that passes (default: three times the sd over seeds)",
    )
    verifying.add_argument(
        "--files",
        action="store_true",
        help="check outputs and cached copies against dvc.lock instead",
    )


def recipe(arguments: argparse.Namespace) -> None:
    """Run recipes, each in its own workspace, and write the results beside them."""
    from thumbnets.recipes.run import run_recipe

    root = Path.cwd()
    files = [read_recipe(path, root) for path in arguments.files]
    check_launch_options(arguments)
    device = launched_device(arguments.on or "local", arguments)
    for file in files:
        if arguments.dry_run:
            _tell_trainings(file, arguments.seeds, device)
        else:
            params = run_recipe(
                file,
                seeds=arguments.seeds,
                jobs=arguments.jobs,
                launch=launch_options(arguments),
                device=device,
            )
            print(f"{file.page}: {_judged(file, params)}", flush=True)


def _tell_trainings(file: RecipeFile, seeds: list[int] | None, device: str | None) -> None:
    from thumbnets.recipes.plan import planned

    found = planned(file, seeds, device)
    for training in found.trainings:
        state = {True: "cached", False: "to train", None: "not known before its encoder"}[
            training.cached
        ]
        print(f"{training.model}, seed {training.seed}: {state}")
    hours = found.core_hours
    time = "" if hours is None else f", about {hours:.1f} core hours"
    print(f"{file.path}: {found.left} of {len(found.trainings)} trainings to do{time}")


def results(arguments: argparse.Namespace) -> None:
    """Show for every recipe whether its result is up to date, and whether it reaches its goals."""
    from thumbnets.recipes.pages import read_results, write_pages

    root = Path.cwd()
    names = {path: recipe_id(path) for path in recipe_paths(root)}
    width, damaged = max(map(len, names.values()), default=0), False
    base = _committed_params(root)
    for path, name in names.items():
        try:
            verdict = _verdict(read_recipe(path, root), base)
        except ValueError as error:
            verdict, damaged = f"can't be read: {error}", True
        print(f"{name:<{width}}  {verdict}", flush=True)
    if arguments.write and not damaged:
        changed = write_pages(read_results(find_recipes(root)), root)
        print(f"written: {', '.join(map(str, changed)) or 'nothing, all is up to date'}")
    if damaged:
        raise SystemExit(1)


def _committed_params(root: Path) -> dict[str, Any]:
    """params.yaml as committed: recipes run with that one, whatever an experiment left in the tree.

    If it is not the one in the tree, a note says so.
    """
    from thumbnets.git import at_head

    there, content = read_yaml(root / paths.PARAMS), at_head(root, paths.PARAMS)
    if content is None:
        return there
    known = parse_yaml(content, f"{paths.PARAMS} of HEAD")
    if known != there:
        print(
            f"note: {paths.PARAMS} has uncommitted changes, which are not looked at.",
            file=sys.stderr,
        )
    return known


def _verdict(file: RecipeFile, base: dict[str, Any]) -> str:
    with contextlib.chdir(file.root):
        return _judged(file, file.params(base))


def _judged(file: RecipeFile, params: Params) -> str:
    from thumbnets.recipes.pages import read_results
    from thumbnets.recipes.staleness import judge

    with contextlib.chdir(file.root):
        return str(judge(file, read_results([file])[file], params))


def verify(arguments: argparse.Namespace) -> None:
    """Repeat some trainings and compare bytes, or check files; exit with 1 if any differ."""
    from thumbnets.recipes.files import check_files
    from thumbnets.recipes.verify import OTHER, verify_default, verify_recipe

    root = Path.cwd()
    trainings = 1 if arguments.trainings is None else arguments.trainings
    if trainings < 1:
        raise ValueError(f"--trainings must be 1 or more, got {trainings}.")
    if arguments.tolerance is not None and not 0 <= arguments.tolerance < math.inf:  # nan neither
        raise ValueError(f"--tolerance must be 0 points or more, got {arguments.tolerance:g}.")
    if arguments.files:
        print(checked := check_files(root))
        raise SystemExit(1 if checked.faults else 0)
    tolerance = None if arguments.tolerance is None else arguments.tolerance / 100
    if arguments.recipe is None:
        found = verify_default(root, trainings, tolerance)
    else:
        found = verify_recipe(read_recipe(arguments.recipe, root), trainings, tolerance)
    raise SystemExit(1 if any(one.outcome == OTHER for one in found) else 0)


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.strip("[]").split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers such as 0,1,2, got {text!r}") from None
