"""Stacking: beside scikit-learn's own pipeline, and where some classes were never seen."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from thumbnets.ensembles.selection import nll
from thumbnets.ensembles.stacking import fit_regression, fit_stack, stacked


def toy(members: int, images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Members that know something of the labels, each a little else."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    logits = 1.5 * np.eye(classes)[labels] + rng.normal(0, 1, (members, images, classes))
    p = np.exp(logits)
    return p / p.sum(2, keepdims=True), labels


def fit(names: list[str], p: np.ndarray, labels: np.ndarray) -> dict:
    return fit_stack(names, p, labels)[0]


def test_is_the_regression_of_scikit_learn_on_log_probabilities():
    p, labels = toy(2, 90, 3)
    features = np.concatenate([np.log(p[0]), np.log(p[1])], axis=1)
    theirs = LogisticRegression(C=0.1, max_iter=500, tol=1e-8).fit(features, labels)
    ours = {"members": ["a", "b"], **fit_regression(features, labels, 0.1)}
    np.testing.assert_allclose(stacked(ours, p), theirs.predict_proba(features), atol=1e-4)


def test_two_classes():
    p, labels = toy(2, 60, 2)
    features = np.concatenate([np.log(p[0]), np.log(p[1])], axis=1)
    theirs = LogisticRegression(C=1.0, max_iter=500, tol=1e-8).fit(features, labels)
    ours = {"members": ["a", "b"], **fit_regression(features, labels, 1.0)}
    np.testing.assert_allclose(stacked(ours, p), theirs.predict_proba(features), atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_of_one_member_it_is_not_worse_than_the_member(classes):
    p, labels = toy(1, 300, classes)
    assert nll(stacked(fit(["a"], p, labels), p), labels) <= nll(p[0], labels)


def test_a_class_that_takes_the_place_of_another_is_learnt():
    """A member that always says the next class: no vote can mend that, a regression does."""
    p, labels = toy(1, 300, 3)
    turned = np.roll(p, 1, axis=2)
    right = (stacked(fit(["a"], turned, labels), turned).argmax(1) == labels).mean()
    assert right == pytest.approx((p[0].argmax(1) == labels).mean(), abs=0.03)


def test_other_images_do_not_matter_and_the_order_of_members_hardly():
    p, labels = toy(3, 200, 3)
    stack = fit(["a", "b", "c"], p, labels)
    assert stack == fit(["a", "b", "c"], p, labels)
    turned = fit(["c", "a", "b"], p[[2, 0, 1]], labels)
    np.testing.assert_allclose(stacked(turned, p[[2, 0, 1]]), stacked(stack, p), atol=1e-3)
    some = stacked(stack, p[:, 10:12])
    np.testing.assert_allclose(some, stacked(stack, p)[10:12], rtol=1e-12)


def test_classes_that_were_never_seen_get_nothing():
    p, labels = toy(2, 40, 4)
    labels = np.where(labels == 2, 0, labels)  # the third has no image
    stack = fit(["a", "b"], p, labels)
    assert stack["classes"] == [0, 1, 3] and len(stack["coefficients"]) == 3
    result = stacked(stack, p)
    assert (result[:, 2] == 0).all() and result.sum(1) == pytest.approx(np.ones(40))
    only = fit(["a", "b"], p, np.full(40, 3))
    assert (stacked(only, p)[:, 3] == 1).all()


def test_certain_mistakes_are_finite():
    p = np.array([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]])
    result = stacked(fit(["a"], p, np.array([0, 1, 1, 0])), p)
    assert np.isfinite(np.log(result)).all()


def test_what_is_held_out_is_no_better_than_what_was_fitted():
    """Labels by chance: a regression fits them, which is worth nothing."""
    p, _ = toy(4, 100, 3)
    labels = np.random.default_rng(1).integers(0, 3, 100)
    stack, held_out = fit_stack(["a", "b", "c", "d"], p, labels)
    assert nll(held_out, labels) > nll(stacked(stack, p), labels)
    assert nll(held_out, labels) > np.log(3) - 0.02
    assert held_out.sum(1) == pytest.approx(np.ones(100), abs=1e-5)


def test_no_fold_divides_a_group():
    """Of five images that are the same, four would tell the label of the fifth."""
    rng = np.random.default_rng(0)
    p, labels = rng.dirichlet(np.ones(3), (2, 20)), rng.integers(0, 3, 20)
    p, labels, groups = p.repeat(5, axis=1), labels.repeat(5), np.arange(20).repeat(5)
    alone, together = (fit_stack(["a", "b"], p, labels, of)[1] for of in (None, groups))
    assert nll(together, labels) > nll(alone, labels) + 0.05
    np.testing.assert_array_equal(together, together[::5].repeat(5, axis=0))
    np.testing.assert_array_equal(alone, fit_stack(["a", "b"], p, labels, np.arange(100))[1])


@pytest.mark.parametrize("groups", [None, [0, 0, 1, 1, 2, 3]])
def test_where_a_class_can_not_be_divided_it_is_the_geometric_mean(groups):
    """Of a class with a single image (or group) a regression without it knows nothing."""
    p, labels = toy(2, 6, 3)[0], np.array([0, 0, 1, 1, 2, 2] if groups else [0, 0, 1, 1, 2, 1])
    stack, held_out = fit_stack(["a", "b"], p, labels, groups and np.array(groups))
    mean = np.sqrt(p[0] * p[1])
    expected = mean / mean.sum(1, keepdims=True)
    np.testing.assert_allclose(stacked(stack, p), expected)
    np.testing.assert_allclose(held_out, expected)


def test_every_class_is_in_all_folds():
    """Four images of a class among 104: each fold that lacks them would not know it."""
    p, labels = toy(1, 104, 2)
    labels[:] = 0
    labels[::26] = 1
    p[0] = np.where(labels[:, None] == [0, 1], 0.9, 0.1)
    for groups in (None, np.arange(104) // 2):
        assert (fit_stack(["a"], p, labels, groups)[1].argmax(1) == labels).all()
