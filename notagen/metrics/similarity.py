"""What cosine similarity of features tells of a set: copying, and how varied it is."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from notagen.foundation.cosine import nearest, unit
from notagen.foundation.features import Features
from notagen.metrics.figures import NOTHING, Figure, bootstrap, mean_figure

COPY = 0.95
"""Similarity above which a piece is taken for a copy."""


class Copying(NamedTuple):
    """How near generated pieces come to the ones that were learnt from."""

    mean: Figure
    """Similarity to the nearest training piece."""
    highest: Figure
    """95th percentile of it."""
    copied: Figure
    """Share of pieces above `COPY`."""


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
