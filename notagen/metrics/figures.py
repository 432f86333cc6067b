"""A figure and how sure it is: 95 % intervals, by the bootstrap over pieces where it serves."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 1000
"""Resamples of cheap figures; dear ones say how many they take."""


class Figure(NamedTuple):
    """A measured value with the bounds of its interval; all NaN where nothing could be measured."""

    value: float
    low: float
    high: float
    n: int
    """Pieces it is measured on."""


NOTHING = Figure(np.nan, np.nan, np.nan, 0)
"""What is measured on no piece."""


def resamples(n: int, *, seed: int, count: int = RESAMPLES) -> Iterator[NDArray[np.intp]]:
    """Yield `count` draws of n of n pieces with replacement, each (n,), as places in their list."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.integers(n, size=n)


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float], n: int, *, seed: int, count: int = RESAMPLES
) -> Figure:
    """Return a statistic of n pieces with its 95 % percentile interval.

    Args:
        statistic: Called with places of pieces, (n,): with each once, in order, for the value.
        n: Pieces; without any there is no figure.
        seed: Of the resamples.
        count: Resamples.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    if n == 0:
        return NOTHING
    value = statistic(np.arange(n))
    drawn = [statistic(places) for places in resamples(n, seed=seed, count=count)]
    return interval(value, drawn, n)


def interval(value: float, drawn: Sequence[float], n: int) -> Figure:
    """Return a figure from its value and those of the resamples."""
    low, high = np.quantile(np.asarray(drawn, dtype=float), (0.025, 0.975))
    return Figure(float(value), float(low), float(high), n)


def mean_figure(values: ArrayLike, *, seed: int, works: Sequence[str] | None = None) -> Figure:
    """Return the mean of one value a piece, a number or a boolean; arguments as `ratio_figure`.

    A share of none or all varies in no resample: its interval is the exact binomial one.

    Source: Clopper & Pearson 1934, Biometrika 26.
    """
    given = np.asarray(values)
    numbers = given.astype(float)
    figure = ratio_figure(numbers, np.ones_like(numbers), seed=seed, works=works)
    if given.dtype != np.bool_ or figure.value not in (0.0, 1.0):
        return figure
    bound = 0.025 ** (1 / (len(set(works)) if works is not None else len(given)))
    return figure._replace(low=bound) if figure.value else figure._replace(high=1 - bound)


def ratio_figure(
    parts: ArrayLike, wholes: ArrayLike, *, seed: int, works: Sequence[str] | None = None
) -> Figure:
    """Return the sum of the parts over the sum of the wholes, one of each a piece.

    Bits over characters, faulty bars over bars: long pieces weigh more than short ones. A piece
    whose whole is 0 has nothing to measure, and is not counted.

    Args:
        parts: (n,).
        wholes: (n,), none below 0.
        seed: Of the resamples.
        works: The work of each piece; those of one work are alike, so they are drawn together. By
            default each piece is drawn by itself.
    """
    above, below = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
    counted = below > 0
    n_pieces = int(counted.sum())
    groups = np.arange(n_pieces)
    if works is not None:
        groups = np.unique(np.asarray(works)[counted], return_inverse=True)[1]
    above = np.bincount(groups, weights=above[counted])
    below = np.bincount(groups, weights=below[counted])

    def ratio(places: NDArray[np.intp]) -> float:
        return float(above[places].sum() / below[places].sum())

    return bootstrap(ratio, len(below), seed=seed)._replace(n=n_pieces)
