"""Fréchet distance between the Gaussians fitted to two sets of features, and without its bias.

The distance of two samples is too large, and the more so the smaller they are: two halves of one
corpus stand well above 0. `measure_frechet` gives it as it is, comparable only between sets of the
same sizes, and extrapolated to endless samples, which can be compared.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from sklearn.covariance import ledoit_wolf_shrinkage

from notagen.foundation.features import Features
from notagen.metrics.figures import NOTHING, Figure

Estimator = Literal["mle", "shrinkage", "ledoit-wolf", "oas"]
"""How a covariance is estimated. `mle`: the sample's own, over n - 1, as in published figures. The
others mix in a share of a sphere of the same trace, over n, as scikit-learn's estimators of these
names: a fixed share, or one that fits the sample."""
FIXED_SHRINKAGE = 0.1
CUTS = (5, 3, 2)
"""Parts that sets are cut into; without one of them 4/5, 2/3 and 1/2 of the pieces are left."""
CUTTINGS = 3
"""Times that the pieces are dealt out anew, for a steadier line."""
GROUPS = 20
"""Groups of pieces left out in turn for the interval."""


class Frechet(NamedTuple):
    """Distances of two sets; `n` is the number of generated pieces."""

    distance: Figure
    """Of these samples, its bias included; the interval too is about samples of these sizes."""
    infinity: Figure
    """Of endless samples; about 0, and as often below as above, for sets of one distribution."""
    points: tuple[tuple[float, float], ...]
    """Pieces of the sets over pieces taken of them, 1 to 2, and the mean distance of such parts."""
    r_squared: float
    """Share of the points' variance that the straight line explains."""
    bend: float
    """By how much a parabola through the points ends below the line. Beyond half the interval's
    width the pieces are too few for their dimensions, and `infinity` is too high."""


class Gaussian(NamedTuple):
    """A Gaussian by its mean, (H,), and a root of its covariance, (any number, H)."""

    mean: NDArray[np.float64]
    root: NDArray[np.float64]
    """`root.T @ root` is the covariance."""


def frechet_distance(a: Features, b: Features, *, estimator: Estimator = "mle") -> float:
    """Return the Fréchet distance of two sets, (n, H) and (m, H) with n, m > 1; in squared units.

    Source: Heusel et al. 2017, arXiv:1706.08500; for music Retkowski et al. 2024, arXiv:2412.07948.
    """
    return gaussian_distance(fit(a, estimator), fit(b, estimator))


def fit(features: Features, estimator: Estimator) -> Gaussian:
    """Fit a Gaussian to at least two pieces, (n, H)."""
    pieces, width = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean
    if estimator == "mle":
        return Gaussian(mean, centred / np.sqrt(pieces - 1))
    share = _shrinkage(centred, estimator)
    radius = np.sqrt(share * np.sum(centred**2) / pieces / width)
    own = np.sqrt((1 - share) / pieces) * centred
    return Gaussian(mean, np.concatenate([own, radius * np.eye(width)]))


def gaussian_distance(a: Gaussian, b: Gaussian) -> float:
    """Return |mean_a - mean_b|² + tr(A + B - 2 (AB)^½) of Gaussians with covariances A and B.

    The eigenvalues of AB are the squared singular values of the product of the roots: nothing is
    inverted, and singular covariances (fewer pieces than dimensions) are no special case.
    """
    apart = np.sum((a.mean - b.mean) ** 2) + np.sum(a.root**2) + np.sum(b.root**2)
    shorter, longer = sorted((a.root, b.root), key=len)
    product = _low(shorter) @ longer.T
    squares = np.linalg.eigvalsh(product @ product.T)
    return float(apart - 2 * np.sum(np.sqrt(np.maximum(squares, 0))))


def measure_frechet(
    generated: Features, reference: Features, *, estimator: Estimator = "mle", seed: int
) -> Frechet:
    """Return the Fréchet distance of two sets and its extrapolation to endless samples.

    Distances of 4/5, 2/3 and 1/2 of both sets stand beside that of the whole; the value at 0 of a
    straight line in 1/n through them is free of the bias in 1/n that both samples bring. Bias of
    higher order stays: while pieces are few beside the directions in which they vary, `bend` warns.

    The intervals are of the jackknife over groups of pieces, with Student's t, for both figures:
    they share their error. Resampling with replacement would not do, as a piece drawn twice makes a
    sample smaller, and all distances larger than the one that is judged.

    Args:
        generated: (n, H).
        reference: (m, H). With either below 2 there is no figure, below 3 no interval, below 4 no
            `infinity`.
        estimator: Of the covariances. `infinity` is meant for `mle`: a share of the sphere changes
            what is estimated, and one that fits the sample changes with its size.
        seed: Of the parts and groups.

    Source: Chong & Forsyth 2020, arXiv:1911.07023 (there the reference is large, and only the other
    set shrinks); Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 11.
    """
    n, fewest = len(generated), min(len(generated), len(reference))
    if fewest < 2:
        return Frechet(NOTHING, NOTHING, (), np.nan, np.nan)
    rng = np.random.default_rng(seed)
    fits = fit(generated, estimator), fit(reference, estimator)
    whole = [Gaussian(mean, _low(root)) for mean, root in fits]
    value = gaussian_distance(*whole)
    # neither sample knows of the other: their variances add
    variance = _variance(generated, whole[1], estimator, rng)
    variance += _variance(reference, whole[0], estimator, rng)
    margin = float(student.ppf(0.975, min(GROUPS, fewest) - 1) * np.sqrt(variance))

    points = [(1.0, value)]
    for parts in CUTS:
        if 2 * parts > fewest:
            continue
        distances = [
            frechet_distance(generated[kept], reference[also_kept], estimator=estimator)
            for _ in range(CUTTINGS)
            for kept, also_kept in zip(
                _without_one(n, parts, rng), _without_one(len(reference), parts, rng), strict=True
            )
        ]
        points.append((parts / (parts - 1), float(np.mean(distances))))
    end, r_squared, bend = _extrapolate(points)
    return Frechet(
        distance=Figure(value, value - margin, value + margin, n),
        infinity=Figure(end, end - margin, end + margin, n) if len(points) > 1 else NOTHING,
        points=tuple(points),
        r_squared=r_squared,
        bend=bend,
    )


def _extrapolate(points: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Return the value at 0 of a line through points, its R², and that value less a parabola's."""
    if len(points) == 1:
        return np.nan, np.nan, np.nan
    x, y = np.array(points).T
    slope, end = np.polyfit(x, y, 1)
    spread = np.sum((y - y.mean()) ** 2)
    off = np.sum((y - slope * x - end) ** 2)
    bend = end - np.polyfit(x, y, 2)[2] if len(points) > 2 else np.nan
    return float(end), float(1 - off / spread) if spread else 1.0, float(bend)


def _low(root: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a root of the same covariance with no more rows than columns."""
    rows, columns = root.shape
    return np.asarray(np.linalg.qr(root, mode="r")) if rows > columns else root


def _shrinkage(centred: NDArray[np.float64], estimator: Estimator) -> float:
    """Return the sphere's share in a covariance, 0 to 1."""
    if estimator == "shrinkage":
        return FIXED_SHRINKAGE
    if estimator == "ledoit-wolf":
        # of two pieces it may come out as a negative number next to 0
        return max(0.0, float(ledoit_wolf_shrinkage(centred, assume_centered=True)))
    # Chen et al. 2010, arXiv:0907.4698, as scikit-learn simplifies it; its own is far slower
    pieces, width = centred.shape
    gram = centred @ centred.T if pieces < width else centred.T @ centred
    squares, trace = np.sum(gram**2) / pieces**2, np.trace(gram) / pieces
    above, below = squares + trace**2, (pieces + 1) * (squares - trace**2 / width)
    return float(above / below) if below > above else 1.0


def _variance(
    sample: Features, other: Gaussian, estimator: Estimator, rng: np.random.Generator
) -> float:
    """Return the jackknife's variance of the distance from a Gaussian; NaN of fewer than 3."""
    groups = min(GROUPS, len(sample))
    if len(sample) < 3:
        return np.nan
    distances = [
        gaussian_distance(fit(sample[kept], estimator), other)
        for kept in _without_one(len(sample), groups, rng)
    ]
    return float((groups - 1) * np.var(distances))


def _without_one(n: int, parts: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Deal n places into equal parts, and yield the places outside each of them in turn."""
    dealt = rng.permutation(n) % parts
    for part in range(parts):
        yield np.flatnonzero(dealt != part)
