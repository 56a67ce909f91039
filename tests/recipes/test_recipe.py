"""Recipes as files: what they lay over params.yaml, and what is refused."""

from pathlib import Path

import pytest

from thumbnets import paths
from thumbnets.recipes.pages import all_results_page
from thumbnets.recipes.recipe import Goal, find_recipes, read_recipe
from thumbnets.yaml_files import read_yaml

ROOT = Path(__file__).parents[2]


def changed(project: Path, old: str, new: str) -> Path:
    """The recipe with a text in place of another one."""
    path = project / "recipes/digits/try.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_a_recipe_is_laid_over_params(recipe, params):
    base = read_yaml(paths.PARAMS)
    content = recipe.content(base)
    assert content["data"] == {**base["data"], "name": "digits"}  # `name` replaces no section
    assert (content["model"], content["pool"], content["seeds"]) == (
        "lenet5",
        ["lenet_300_100"],
        [3, 5],
    )
    assert content["models"] == {**base["models"], "lenet5": {"epochs": 2}}
    assert params.settings["lenet5"].train.epochs == 2
    assert params.settings["lenet5"].arch == "lenet5"  # from the zoo
    assert recipe.content(base, [9])["seeds"] == [9]


def test_options_of_a_function_are_merged_and_another_function_replaces_them(project):
    path = changed(
        project,
        "  lenet5: {epochs: 2}",
        "  lenet5: {average: {name: swa}}\n  mlp4: {schedule: {name: step, every: 3}}\n"
        "ensemble: {rule: all}",
    )
    base = read_yaml(paths.PARAMS)
    base["models"]["mlp4"]["schedule"] = {"name": "triangular", "rise": 0.1}
    content = read_recipe(path, project).content(base)
    assert content["models"]["mlp4"]["schedule"] == {"name": "step", "every": 3}
    assert content["models"]["mlp4"]["arch"] == "mlp4"
    assert content["ensemble"] == {**base["ensemble"], "rule": "all"}


def test_own_images_are_found_from_the_workspace_as_well(project):
    text = (project / "recipes/digits/try.yaml").read_text()
    (project / "photos").mkdir()
    path = project / "recipes/folder/try.yaml"
    path.parent.mkdir()
    base = read_yaml(paths.PARAMS)
    for data, folder in (("{name: folder, path: photos}", "photos"), ("{name: folder}", "images")):
        path.write_text(text.replace("{name: digits}", data))
        content = read_recipe(path, project).content(base)
        assert content["data"]["path"] == str(project / folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "title: A try",
            "titel: A try",
            "title is missing; Unknown key 'titel'",
        ),
        ("shows: That it can be tried.\n", "", "shows is missing"),
        ("metric: error", "metric: speed", "goals.1.metric must be .*got 'speed'"),
        (
            "metric: error",
            "metrik: error",
            "goals.1.metric is missing; Unknown key 'goals.1.metrik'",
        ),
        (
            "- {of: lenet5, ",
            "- 5\n- {of: lenet5, ",
            "goals.0 must be a map with the keys of, metric, value",
        ),
        ("seeds: [3, 5]", "seeds: [3, x]", "seeds.1 must be a whole number, got 'x'"),
        ("model: lenet5", "model: [lenet5", "line 8: not valid YAML"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_line(project, old, new, message):
    path = changed(project, old, new)
    with pytest.raises(ValueError, match=message) as error:
        read_recipe(path, project)
    assert "recipes/digits/try.yaml" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("of: lenet5", "of: lenet6", "goals: Unknown model of the run 'lenet6'"),
        ("metric: error", "metric: auc", "only bags have an auc"),
        (
            "{of: lenet_300_100, metric: error, value: 0.19}",
            "{of: ensemble, metric: nll, value: 0.19}\nensemble: {voting: hard}",
            "an ensemble of hard votes has no probabilities, so no nll",
        ),
        ("name: digits", "name: mnist", "data.name must be that of its folder, 'digits'"),
        ("{epochs: 2}", "{epochz: 2}", "Unknown key 'epochz'"),
        ("pool: [lenet_300_100]", "pool: []", "pool"),
        ("  lenet5: {epochs: 2}", "  a: {base: lenet6}", "a.base: Unknown block 'lenet6'"),
    ],
)
def test_what_could_not_run_is_told_before_it_does(project, old, new, message):
    recipe = read_recipe(changed(project, old, new), project)
    with pytest.raises(ValueError, match=message):
        recipe.params(read_yaml(paths.PARAMS))


def test_a_recipe_may_leave_the_name_of_its_data_set_to_params(project):
    path = changed(project, "data: {name: digits}", "data: {duplicates: drop}")
    base = read_yaml(paths.PARAMS)
    base["data"]["name"] = "digits"
    recipe = read_recipe(path, project)
    assert recipe.params(base).data.duplicates == "drop"
    assert "## Digits (scikit-learn)" in all_results_page({recipe: None})


@pytest.mark.parametrize("given", ["", "3", "[a]"])
def test_a_path_that_is_none_is_one_line(project, given):
    recipe = read_recipe(
        changed(project, "{name: digits}", f"{{name: digits, path: {given}}}"), project
    )
    with pytest.raises(ValueError, match="data.path must be a string"):
        recipe.params(read_yaml(paths.PARAMS))


def test_a_recipe_lies_in_the_folder_of_its_data_set(project):
    for place in ("try.yaml", "recipes/try.yaml", "recipes/digits/more/try.yaml"):
        with pytest.raises(ValueError, match="a recipe is a file recipes/DATASET/NAME.yaml"):
            read_recipe(project / place, project)


def test_a_recipe_is_named_as_results_prints_it_too(project):
    assert read_recipe(Path("digits/try"), project).path == Path("recipes/digits/try.yaml")
    found = read_recipe(project / "docs" / "digits/try", project)  # named in a folder below
    assert found.path == Path("recipes/digits/try.yaml")
    with pytest.raises(ValueError, match="Unknown recipe 'digits/tri'. Did you mean 'digits/try'"):
        read_recipe(Path("digits/tri"), project)


def test_what_a_recipe_needs_is_a_file(project):
    path = changed(project, "seeds: [3, 5]", "seeds: [3, 5]\nneeds: digits/try")
    with pytest.raises(ValueError, match="needs: must be a file recipes/DATASET/NAME.yaml"):
        read_recipe(path, project)


@pytest.mark.parametrize(
    ("metric", "good", "bad"), [("accuracy", 0.9, 0.89), ("error", 0.9, 0.91), ("auc", 1.0, 0.8)]
)
def test_a_goal_is_reached_from_its_better_side(metric, good, bad):
    goal = Goal(of="x", metric=metric, value=0.9)
    assert goal.reached_by(good) and not goal.reached_by(bad)


@pytest.mark.parametrize("recipe", find_recipes(ROOT), ids=lambda recipe: recipe.id)
def test_every_recipe_of_the_project_is_valid(recipe, monkeypatch):
    monkeypatch.chdir(ROOT)
    params = recipe.params(read_yaml(paths.PARAMS))
    if recipe.recipe.needs:
        teacher = read_recipe(ROOT / recipe.recipe.needs, ROOT)
        assert teacher.teaches
        files = [path for name in params.run for path, _ in params.settings[name].files.values()]
        assert files and set(files) == {teacher.teacher}
