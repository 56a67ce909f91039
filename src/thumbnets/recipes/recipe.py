"""A recipe: an overlay of params.yaml with a title, a purpose, and goals."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from thumbnets import paths
from thumbnets.choices import Checked, explain
from thumbnets.data.datasets import DATASETS, OwnImages
from thumbnets.messages import quote
from thumbnets.options import Positive
from thumbnets.params import Params, check_params
from thumbnets.paths import ENSEMBLE
from thumbnets.registry import unknown
from thumbnets.yaml_files import merged, read_yaml

FOLDER = Path("recipes")

Metric = Literal["accuracy", "error", "auc", "nll", "ece"]
_LESS_IS_BETTER = {"error", "nll", "ece"}
_WORDS = {"title", "shows", "notes", "needs", "core_hours", "goals"}  # all other keys are params

Section = dict[str, Any]


def _is_file(needs: str) -> str:
    """Refuse anything but the path of a recipe file, such as a recipe's name.

    Raises:
        ValueError: It is not recipes/DATASET/NAME.yaml.
    """
    path = Path(needs)
    if path.suffix != ".yaml" or path.parent.parent != FOLDER:
        raise ValueError(f"must be a file {FOLDER}/DATASET/NAME.yaml, got {quote(needs)}")
    return needs


class Goal(Checked):
    """A goal for one model of a recipe, or its ensemble, to reach by its mean over seeds."""

    of: str
    """A model of the run, or `ensemble`."""
    metric: Metric
    value: float
    """A fraction; of nll nats."""
    source: str | None = None
    """Who has reached it, or how it was set."""

    @model_validator(mode="after")
    def _can_be_reached(self) -> "Goal":
        if self.metric != "nll" and not 0 <= self.value <= 1:
            raise ValueError(
                f"value must be a fraction from 0 to 1, such as 0.92, got {self.value:g}"
            )
        return self

    def reached_by(self, mean: float) -> bool:
        """Whether a mean over seeds is as good as the goal."""
        return mean <= self.value if self.metric in _LESS_IS_BETTER else mean >= self.value


class Recipe(Checked):
    """A recipe file."""

    title: Annotated[str, Field(min_length=1)]
    shows: Annotated[str, Field(min_length=1)]
    """What it is to show, one to three sentences."""
    notes: str | None = None
    """What is to be known about its result."""
    needs: Annotated[str, AfterValidator(_is_file)] | None = None
    """The recipe of the teacher that its models learn from, a path from the project's root."""
    core_hours: Positive | None = None
    """About how long all its trainings take one core, where that is known."""
    goals: list[Goal] = []
    # Keys of params.yaml, laid over it.
    model: str
    pool: list[str]
    seeds: list[int]
    data: Section
    split: Section = {}
    train: Section = {}
    models: dict[str, Section] = {}
    ensemble: Section = {}
    evaluation: Section = {}

    @property
    def overlay(self) -> dict[str, Any]:
        """The params that the recipe sets, as written."""
        return self.model_dump(exclude=_WORDS, exclude_unset=True)


@dataclass(frozen=True, eq=False)  # compared by identity, as it is a key of dictionaries
class RecipeFile:
    """A recipe with its path.

    Attributes:
        path: The file, recipes/DATASET/NAME.yaml.
        recipe: Its content.
        root: Root of the project.
    """

    path: Path
    recipe: Recipe
    root: Path

    @property
    def id(self) -> str:
        """DATASET/NAME."""
        return recipe_id(self.path)

    @property
    def dataset(self) -> str:
        """Name of its data set, that of its folder."""
        return self.path.parent.name

    @property
    def result(self) -> Path:
        """Path of its result: the JSON file beside it."""
        return self.path.with_suffix(".json")

    @property
    def page(self) -> Path:
        """Path of the page with its result."""
        return self.path.with_suffix(".md")

    @property
    def teacher(self) -> Path:
        """Path of its teacher, relative to the project's root, if it makes one."""
        return paths.PRETRAINED / f"{self.id.replace('/', '-')}.npz"

    @property
    def teaches(self) -> bool:
        """Whether its ensemble predicts the training images, as a teacher."""
        return bool(self.recipe.ensemble.get("teach"))

    def content(self, base: Mapping[str, Any], seeds: list[int] | None = None) -> dict[str, Any]:
        """The complete content of params.yaml for a run of the recipe.

        Args:
            base: The content of the project's params.yaml.
            seeds: Seeds in place of those of the recipe, or None.

        Returns:
            Keys and values; the path of the user's own images is absolute.
        """
        content = dict(base)
        for key, value in self.recipe.overlay.items():
            content[key] = _laid_over(base.get(key), value)
        if seeds is not None:
            content["seeds"] = seeds
        return with_absolute_path(content, self.root)

    def params(self, base: Mapping[str, Any], seeds: list[int] | None = None) -> Params:
        """The validated params of a run, with the zoo of the working folder.

        Raises:
            ValueError: The recipe is invalid; one line says why.
        """
        params = check_params(self.content(base, seeds), str(self.path))
        if params.data.name != self.dataset:
            raise ValueError(
                f"{self.path}: data.name must be that of its folder, {self.dataset!r}, got "
                f"{params.data.name!r}."
            )
        for goal in self.recipe.goals:
            known = [*params.run, ENSEMBLE]
            if goal.of not in known:
                raise ValueError(
                    f"{self.path}: goals: {unknown('model of the run', goal.of, known)}"
                )
            if goal.metric == "auc" and params.example == "image":
                raise ValueError(f"{self.path}: goals: only bags have an auc, not {goal.of}.")
            votes = goal.of == ENSEMBLE and params.ensemble.voting == "hard"
            if votes and goal.metric in ("nll", "ece"):
                raise ValueError(
                    f"{self.path}: goals: an ensemble of hard votes has no probabilities, so no "
                    f"{goal.metric}: set ensemble.voting: soft, or take another metric."
                )
        return params


def _laid_over(below: Any, value: Any) -> Any:
    # `data` has a key `name` as well, but it names no function: the section is not replaced.
    if not isinstance(below, Mapping) or not isinstance(value, Mapping):
        return value
    for key in value:
        below = {**below, **merged({key: below.get(key)}, {key: value[key]})}
    return dict(below)


def with_absolute_path(content: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Params that find the user's own images from any folder.

    Args:
        content: Content of params.yaml, whose `data.path` may be relative to the project's root.
        root: Root of the project.
    """
    data = content["data"]
    own = isinstance(DATASETS.get(data.get("name")), OwnImages)
    if not own or not isinstance(path := data.get("path"), str):
        return dict(content)
    return {**content, "data": {**data, "path": str((root / path).resolve())}}


def read_recipe(path: Path, root: Path) -> RecipeFile:
    """Read a recipe.

    Args:
        path: The file, or DATASET/NAME as `thumbnets results` prints it.
        root: Root of the project.

    Raises:
        ValueError: There is no recipe of this name, the file is not in recipes/DATASET/, or it is
            invalid; one line says why.
    """
    if path.suffix != ".yaml":
        named = {recipe_id(one): one for one in recipe_paths(root)}
        name = "/".join(path.parts[-2:])  # a name may come as a path from the user's folder
        if name not in named:
            raise ValueError(unknown("recipe", name, named))
        path = named[name]
    path = path.resolve()
    if path.parent.parent != (root / FOLDER).resolve():
        raise ValueError(f"{path}: a recipe is a file {FOLDER}/DATASET/NAME.yaml of the project.")
    where = path.relative_to(root.resolve())
    try:
        return RecipeFile(where, Recipe.model_validate(read_yaml(root / where)), root)
    except ValidationError as error:
        raise ValueError(f"{where}: {explain(error, Recipe)}") from None


def find_recipes(root: Path) -> list[RecipeFile]:
    """All recipes of the project, by data set and name."""
    return [read_recipe(path, root) for path in recipe_paths(root)]


def recipe_paths(root: Path) -> list[Path]:
    """Paths of all recipe files of the project, by data set and name."""
    return paths.visible(root / FOLDER, "*/*.yaml")


def recipe_id(path: Path) -> str:
    """DATASET/NAME of a recipe file, as `thumbnets results` prints it."""
    return f"{path.parent.name}/{path.stem}"
