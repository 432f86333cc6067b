import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist
from scipy.stats import gaussian_kde

from notagen.metrics import relative
from notagen.metrics.relative import Relative, compare

Vectors = NDArray[np.float64]


def one(generated: Vectors, reference: Vectors, *, seed: int = 0) -> Relative:
    """Compare sets of one statistic, (n,) or (n, d)."""
    sets = [
        [{"x": np.atleast_1d(value).astype(float)} for value in values]
        for values in (generated, reference)
    ]
    return compare(sets[0], sets[1], seed=seed)["x"]


def by_scipy(intra: Vectors, inter: Vectors) -> tuple[float, float]:
    """Return overlap and divergence of two sets of distances, by plain sums over a fine grid."""
    # each piece against all others: every pair of an intra-set twice
    p, q = gaussian_kde(np.concatenate([intra, intra])), gaussian_kde(inter)
    everything = np.concatenate([intra, inter])
    room = 2 * everything.std()
    grid = np.linspace(everything.min() - room, everything.max() + room, 3000)
    p_values, q_values = p(grid), q(grid)
    step = grid[1] - grid[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(p_values > 1e-14, p_values * np.log(p_values / q_values), 0.0)
    return float(np.minimum(p_values, q_values).sum() * step), float(parts.sum() * step)


@pytest.mark.parametrize(
    ("shift", "spread", "size"), [(0.0, 1.0, 1), (1.5, 0.7, 1), (0.5, 1.0, 12)]
)
def test_agrees_with_scipy(shift: float, spread: float, size: int) -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(shift, spread, (40, size)), rng.normal(0, 1, (50, size))
    found = one(ours, theirs)
    overlap, divergence = by_scipy(pdist(ours), cdist(ours, theirs).ravel())
    assert found.overlap.value == pytest.approx(overlap, abs=1e-3)
    assert found.divergence.value == pytest.approx(divergence, abs=1e-3)
    overlap, divergence = by_scipy(pdist(theirs), cdist(ours, theirs).ravel())
    assert found.reference_overlap.value == pytest.approx(overlap, abs=1e-3)
    assert found.reference_divergence.value == pytest.approx(divergence, abs=1e-3)
    wanted = gaussian_kde(cdist(ours, theirs).ravel())(found.grid)
    np.testing.assert_allclose(found.inter, wanted, atol=2e-3 * wanted.max())
    for density in (found.intra_generated, found.intra_reference, found.inter):
        assert density.sum() * (found.grid[1] - found.grid[0]) == pytest.approx(1, abs=1e-6)


def test_resamples_are_those_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    # what a resample weighs is what it would measure if its pieces were written out, less the
    # pairs of a piece with itself
    monkeypatch.setattr(relative, "RESAMPLES", 3)
    taken = iter([np.array(places) for places in ([0, 0, 1, 4], [1, 2, 3, 4], [0, 0, 0, 0])] * 2)

    def draw(n: int, *, seed: int, count: int) -> list[NDArray[np.intp]]:
        return [next(taken) for _ in range(count)]

    monkeypatch.setattr(relative, "resamples", draw)
    shown = []
    monkeypatch.setattr(relative, "_figure", lambda parts, n, **_: shown.append(parts.sum(axis=0)))
    values = np.array([0.0, 1.0, 3.0, 7.0, 12.0])
    one(values, values + 1)
    overlaps = shown[0]
    # 0 0 1 4 of the generated: the pairs 0-1 and 0-4 each twice, 1-4 once, no 0-0
    first, second = values[[0, 0, 1, 4]], values[[0, 0, 1, 4]] + 1
    intra = np.array([1.0, 12.0, 1.0, 12.0, 11.0])
    overlap, _ = by_scipy(intra, cdist(first[:, None], second[:, None]).ravel())
    assert overlaps[1] == pytest.approx(overlap, abs=2e-3)
    # one piece four times has no pair
    assert np.isnan(overlaps[3])
    assert np.isfinite(overlaps[:3]).all()


def test_alike_unlike_and_all_the_same() -> None:
    rng = np.random.default_rng(1)
    normal, other = rng.normal(size=200), rng.normal(size=200)
    alike, far = one(normal, other), one(normal + 20, other)
    assert alike.overlap.value > 0.95
    assert alike.divergence.value < 0.02
    assert far.overlap.value < 0.01
    assert far.divergence.value > 5
    # generated pieces that hardly differ: their intra-set is narrow, that of the reference is not
    narrow = one(0.01 * normal, other)
    assert narrow.overlap.value < 0.1
    assert narrow.reference_overlap.value > narrow.overlap.value


def test_intervals() -> None:
    rng = np.random.default_rng(2)
    found = one(rng.normal(size=60), rng.normal(0.3, 1, size=50))
    for figure in (found.overlap, found.reference_overlap):
        assert 0 <= figure.low < figure.value < figure.high <= 1
    assert 0 <= found.divergence.low < found.divergence.value < found.divergence.high
    assert (found.overlap.n, found.reference_overlap.n) == (60, 50)
    wide = one(rng.normal(size=12), rng.normal(0.3, 1, size=10)).overlap
    assert wide.high - wide.low > found.overlap.high - found.overlap.low


def test_the_seed_decides() -> None:
    values = np.random.default_rng(4).normal(size=(2, 20))
    first, again, other = (one(*values, seed=seed).overlap for seed in (1, 1, 2))
    assert first == again
    assert first.value == other.value
    assert first.low != other.low


@pytest.mark.parametrize(
    ("generated", "reference", "overlap", "divergence"),
    [
        ([5.0] * 4, [5.0] * 4, 1.0, 0.0),  # all distances 0
        ([5.0] * 4, [9.0] * 4, 0.0, 20.0),  # 0 within the sets, 4 between them
        ([1.0, 2.0], [1.0, 2.0], None, None),
        ([0.0] * 6, [0.0] * 5 + [1e9], None, None),  # one piece far off
    ],
)
def test_sets_without_spread(
    generated: list[float],
    reference: list[float],
    overlap: float | None,
    divergence: float | None,
) -> None:
    found = one(np.array(generated), np.array(reference))
    assert np.isfinite([*found.overlap, *found.divergence, *found.reference_overlap]).all()
    assert 0 <= found.overlap.value <= 1
    if overlap is not None and divergence is not None:
        assert found.overlap.value == pytest.approx(overlap, abs=1e-6)
        assert found.divergence.value == pytest.approx(divergence, abs=6)


@pytest.mark.parametrize(("n", "m"), [(0, 3), (1, 3), (3, 1)])
def test_too_few_pieces(n: int, m: int) -> None:
    found = one(np.arange(n), np.arange(m))
    assert np.isnan(found.overlap.value)
    assert found.overlap.n == 0
    assert len(found.grid) == 0
    assert compare([], [], seed=0) == {}


def test_of_many_pieces_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relative, "MAX_PIECES", 10)
    found = one(np.arange(30), np.arange(8))
    assert (found.overlap.n, found.reference_overlap.n) == (10, 8)
