"""Groups stay together in the draw of test images and in folds; folds fit rare classes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from thumbnets.data.division import (
    class_folds,
    divide,
    groups_in_both,
    numbered,
    stratified_folds,
    with_groups,
)
from thumbnets.data.few import fitting_folds
from thumbnets.data.listed import FolderRule, Listed

RULE = FolderRule("images", size=8)


def rows(groups: dict[str, str]) -> list[Listed]:
    """Images by group and their labels: `{"p1": "aab"}` has two of a and one of b."""
    return [
        Listed("", label, f"{label}/{group}_{n}.png", f"{group} {n}", group=group)
        for group, labels in groups.items()
        for n, label in enumerate(labels)
    ]


def parts_of(found: list[Listed]) -> dict[str, set[str]]:
    parts: dict[str, set[str]] = {}
    for row in found:
        parts.setdefault(row.group, set()).add(row.part)
    return parts


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9)), min_size=0, max_size=12),
    st.floats(0.05, 0.6),
    st.integers(0, 9),
)
def test_no_group_is_divided_and_no_class_is_without_a_part(drawn, share, seed):
    groups = {f"p{n}": label * count for n, (label, count) in enumerate(drawn)}
    groups |= {f"{label}{n}": label for label in "ab" for n in range(2)}
    found = divide(rows(groups), replace(RULE, test=share, seed=seed))
    assert all(len(parts) == 1 for parts in parts_of(found).values())
    for part in ("train", "test"):
        assert {row.label for row in found if row.part == part} == {"a", "b"}
    assert len(found) == len(rows(groups))


def test_the_share_of_each_class_is_met_where_groups_allow():
    groups = {f"{label}{n}": label * 5 for label in "ab" for n in range(10)}
    found = divide(rows(groups), replace(RULE, test=0.2))
    for label in "ab":
        assert sum(row.label == label and row.part == "test" for row in found) == 10
    other = divide(rows(groups), replace(RULE, test=0.2, seed=1))
    assert parts_of(other) != parts_of(found)


def test_a_class_of_one_group_is_refused():
    with pytest.raises(ValueError, match="class b has too few groups"):
        divide(rows({"p1": "aa", "p2": "aa", "p3": "bbb"}), RULE)


def test_a_pattern_finds_groups():
    listed = [
        Listed("train", "a", "train/a/p1_0.png", ""),
        Listed("test", "b", "test/b/p1_1.png", ""),
    ]
    below = ["a/p1_0.png", "b/p1_1.png"]
    by_class = with_groups(listed, replace(RULE, group=r"(.*)_\d+"), below)
    assert [row.group for row in by_class] == ["a/p1", "b/p1"]
    by_name = with_groups(listed, replace(RULE, group=r"([^/]*)_\d+"), below)
    assert [row.group for row in by_name] == ["p1", "p1"]
    assert groups_in_both(by_class, RULE) == [] and groups_in_both(by_name, RULE) == ["p1"]
    with pytest.raises(ValueError, match="1 groups have training and test images, such as p1"):
        groups_in_both(by_name, replace(RULE, leaks="refuse"))
    with pytest.raises(ValueError, match="'x' finds nothing in 2 of 2 paths, as a/p1_0.png: give"):
        with_groups(listed, replace(RULE, group="x"), below)
    for nothing in ("(x)?", "(b.*)|p"):  # matches, and says no group
        with pytest.raises(ValueError, match="finds nothing in [12] of 2 paths"):
            with_groups(listed, replace(RULE, group=nothing), below)


def test_groups_are_numbered_in_the_order_of_their_first_images():
    assert numbered(["q", "", "p", "q", "", "p"]).tolist() == [0, 1, 2, 0, 3, 2]
    assert numbered(["q", "", "p", ""]) is None  # no two belong together


def test_folds_keep_groups():
    groups = [f"p{n // 4}" for n in range(120)]
    labels = np.arange(120) // 4 % 3
    fold = stratified_folds(labels, folds=5, seed=0, groups=groups)
    assert set(fold) == set(range(5))
    assert all(len(set(fold[np.array(groups) == group])) == 1 for group in set(groups))
    assert (np.stack([np.bincount(labels[fold == f]) for f in range(5)]) == 8).all()


def test_images_without_a_group_are_by_themselves():
    labels = np.arange(40) % 2
    fold = stratified_folds(labels, folds=4, seed=0, groups=["p", "", *["q"] * 2, *[""] * 36])
    assert fold[2] == fold[3] and np.ptp(np.bincount(fold)) <= 2


def test_at_most_as_many_folds_as_the_rarest_class_allows(capsys):
    labels = np.array([0] * 16 + [1] * 3 + [2] * 16)
    fold = fitting_folds(labels, folds=12, seed=0, classes=["1", "10", "2"])
    assert set(fold) == {0, 1, 2} and sorted(fold[labels == 1]) == [0, 1, 2]
    assert capsys.readouterr().out == (
        "3 folds instead of 12 (split.folds): class 10 has only 3 training images\n"
    )
    groups = [f"{label}{n % 2}" for n, label in enumerate(labels)]
    assert set(fitting_folds(labels, folds=9, seed=0, classes=list("abc"), groups=groups)) == {0, 1}
    enough = fitting_folds(labels, folds=3, seed=0, classes=["1", "10", "2"])
    np.testing.assert_array_equal(enough, stratified_folds(labels, folds=3, seed=0))
    with pytest.raises(ValueError, match="class 10 has only one training image: two or more are"):
        fitting_folds(labels[:17], folds=12, seed=0, classes=["1", "10", "2"])


def test_a_class_whose_groups_would_all_validate_gets_one_to_train_on():
    """scikit-learn puts both groups of class 1 into one of two folds."""
    labels = np.array([0] * 40 + [1] * 4)
    groups = [f"p{n // 4}" for n in range(40)] + ["p0", "q", "q", "q"]
    for seed in range(20):
        fold = fitting_folds(labels, folds=12, seed=seed, classes=["a", "b"], groups=groups)
        assert set(fold[labels == 1]) == {0, 1}
        assert all(len(set(fold[np.array(groups) == group])) == 1 for group in groups)


@given(st.data(), st.integers(0, 9))
def test_folds_divide_no_group_and_every_class_trains_or_is_named(data, seed):
    groups = data.draw(st.lists(st.integers(0, 5), min_size=6, max_size=30))
    size = len(groups)
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)))
    names = [f"p{group}" for group in groups]
    try:
        fold = fitting_folds(labels, folds=4, seed=seed, classes=list("abc"), groups=names)
    except ValueError as error:
        told = "has only one group", "would have no images to train on"
        assert any(words in str(error) for words in told)
        return
    assert all(len(set(fold[np.array(groups) == group])) == 1 for group in groups)
    assert set(labels[fold != 0]) == set(labels) and (fold == 0).any()


@given(
    st.lists(st.integers(-2, 3), min_size=5, max_size=60),
    st.integers(2, 12),
    st.integers(0, 99),
)
def test_folds_are_those_of_scikit_learn(labels, folds, seed):
    labels = np.array(labels * 4)
    assume(np.unique(labels, return_counts=True)[1].min() >= folds)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    fold = class_folds(labels, folds, seed)
    for number, (_, chosen) in enumerate(parts):
        assert (fold[chosen] == number).all()
