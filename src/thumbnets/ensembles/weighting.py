"""Weights of a vote, fitted on validation images."""

import numpy as np
from threadpoolctl import threadpool_limits

_DECIMALS = 6  # of a weight; smaller weights become 0


@threadpool_limits.wrap(limits=1)  # many small products: quicker, and the same on any machine
def fit_weights(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Non-negative weights that minimise the loss of the weighted mean of probabilities.

    The loss (mean negative log-likelihood) is convex in the weights, so every minimum is global.

    Args:
        probabilities: float [M, N, K] of the members on validation images.
        labels: int64 [N].

    Returns:
        float [M], sums to 1 up to rounding to 6 decimals.
    """
    from scipy.optimize import minimize  # takes half a second, and combining needs no fit

    of_label = probabilities[:, np.arange(len(labels)), labels]  # [M, N]
    of_label = np.maximum(of_label, np.finfo(float).eps)  # keeps the loss finite if all give 0

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(weights @ of_label, np.finfo(float).eps)
        return -np.log(mixed).mean(), -(of_label / mixed).mean(1)

    members = len(of_label)
    found = minimize(
        loss,
        np.full(members, 1 / members),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    weights = np.maximum(found.x, 0)
    return (weights / weights.sum()).round(_DECIMALS)
