"""Diversity of classifiers: three pairwise measures.

Source: Kuncheva and Whitaker 2003, "Measures of diversity in classifier ensembles", Machine
Learning 51; kappa of the predicted classes as in Margineantu and Dietterich 1997, ICML.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Diversity:
    """Measures of all pairs of M classifiers, float [M, M]; NaN where undefined.

    Attributes:
        disagreement: Share of images for which they predict different classes.
        q: Yule's Q of being correct: 1 if both err on the same images, 0 if they err
            independently, -1 if they never err on the same image.
        kappa: Cohen's kappa of the predicted classes: 1 if they always agree, 0 if they agree as
            often as by chance.
    """

    disagreement: np.ndarray
    q: np.ndarray
    kappa: np.ndarray

    def means(self, members: list[int]) -> dict[str, float | None]:
        """Mean of each measure over all pairs of `members`; None if undefined for every pair."""
        first, second = np.triu_indices(len(members), 1)
        place = np.array(members)
        pairs = {k: values[place[first], place[second]] for k, values in vars(self).items()}
        held = {name: values[~np.isnan(values)] for name, values in pairs.items()}
        return {name: float(v.mean()) if len(v) else None for name, v in held.items()}


def diversity(predicted: np.ndarray, labels: np.ndarray, classes: int) -> Diversity:
    """Measure every pair.

    Args:
        predicted: Classes int64 [M, N].
        labels: int64 [N].
        classes: Number of classes.
    """
    images = len(labels)
    correct = (predicted == labels).astype(float)
    both, neither = correct @ correct.T, (1 - correct) @ (1 - correct).T
    first, second = correct @ (1 - correct).T, (1 - correct) @ correct.T
    votes = (predicted == np.arange(classes)[:, None, None]).astype(float)  # [K, M, N]
    same = sum(of_class @ of_class.T for of_class in votes) / images
    shares = votes.mean(2)  # [K, M]
    by_chance = shares.T @ shares
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        return Diversity(
            disagreement=1 - same,
            q=(both * neither - first * second) / (both * neither + first * second),
            kappa=(same - by_chance) / (1 - by_chance),
        )
