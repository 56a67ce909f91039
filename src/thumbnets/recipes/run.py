"""Running a recipe in a workspace; the user's tree gets only its result."""

import contextlib
from collections.abc import Mapping
from typing import Any

from thumbnets import paths
from thumbnets.artifacts import read_json, sha256, write_bytes, write_json, write_text
from thumbnets.feasible import check_feasible
from thumbnets.params import Params
from thumbnets.recipes.basis import basis
from thumbnets.recipes.pages import result_page
from thumbnets.recipes.recipe import RecipeFile, read_recipe
from thumbnets.recipes.record import record
from thumbnets.recipes.workspace import Workspace, committed, workspace
from thumbnets.stage import one_line
from thumbnets.watched import check_watched
from thumbnets.yaml_files import read_yaml


def run_recipe(
    file: RecipeFile,
    *,
    seeds: list[int] | None,
    jobs: int | None,
    launch: tuple[str, ...] = (),
    device: str | None = None,
) -> Params:
    """Run a recipe, and write its result beside it.

    Args:
        file: The recipe.
        seeds: Seeds in place of those of the recipe, or None.
        jobs: Trainings at once, or None for as many as the machines allow.
        launch: Further options of `thumbnets train`, such as where the trainings run.
        device: Device type of other machines that train; None: trainings run here.

    Returns:
        The params of the run: those of the project may have changed by its end.

    Raises:
        ValueError: Code is not committed, the recipe is already running, its teacher is missing, or
            a stage failed. The workspace stays, and the same command resumes from there.
    """
    content, params = prepared(file, seeds)
    with contextlib.chdir(file.root):
        check_watched(params)
        check_feasible(params)
    commit = committed(file.root, file.path, *filter(None, [file.recipe.needs]))
    with contextlib.chdir(file.root):
        rests_on = basis(params)  # now, since the code may be edited during the run
    with workspace(workspace_of(file), commit, file.root) as place:
        place.write_params(content)
        reproduce(place, jobs, launch, device)
        with contextlib.chdir(place.folder):
            result = record(file, params, commit, rests_on, device)
        if file.teaches:
            teacher = place.folder / paths.TEACHER / "teacher.npz"
            result["teacher"] = sha256(teacher)
            write_bytes(file.root / file.teacher, teacher.read_bytes())
        write_result(file, result)
        place.remove()
    return params


def workspace_of(file: RecipeFile) -> str:
    """Name of the workspace of a recipe."""
    return file.id.replace("/", "-")


def prepared(file: RecipeFile, seeds: list[int] | None) -> tuple[dict[str, Any], Params]:
    """The params of a run, as written and as validated, before there is a workspace.

    Raises:
        ValueError: The recipe is not valid, or its teacher is missing.
    """
    base = read_yaml(file.root / paths.PARAMS)
    with contextlib.chdir(file.root):
        params = file.params(base, seeds)
    if file.recipe.needs:
        check_teacher(_needed(file))
    return file.content(base, seeds), params


def _needed(file: RecipeFile) -> RecipeFile:
    try:
        return read_recipe(file.root / file.recipe.needs, file.root)
    except (ValueError, OSError) as error:
        raise ValueError(f"{file.path}: needs: {one_line(error)}") from None


def check_teacher(teacher: RecipeFile) -> None:
    """Refuse to run without the teacher that a recipe needs.

    Raises:
        ValueError: The teacher is missing, or it is not the one of its recipe's result.
    """
    remedy = f"run `thumbnets recipe {teacher.path}` first."
    if not teacher.teaches:
        raise ValueError(f"{teacher.path} makes no teacher: set its ensemble.teach.")
    path = teacher.root / teacher.teacher
    if not path.is_file():
        raise ValueError(f"{teacher.teacher} is missing: {remedy}")
    known = read_json(teacher.root / teacher.result).get("teacher") if has_result(teacher) else None
    if known and sha256(path) != known:
        raise ValueError(f"{teacher.teacher} does not match {teacher.result}: {remedy}")


def has_result(file: RecipeFile) -> bool:
    """Whether there is a result beside the recipe."""
    return (file.root / file.result).is_file()


def reproduce(
    place: Workspace,
    jobs: int | None,
    launch: tuple[str, ...] = (),
    device: str | None = None,
) -> None:
    """Bring a workspace up to date.

    Args:
        place: Workspace with its params written.
        jobs: Trainings at once, or None for as many as the machines allow.
        launch: Further options of `thumbnets train`.
        device: Device type of other machines that train, whose results are then accepted.

    Raises:
        ValueError: A stage failed.
    """
    environment = {"THUMBNETS_ACCEPT": device} if device else None
    if jobs != 1 or launch:
        at_once = () if jobs is None else ("--jobs", str(jobs))
        place.run("thumbnets.cli", "train", *at_once, *launch, env=environment)
    # DVC's run-cache would restore results of another device type; our store does not.
    place.run("dvc", "repro", "--no-run-cache", env=environment)


def write_result(file: RecipeFile, result: Mapping[str, Any]) -> None:
    """Write NAME.json and NAME.md beside the recipe."""
    write_json(file.root / file.result, result)
    write_text(file.root / file.page, result_page(file, read_json(file.root / file.result)))
