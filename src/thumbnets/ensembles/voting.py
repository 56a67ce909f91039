"""Combining the votes of several classifiers."""

import numpy as np


def soft_vote(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the members' probabilities.

    Args:
        probabilities: float [M, N, K].
        weights: float [M], sums to 1.

    Returns:
        float [N, K].
    """
    return np.tensordot(weights, probabilities, axes=1)


def hard_vote(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of votes for each class, where each member votes for its likeliest class.

    Ties go to the lower class (by `argmax` of the result), so that the order of the pool does not
    matter; in the code of RMDL they go to the class of the first member.

    Args:
        probabilities: float [M, N, K].
        weights: float [M], sums to 1.

    Returns:
        float [N, K].
    """
    classes = probabilities.shape[2]
    votes = np.eye(classes)[probabilities.argmax(2)]  # one-hot [M, N, K]
    # Rounded, as sums of weights differ in the last bit where the votes are equal.
    return np.tensordot(weights, votes, axes=1).round(12)


VOTES = {"soft": soft_vote, "hard": hard_vote}
