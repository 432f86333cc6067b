"""Cosine similarity of features: the nearest vectors, a block of rows at a time."""

import numpy as np
from numpy.typing import NDArray

from notagen.foundation.features import Features

_ROWS = 1024
"""Pieces compared at once, which bounds the memory."""


def unit(features: Features) -> NDArray[np.float32]:
    """Return features of length 1, (n, H); those of length 0 stay, and are like nothing."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def top_k(
    features: Features, references: Features, k: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the k references most like each piece, the most like first.

    Args:
        features: (n, H).
        references: (m, H).
        k: At least 1; all references where there are fewer.

    Returns:
        Places in the references and cosine similarities, each (n, min(k, m)).
    """
    pieces, known = unit(features), unit(references)
    k = min(k, len(known))
    places = np.empty((len(pieces), k), dtype=np.intp)
    similarities = np.empty((len(pieces), k), dtype=np.float32)
    for start in range(0, len(pieces), _ROWS):
        rows = slice(start, start + _ROWS)
        unlike = -np.clip(pieces[rows] @ known.T, -1, 1)
        best = np.argpartition(unlike, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(unlike, best, axis=1), axis=1)
        places[rows] = np.take_along_axis(best, order, axis=1)
        similarities[rows] = -np.take_along_axis(unlike, places[rows], axis=1)
    return places, similarities


def nearest(
    features: Features, references: Features
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return place and similarity of the reference most like each piece, (n,) each; m > 0."""
    places, similarities = top_k(features, references, 1)
    return places[:, 0], similarities[:, 0]
