"""How far two sets of pieces differ in a statistic, after Yang & Lerch 2020.

The Euclidean distances of all pairs of pieces are taken, each piece against all others of its set
(intra) or of the other set (inter), and smoothed to densities. If both sets are of one kind, pieces
are as far from each other within a set as between the sets, and the densities of intra-set and
inter-set overlap; not so where generated pieces are all alike, or all unlike the reference. Either
intra-set is compared with the inter-set: that of the generated pieces and that of the reference.

Source: Yang & Lerch 2020, "On the evaluation of generative models in music", Neural Computing and
Applications 32, on relative measurements.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from notagen.metrics.figures import NOTHING, Figure, interval, resamples
from notagen.metrics.statistics import Statistics

MAX_PIECES = 1000
"""Of a set; time grows with the square."""
RESAMPLES = 200
_LEAST_BINS, _MOST_BINS = 2**8, 2**13
_BINS_PER_BANDWIDTH = 8
"""So fine a grid adds nothing visible to what the kernel smooths."""
_LEAST_STEPS = 2
"""Of the grid in a bandwidth."""
_REACH = 5
"""Bandwidths from the outermost distance to the end of the grid."""
_LEAST_SHARE = 1e-12
"""Of a density at one place; keeps the divergence of sets without overlap finite."""
_PAIRS_AT_ONCE = 4096

_Floats = NDArray[np.float64]
_Counts = NDArray[np.float32]
_Places = NDArray[np.intp]


class Relative(NamedTuple):
    """How far generated pieces and reference differ in one statistic."""

    overlap: Figure
    """Area under the densities of both the generated intra-set and the inter-set; 0 to 1."""
    divergence: Figure
    """Kullback-Leibler divergence from the inter-set to the generated intra-set, in nats."""
    reference_overlap: Figure
    """As `overlap`, of the reference's intra-set; n is of the reference."""
    reference_divergence: Figure
    """As `divergence`, of the reference's intra-set; n is of the reference."""
    grid: _Floats
    """Distances at which the densities are given, (D,); empty if there is no figure."""
    intra_generated: _Floats
    """Density of the distances among the generated pieces, (D,)."""
    intra_reference: _Floats
    """Density of the distances among those of the reference, (D,)."""
    inter: _Floats
    """Density of the distances between the sets, (D,)."""


class _Pairs(NamedTuple):
    """Pairs of pieces, (P,) each, and how often each resample has a piece, (N, 1 + R)."""

    distances: _Floats
    places: tuple[_Places, _Places]
    counts: tuple[_Counts, _Counts]
    times: int
    """How often each piece against all others gives a pair: twice within a set."""


def compare(
    generated: Sequence[Statistics], reference: Sequence[Statistics], *, seed: int
) -> dict[str, Relative]:
    """Return how far two sets of pieces differ, statistic by statistic.

    Kernels are Gaussian, of the bandwidth that Scott's rule gives for all distances of a set.
    Resamples draw pieces, of both sets; a piece drawn twice is not compared with itself.

    Args:
        generated: Statistics of each piece.
        reference: The same of the pieces that they are measured beside.
        seed: Of the resamples, and of the pieces drawn from a set of more than `MAX_PIECES`.

    Returns:
        A comparison for each statistic, without figures if a set has fewer than two pieces.
    """
    generated, reference = _drawn(generated, seed), _drawn(reference, seed + 1)
    names = list(next(iter([*generated, *reference]), {}))
    if min(len(generated), len(reference)) < 2:
        empty = np.zeros(0)
        nothing = Relative(NOTHING, NOTHING, NOTHING, NOTHING, empty, empty, empty, empty)
        return dict.fromkeys(names, nothing)
    counts = _counts(len(generated), seed), _counts(len(reference), seed + 1)
    return {
        name: _relative(
            np.stack([piece[name] for piece in generated]),
            np.stack([piece[name] for piece in reference]),
            *counts,
        )
        for name in names
    }


def _drawn(pieces: Sequence[Statistics], seed: int) -> Sequence[Statistics]:
    if len(pieces) <= MAX_PIECES:
        return pieces
    places = np.random.default_rng(seed).choice(len(pieces), MAX_PIECES, replace=False)
    return [pieces[place] for place in sorted(places)]


def _counts(n: int, seed: int) -> _Counts:
    """Return how often each piece is taken, (n, 1 + R): each once, then as the resamples draw."""
    drawn = [np.bincount(took, minlength=n) for took in resamples(n, seed=seed, count=RESAMPLES)]
    return np.stack([np.ones(n), *drawn], axis=1).astype(np.float32)


def _relative(ours: _Floats, theirs: _Floats, our: _Counts, their: _Counts) -> Relative:
    n, m = len(ours), len(theirs)
    row, column = np.indices((n, m)).reshape(2, -1)
    sets = (
        _Pairs(pdist(ours), np.triu_indices(n, 1), (our, our), times=2),
        _Pairs(pdist(theirs), np.triu_indices(m, 1), (their, their), times=2),
        _Pairs(cdist(ours, theirs).ravel(), (row, column), (our, their), times=1),
    )
    grid = _grid(sets)
    generated, reference, inter = (_shares(pairs, grid) for pairs in sets)
    step = grid[1] - grid[0]
    return Relative(
        _figure(np.minimum(generated, inter), n, most=1.0),
        _figure(generated * np.log(generated / inter), n),
        _figure(np.minimum(reference, inter), m, most=1.0),
        _figure(reference * np.log(reference / inter), m),
        grid,
        *(shares[:, 0] / step for shares in (generated, reference, inter)),
    )


def _figure(parts: _Floats, n: int, *, most: float = np.inf) -> Figure:
    """Return the sum of the parts, (D, 1 + R), with its interval.

    Chance makes sets unlike, and a resample draws by chance once more: what it shows is further
    from the bound of no difference than the value. So the resamples' spread is laid around the
    value, within the bounds. Those without pairs tell nothing.
    """
    value, *resampled = parts.sum(axis=0)
    known = np.array([one for one in resampled if np.isfinite(one)] or [value])
    around = np.clip(known + value - np.median(known), 0.0, most)
    return interval(min(max(value, 0.0), most), list(around), n)


def _grid(sets: Sequence[_Pairs]) -> _Floats:
    """Return distances, evenly spaced, that the densities of all sets lie on, (D,)."""
    deviations = np.array([pairs.distances.std() for pairs in sets])
    widths = _scott(deviations, np.array([pairs.times * len(pairs.distances) for pairs in sets]))
    low = min(pairs.distances.min() for pairs in sets)
    high = max(pairs.distances.max() for pairs in sets)
    room = _REACH * widths.max() or (high - low) or 1.0  # else all distances of each set are equal
    low, high = low - room, high + room
    finest = min(widths[widths > 0], default=high - low)
    bins = 2 ** np.ceil(np.log2(_BINS_PER_BANDWIDTH * (high - low) / finest))
    return np.linspace(low, high, int(np.clip(bins, _LEAST_BINS, _MOST_BINS)))


def _scott(deviation: _Floats, count: _Floats) -> _Floats:
    """Return the bandwidth of Scott's rule for so many numbers of a standard deviation."""
    return deviation * count ** (-1 / 5)


def _shares(pairs: _Pairs, grid: _Floats) -> _Floats:
    """Return the share of a density at each place of the grid, (D, 1 + R); they add up to 1.

    NaN for a resample without pairs.
    """
    step = grid[1] - grid[0]
    histograms = pairs.times * _histograms(pairs, grid)
    counts = histograms.sum(axis=0)
    counts[counts == 0] = np.nan
    shares: _Floats = histograms / counts
    mean = grid @ shares
    variance = np.maximum(grid**2 @ shares - mean**2, 0) * counts / (counts - 1)
    # a kernel of fewer places could not be shown on the grid
    width = np.maximum(_scott(np.sqrt(variance), counts), _LEAST_STEPS * step)
    frequencies = 2 * np.pi * np.fft.rfftfreq(len(grid), step)
    kernels = np.exp(-((frequencies[:, None] * width) ** 2) / 2)
    smooth = np.fft.irfft(np.fft.rfft(shares, axis=0) * kernels, len(grid), axis=0)
    shares = np.maximum(smooth, _LEAST_SHARE)
    shares /= shares.sum(axis=0)
    return shares


def _histograms(pairs: _Pairs, grid: _Floats) -> _Floats:
    """Return how many pairs lie nearest to each place of the grid, (D, 1 + R)."""
    bins = np.rint((pairs.distances - grid[0]) / (grid[1] - grid[0])).astype(np.uint16)
    order = np.argsort(bins, kind="stable")
    (left, right), (left_counts, right_counts) = pairs.places, pairs.counts
    histograms = np.zeros((len(grid), 1 + RESAMPLES))
    for start in range(0, len(order), _PAIRS_AT_ONCE):
        here = order[start : start + _PAIRS_AT_ONCE]
        counts = left_counts[left[here]] * right_counts[right[here]]
        found, begins = np.unique(bins[here], return_index=True)
        histograms[found] += np.add.reduceat(counts, begins, axis=0)
    return histograms
