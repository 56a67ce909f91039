"""What is said of a result when code, params or data have changed since."""

from dataclasses import replace

import pytest

from thumbnets import paths
from thumbnets.recipes.basis import basis
from thumbnets.recipes.pages import read_results
from thumbnets.recipes.recipe import RecipeFile, find_recipes
from thumbnets.recipes.staleness import differences, judge
from thumbnets.yaml_files import read_yaml


@pytest.fixture
def students(root, monkeypatch) -> RecipeFile:
    """A recipe of the project whose models read a file, a teacher that is not there."""
    monkeypatch.chdir(root)
    return next(r for r in find_recipes(root) if r.id == "mnist/students")


@pytest.fixture
def params(students):
    """Its params."""
    return students.params(read_yaml(paths.PARAMS))


@pytest.fixture
def result(students, params) -> dict:
    """A result that is of today's code and params."""
    rests_on = basis(params)
    rests_on["files"] = {path: "a teacher" for path in rests_on["files"]}
    return {
        "measured": {"commit": "c" * 40, "checksums": True},
        "recipe": {"seeds": params.seeds},
        "basis": rests_on,
        "trainings": [{"model": "tiny_cnn_distilled", "seed": seed} for seed in params.seeds],
        "goals": [{"of": "tiny_cnn_distilled", "metric": "accuracy", "reached": False}],
    }


def test_a_result_of_today_is_current(students, params, result):
    verdict = judge(students, result, params)
    assert verdict.states == ["current"]
    assert str(verdict) == "current, 0 of 1 goals reached, missed: tiny_cnn_distilled"


def test_a_recipe_without_a_result_was_not_run(students, params):
    assert str(judge(students, None, params)) == "not run, 1 goals open"


@pytest.mark.parametrize("name", ["tiny_cnn_distilled", "stage evaluate"])
def test_changed_code_is_named(students, params, result, name):
    result["basis"]["code"][name] = "other"
    assert judge(students, result, params).states == [f"code changed ({name})"]


@pytest.mark.parametrize("name", ["tiny_cnn_distilled", "run"])
def test_changed_params_are_named(students, params, result, name):
    result["basis"]["settings"][name] = "other"
    assert judge(students, result, params).states == [f"params changed ({name})"]


def test_a_setting_of_the_block_is_a_changed_param(students, params, result):
    block = params.settings["tiny_cnn_distilled"]
    longer = block.train.model_copy(update={"epochs": 99})
    params.settings["tiny_cnn_distilled"] = block.model_copy(update={"train": longer})
    assert judge(students, result, params).states == ["params changed (tiny_cnn_distilled)"]


def test_the_title_of_the_report_changes_nothing(students, params, result):
    content = students.content(read_yaml(paths.PARAMS))
    content["report"] = {"title": "Another"}
    from thumbnets.params import check_params

    assert judge(students, result, check_params(content, "here")).states == ["current"]


def test_a_goal_without_a_measurement_is_open(students, params, result):
    result["goals"] = []
    assert str(judge(students, result, params)) == "current, 1 goals open"


def test_the_goals_of_a_result_are_those_of_the_recipe_now(root):
    file = next(r for r in find_recipes(root) if r.id == "fashion_mnist/best")
    first, *others = file.recipe.goals
    raised = first.model_copy(update={"value": 0.99})
    recipe = file.recipe.model_copy(update={"goals": [raised, *others[1:]]})
    changed = replace(file, recipe=recipe)
    goals = read_results([changed])[changed]["goals"]
    assert [goal["of"] for goal in goals] == [goal.of for goal in recipe.goals]
    assert goals[0]["value"] == 0.99 and not goals[0]["reached"]


def test_what_is_done_about_wrong_data_is_a_changed_param(students, params, result, tmp_path):
    def changed(**data):
        return params.model_copy(update={"data": params.data.model_copy(update=data)})

    assert judge(students, result, changed(duplicates="drop")).states == ["params changed (run)"]
    found = []
    for text in ("checksum", "other"):
        (tmp_path / "fix.csv").write_text(text)
        corrected = changed(corrections=str(tmp_path / "fix.csv"))
        found.append(basis(corrected)["settings"]["run"])
    assert len({*found, result["basis"]["settings"]["run"]}) == 3


def test_other_data_are_told(students, params, result):
    result["basis"]["own_images"] = "other"
    assert judge(students, result, params).states == ["data changed (own images)"]


def test_a_teacher_that_is_not_here_has_not_changed_but_another_one_has(
    students, params, result, monkeypatch
):
    assert None in basis(params)["files"].values()
    found = basis(params)
    (path,) = found["files"]
    found["files"][path] = "another teacher"
    monkeypatch.setattr("thumbnets.recipes.staleness.basis", lambda _: found)
    assert judge(students, result, params).states == [f"files changed ({path})"]


def test_results_without_checksums_are_never_current(students, params, result):
    result["measured"]["checksums"] = False
    assert judge(students, result, params).states == [
        f"measured before checksums were kept (commit {'c' * 12})"
    ]


def test_other_seeds_are_told(students, params, result):
    result["recipe"]["seeds"] = [7]
    assert judge(students, result, params).states == ["measured with other seeds, [7]"]


def test_verified_code_counts_as_far_as_it_was_verified(students, params, result):
    now = basis(params)["code"]
    result["basis"]["code"] |= {"tiny_cnn_distilled": "old", "stage ensemble_select": "old"}
    result["verified"] = {
        "commit": "d" * 40,
        "code": {"tiny_cnn_distilled": now["tiny_cnn_distilled"]},
        "trainings": [{"model": "tiny_cnn_distilled", "seed": 0}],
    }
    said = f"verified at commit {'d' * 12} (1 of 3 trainings byte for byte)"
    assert judge(students, result, params).states == [said, "code changed (stage ensemble_select)"]
    result["verified"]["code"]["stage ensemble_select"] = now["stage ensemble_select"]
    assert judge(students, result, params).states == [said]
    result["verified"]["code"]["tiny_cnn_distilled"] = "older"
    assert judge(students, result, params).states[-1] == "code changed (tiny_cnn_distilled)"


def test_models_that_came_and_went_are_named_as_such(params):
    then = basis(params)
    first, *_ = params.run
    now = {
        **then,
        **{of: {k: v for k, v in then[of].items() if k != first} for of in ("code", "settings")},
    }
    assert differences(then, now) == [f"no longer of {first}"]
    assert differences(now, then) == [f"not yet of {first}"]


def test_code_of_another_project_is_told(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match="thumbnets runs from .*, not from this project: run `make"
    ):
        basis(params)
