"""The test images that a model gets wrong with the most confidence."""

import numpy as np

from thumbnets.evaluation.metrics import to_probabilities


def confident_mistakes(logits: np.ndarray, labels: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Find the mistakes of the mean prediction over seeds, most confident first.

    Args:
        logits: float [S, N, K].
        labels: int64 [N].
        count: Largest number of mistakes to return.

    Returns:
        `index` int64 [M], `predicted` int64 [M] and `confidence` float32 [M].
    """
    probabilities = to_probabilities(logits).mean(0)
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predicted != labels)
    index = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    return {
        "index": index,
        "predicted": predicted[index],
        "confidence": confidence[index].astype(np.float32),
    }
