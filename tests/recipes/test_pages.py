"""Results to read: pages of recipes, docs/results.md and the README's table."""

import pytest

from thumbnets.recipes.pages import (
    all_results_page,
    bounds,
    generated,
    in_readme,
    quantity,
    read_results,
    readme_table,
    result_page,
    spread,
    with_interval,
)
from thumbnets.recipes.recipe import find_recipes
from thumbnets.recipes.record import record

RESTS_ON = {"code": {}, "settings": {}, "files": {}}
SEVERAL = {"accuracy": {"mean": 0.9149, "sd": 0.001, "low": 0.9137, "high": 0.9162}}
ONE = {"auc": {"mean": 0.99, "sd": None, "low": None, "high": None}}


@pytest.fixture
def page(recipe, params, artifacts) -> str:
    """The page of the small project's result."""
    return result_page(recipe, record(recipe, params, "c" * 40, RESTS_ON))


def test_numbers_have_as_many_decimals_as_they_support():
    assert spread(SEVERAL) == "91.49 ± 0.10 %"
    assert with_interval(SEVERAL) == "91.49 ± 0.10 % (91.37 – 91.62)"
    assert bounds(SEVERAL, "accuracy") == "91.37 – 91.62"
    assert (spread(ONE, "auc"), bounds(ONE, "auc"), spread(ONE), spread(None)) == (
        *("0.9900", "–", "–", "–"),
    )
    # 99.60 would look as if it had reached 99.60
    assert quantity(0.99598, "accuracy") == "99.598 %" and quantity(0.996, "accuracy") == "99.60 %"


def test_the_page_of_a_result_has_models_goals_and_checksums(page, artifacts):
    assert page.startswith("# A try (Digits (scikit-learn))\n\nThat it can be tried.\n")
    assert "| lenet_300_100 | 2 | 80.00 ± 7.07 % | 16.47 – 100.00 | 20.00 ± 7.07 % |" in page
    assert (
        page.index("| lenet_300_100 | 2") < page.index("| lenet5 | 2") < page.index("| ensemble |")
    )
    assert "| lenet5 | accuracy | 95.00 % | 95.00 % | reached | a book |" in page
    assert "| lenet_300_100 | error | 19.00 % | 20.00 % | **missed** | – |" in page
    assert f"| lenet5 | 5 | 95.00 % | `{artifacts['lenet5'][1][:16]}` |" in page
    assert "\n\n\n" not in page


def test_all_results_name_what_was_not_run(recipe):
    page = all_results_page({recipe: None})
    assert "### [A try](../recipes/digits/try.yaml)" in page and "Not run yet." in page
    assert "0 of 0 are" in page


def test_marks_of_the_readme_are_needed_once():
    text = "a\n<!-- results:begin -->\nold\n<!-- results:end -->\nb\n"
    assert in_readme(text, "new\n") == text.replace("old", "new")
    for wrong in ("a", text + text):
        with pytest.raises(ValueError, match="needs the lines <!-- results:begin -->"):
            in_readme(wrong, "new\n")


def test_the_readmes_table_says_what_each_network_reaches(root):
    results = read_results(find_recipes(root))
    table = readme_table(results)
    (row,) = [line for line in table.splitlines() if line.startswith("| cnn_c |")]
    (best,) = [of for file, of in results.items() if file.id == "fashion_mnist/best"]
    assert with_interval(best["models"]["cnn_c_best"]) in row and "35,044" in row


def test_the_readmes_recipes_are_needed():
    with pytest.raises(ValueError, match=r"recipes/fashion_mnist/pool.yaml is missing"):
        readme_table({})


def test_generated_pages_are_up_to_date(root):
    """`thumbnets results --write` brings them up to date."""
    for path, text in generated(read_results(find_recipes(root)), root).items():
        assert (root / path).read_text(encoding="utf-8") == text, path


def test_no_page_is_left_of_a_result_that_is_gone(root):
    recipes = {file.path: file for file in find_recipes(root)}
    for page in sorted((root / "recipes").glob("*/*.[jm]*")):
        recipe = recipes[page.relative_to(root).with_suffix(".yaml")]
        assert (root / recipe.result).is_file() and (root / recipe.page).is_file()
