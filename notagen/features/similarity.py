"""How like a reference pieces are, and which pieces are most like a piece or a text."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from notagen.foundation.cosine import top_k
from notagen.foundation.features import Features, FeatureSet


class Found(NamedTuple):
    """A piece that a search has found."""

    name: str
    similarity: float
    """Cosine, -1 to 1."""


def cosine(one: ArrayLike, other: ArrayLike) -> float:
    """Return the cosine of two vectors, (H,) each; one of length 0 is like nothing: 0."""
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0


def piece_scores(generated: Features, reference: Features) -> NDArray[np.float64]:
    """Return the cosine of each piece to the mean reference piece, (n,).

    Args:
        generated: (n, H).
        reference: (m, H), m > 0. The mean is that of the features as they are: longer ones count
            for more.
    """
    mean = reference.mean(axis=0, dtype=np.float64)
    return np.array([cosine(piece, mean) for piece in generated], dtype=np.float64)


def average_score(generated: Features, reference: Features) -> float:
    """Return the mean score of pieces, the figure that NotaGen reports; n and m > 0.

    Source: Wang et al. 2025, arXiv:2502.18008, section 4.4 (average CLaMP 2 score).
    """
    return float(piece_scores(generated, reference).mean())


def score_of_averages(generated: Features, reference: Features) -> float:
    """Return the cosine of the mean piece to the mean reference piece; n and m > 0.

    CLaMP 2's own figure: higher than `average_score`, as what sets pieces apart averages out.
    """
    means = [pieces.mean(axis=0, dtype=np.float64) for pieces in (generated, reference)]
    return cosine(*means)


def search(query: Features, folder: FeatureSet, k: int) -> list[Found]:
    """Return the k pieces of a folder most like a piece or a text, the most like first.

    Args:
        query: Its feature, (H,), by the extractor that made the folder's.
        folder: What is searched.
        k: At least 1; all pieces where there are fewer.
    """
    places, similarities = top_k(query[np.newaxis], folder.matrix, k)
    return [
        Found(folder.names[place], float(similarity))
        for place, similarity in zip(places[0], similarities[0], strict=True)
    ]
