"""Embedding of an encoder's features: a map, and the nearest neighbours of some images."""

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

MAX_IMAGES = 2000  # images on the map, and candidates for neighbours
_QUERIES, _NEIGHBOURS = 10, 8


@threadpool_limits.wrap(limits=1)  # sums depend on the number of threads
def embedding(features: np.ndarray, images: np.ndarray, labels: np.ndarray) -> dict:
    """Map of the features of images, and the nearest neighbours of some of them.

    Args:
        features: float32 [N, D], N being 2 or more.
        images: uint8 [N, C, H, W].
        labels: int64 [N].

    Returns:
        `map`: float32 [N, 2], t-SNE of the directions of the features; `labels`: as given;
        `neighbours`: uint8 [Q, 1 + M, C, H, W], the first image of each class followed by its
        nearest neighbours by cosine similarity of features, nearest first; `neighbour_labels`:
        int64 [Q, 1 + M].

    Source: van der Maaten and Hinton 2008, "Visualizing data using t-SNE".
    """
    directions = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    perplexity = min(30.0, (len(features) - 1) / 3)
    tsne = TSNE(2, init="pca", perplexity=perplexity, random_state=0)
    near = nearest(directions, np.unique(labels, return_index=True)[1][:_QUERIES])
    return {
        "map": tsne.fit_transform(directions).astype(np.float32),
        "labels": labels,
        "neighbours": images[near],
        "neighbour_labels": labels[near],
    }


def nearest(directions: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Indices of each query and of its nearest neighbours, nearest first.

    Args:
        directions: float [N, D], vectors of length 1.
        queries: int64 [Q], indices of directions.

    Returns:
        int64 [Q, 1 + M], indices; M is 8, or all others if there are fewer.
    """
    similar = directions[queries] @ directions.T
    similar[np.arange(len(queries)), queries] = np.inf
    return np.argsort(-similar, axis=1, kind="stable")[:, : 1 + _NEIGHBOURS]
