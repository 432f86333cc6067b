"""Cosine similarity of features: the nearest pieces, copying, and how varied a set is."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from notagen.foundation.features import Features
from notagen.metrics.figures import NOTHING, Figure, bootstrap, mean_figure

COPY = 0.95
"""Similarity above which a piece is taken for a copy."""
_ROWS = 1024
"""Pieces compared at once, which bounds the memory."""


class Copying(NamedTuple):
    """How near generated pieces come to the ones that were learnt from."""

    mean: Figure
    """Similarity to the nearest training piece."""
    highest: Figure
    """95th percentile of it."""
    copied: Figure
    """Share of pieces above `COPY`."""


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


def copying(generated: Features, training: Features, *, seed: int) -> Copying:
    """Return how near the nearest training piece is, (n, H) to (m, H); nothing if one set is empty.

    A level is high or low only beside that of held-out real pieces.
    """
    if not len(generated) or not len(training):
        return Copying(NOTHING, NOTHING, NOTHING)
    _, similarities = nearest(generated, training)

    def percentile(places: NDArray[np.intp]) -> float:
        return float(np.percentile(similarities[places], 95))

    return Copying(
        mean=mean_figure(similarities, seed=seed),
        highest=bootstrap(percentile, len(similarities), seed=seed),
        copied=mean_figure(similarities > COPY, seed=seed),
    )


def diversity(features: Features, *, seed: int) -> Figure:
    """Return the mean cosine distance, 0 to 2, between two pieces of a set, (n, H).

    The bootstrap leaves out pairs of a piece with itself, which resampling makes; a resample of one
    piece alone counts 0. Without at least two pieces there is no figure.
    """
    pieces = unit(features).astype(np.float64)
    n = len(pieces)
    if n < 2:
        return NOTHING
    lengths = np.sum(pieces**2, axis=1)

    def mean_distance(places: NDArray[np.intp]) -> float:
        times = np.bincount(places, minlength=n)
        # the sum of all similarities is the squared length of the sum; a piece's to itself leave
        similar = np.sum((times @ pieces) ** 2) - times**2 @ lengths
        pairs = n**2 - times @ times
        return float(1 - similar / pairs) if pairs else 0.0

    return bootstrap(mean_distance, n, seed=seed)
