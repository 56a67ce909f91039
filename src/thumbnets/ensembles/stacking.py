"""Stacking: a logistic regression on the members' predictions.

Source: Wolpert 1992, "Stacked generalization", Neural Networks 5; here in the form called blending,
where the members have not seen the images that the regression learns from.
"""

from typing import Any

import numpy as np
from scipy.special import softmax
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from thumbnets.ensembles.selection import nll

MIN_PROBABILITY = 1e-7  # smaller probabilities are raised to this before their logarithm is taken
_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # inverse strengths of the L2 penalty
_FOLDS = 5


@threadpool_limits.wrap(limits=1)  # many small products: quicker, and the same on any machine
def fit_stack(
    names: list[str],
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None = None,
) -> tuple[dict[str, Any], np.ndarray]:
    """Fit a multinomial logistic regression with an L2 penalty to log-probabilities.

    The strength of the penalty is chosen for least loss by cross-validation on the same images;
    every class is in all folds. If some class has a single image or group, this is impossible:
    nothing is fitted, and the result is the geometric mean of the members.

    Args:
        names: Names of the members.
        probabilities: float [M, N, K] of the members on validation images.
        labels: int64 [N].
        groups: int64 [N], number of the group of each image, which no fold divides; None: each is
            by itself.

    Returns:
        The regression: `members`; `classes`, those C of the K classes that occur among the labels;
        `coefficients` [C, M * K] of the log-probabilities, member after member, and `intercepts`
        [C], of the logits. Then the cross-validated predictions float [N, K], since those of the
        regression itself would be too optimistic.
    """
    features, classes = _features(probabilities), probabilities.shape[2]
    penalties = tqdm(_PENALTIES, "stacking", leave=False, delay=2, disable=None)
    groups = np.arange(len(labels)) if groups is None else groups
    folds = _folds(labels, groups)
    if not folds:
        mean = _geometric_mean(len(probabilities), classes)
        return {"members": names, **mean}, _predict(mean, features, classes)
    held_out = {c: _held_out(features, labels, folds, classes, c) for c in penalties}
    best = min(held_out, key=lambda penalty: nll(held_out[penalty], labels))
    return {"members": names, **fit_regression(features, labels, best)}, held_out[best]


def _folds(labels: np.ndarray, groups: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices of images to fit on and to hold out, int64; no folds if a class can't be divided."""
    # Takes half a second, and only this function needs it.
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    rarest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    if rarest < 2:
        return []
    how = {"n_splits": min(_FOLDS, rarest), "shuffle": True, "random_state": 0}
    if len(np.unique(groups)) == len(groups):  # the grouped kind loops over groups, which is slow
        return list(StratifiedKFold(**how).split(labels, labels))
    return list(StratifiedGroupKFold(**how).split(labels, labels, groups))


def _held_out(
    features: np.ndarray, labels: np.ndarray, folds: list, classes: int, penalty: float
) -> np.ndarray:
    predicted = np.zeros((len(labels), classes))
    for fitted, held in folds:
        regression = fit_regression(features[fitted], labels[fitted], penalty)
        predicted[held] = _predict(regression, features[held], classes)
    return np.maximum(predicted, MIN_PROBABILITY)


def _geometric_mean(members: int, classes: int) -> dict[str, Any]:
    """The regression, in the form of `fit_regression`, that weights all members equally."""
    return {
        "classes": list(range(classes)),
        "coefficients": np.tile(np.eye(classes) / members, members).tolist(),
        "intercepts": [0.0] * classes,
    }


def fit_regression(features: np.ndarray, labels: np.ndarray, penalty: float) -> dict[str, Any]:
    """Fit one regression; returned as by `fit_stack`, without the members.

    Args:
        features: float [N, F].
        labels: int64 [N].
        penalty: Inverse strength of the penalty, as scikit-learn's `C`.
    """
    from sklearn.linear_model import LogisticRegression

    classes = np.unique(labels)
    coefficients, intercepts = np.zeros((len(classes), features.shape[1])), np.zeros(len(classes))
    if len(classes) > 1:
        # Members are nearly collinear: methods without second derivatives converge too slowly.
        regression = LogisticRegression(C=penalty, solver="newton-cg").fit(features, labels)
        # With two classes there is only the logit of the second one.
        coefficients[-len(regression.coef_) :] = regression.coef_
        intercepts[-len(regression.coef_) :] = regression.intercept_
    return {
        "classes": classes.tolist(),
        "coefficients": coefficients.tolist(),
        "intercepts": intercepts.tolist(),
    }


def stacked(stack: dict[str, Any], probabilities: np.ndarray) -> np.ndarray:
    """Predictions of a regression from those of its members.

    Args:
        stack: Regression from `fit_stack`.
        probabilities: float [M, N, K], members in the order of the regression.

    Returns:
        float [N, K]; 0 for a class without validation images.
    """
    return _predict(stack, _features(probabilities), probabilities.shape[2])


def _features(probabilities: np.ndarray) -> np.ndarray:
    """Log-probabilities float [N, M * K], member after member."""
    logarithms = np.log(np.maximum(probabilities, MIN_PROBABILITY))
    return logarithms.transpose(1, 0, 2).reshape(probabilities.shape[1], -1)


def _predict(regression: dict[str, Any], features: np.ndarray, classes: int) -> np.ndarray:
    logits = features @ np.array(regression["coefficients"]).T + np.array(regression["intercepts"])
    result = np.zeros((len(features), classes))
    result[:, regression["classes"]] = softmax(logits, axis=1)
    return result
