from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from sklearn.covariance import OAS, LedoitWolf, ShrunkCovariance

from notagen.metrics.figures import NOTHING
from notagen.metrics.frechet import (
    Estimator,
    Gaussian,
    fit,
    frechet_distance,
    gaussian_distance,
    measure_frechet,
)

estimators = pytest.mark.parametrize("estimator", get_args(Estimator))


def sample(n: int, width: int, seed: int, power: float = 0.5) -> np.ndarray:
    """Return features whose directions vary less and less."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)) / np.arange(1, width + 1) ** power


def rotation(width: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(9).normal(size=(width, width)))[0]


@given(
    means=st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
    deviations=st.tuples(st.floats(0, 9), st.floats(0, 9)),
)
def test_in_one_dimension(means: tuple[float, float], deviations: tuple[float, float]) -> None:
    a, b = (
        Gaussian(np.array([mean]), np.array([[deviation]]))
        for mean, deviation in zip(means, deviations, strict=True)
    )
    wanted = (means[0] - means[1]) ** 2 + (deviations[0] - deviations[1]) ** 2
    assert gaussian_distance(a, b) == pytest.approx(wanted, abs=1e-9)


def test_of_two_numbers_each() -> None:
    # means 1 and 4; variances over n - 1: 2 and 8
    a, b = np.array([[0.0], [2.0]]), np.array([[2.0], [6.0]])
    assert frechet_distance(a, b) == pytest.approx(9 + 2 + 8 - 2 * 4)


def test_of_covariances_that_commute() -> None:
    turn, a, b = rotation(4), np.array([4.0, 1, 0, 9]), np.array([1.0, 1, 2, 25])
    covariances = [Gaussian(np.zeros(4), np.sqrt(x)[:, None] * turn) for x in (a, b)]
    wanted = np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    assert gaussian_distance(*covariances) == pytest.approx(wanted, abs=1e-6)


@estimators
@pytest.mark.parametrize("sizes", [(40, 60), (40, 9), (8, 60), (5, 7)])
def test_is_the_usual_formula(estimator: Estimator, sizes: tuple[int, int]) -> None:
    a, b = sample(sizes[0], 12, 0), 1.3 * sample(sizes[1], 12, 1) + 0.2
    means, covariances = zip(
        *[(x.mean, x.root.T @ x.root) for x in (fit(a, estimator), fit(b, estimator))], strict=True
    )
    wanted = (
        np.sum((means[0] - means[1]) ** 2)
        + np.trace(covariances[0] + covariances[1])
        - 2 * np.trace(sqrtm(covariances[0] @ covariances[1]).real)
    )
    # the matrix square root itself is that exact only where nothing is singular
    exact = estimator != "mle" or min(sizes) > 12
    assert frechet_distance(a, b, estimator=estimator) == pytest.approx(
        wanted, rel=1e-6 if exact else 1e-4
    )


@estimators
@pytest.mark.parametrize("shape", [(2, 3), (30, 6), (6, 30), (20, 1)])
def test_estimators_are_those_of_scikit_learn(estimator: Estimator, shape: tuple[int, int]) -> None:
    features = sample(*shape, seed=3).astype(np.float32)
    found = fit(features, estimator)
    double = features.astype(np.float64)
    wanted = {
        "mle": lambda: np.cov(double, rowvar=False),
        "shrinkage": lambda: ShrunkCovariance(shrinkage=0.1).fit(double).covariance_,
        "ledoit-wolf": lambda: LedoitWolf().fit(double).covariance_,
        "oas": lambda: OAS().fit(double).covariance_,
    }[estimator]()
    assert found.root.T @ found.root == pytest.approx(np.atleast_2d(wanted), abs=1e-9)
    assert found.mean == pytest.approx(double.mean(axis=0))


@estimators
@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 20), m=st.integers(2, 20), width=st.integers(1, 15))
def test_symmetry_rotation_and_identity(estimator: Estimator, n: int, m: int, width: int) -> None:
    a, b = sample(n, width, 0), sample(m, width, 1)
    found = frechet_distance(a, b, estimator=estimator)
    turn = rotation(width)
    assert found > -1e-6
    assert frechet_distance(b, a, estimator=estimator) == pytest.approx(found, abs=1e-6)
    assert frechet_distance(a @ turn, b @ turn, estimator=estimator) == pytest.approx(
        found, abs=1e-6
    )
    assert frechet_distance(a, a, estimator=estimator) == pytest.approx(0, abs=1e-6)


@estimators
@pytest.mark.parametrize("n", range(8))
def test_few_or_constant_pieces(estimator: Estimator, n: int) -> None:
    for features in (np.ones((n, 5), dtype=np.float32), sample(n, 5, 0)):
        for other in (features, sample(9, 5, 1)):
            found = measure_frechet(features, other, estimator=estimator, seed=0)
            assert (found.distance is NOTHING) == (n < 2)
            assert np.isnan(found.distance.low) == (n < 3)
            assert (found.infinity is NOTHING) == (n < 4)
            assert np.isnan(found.bend) == (n < 6)
    constant = np.full((30, 5), 2, dtype=np.float32)
    found = measure_frechet(constant, constant, estimator=estimator, seed=0)
    assert found.distance == found.infinity == (0, 0, 0, 30)


@pytest.mark.parametrize("n", [50, 100, 200, 400])
def test_bias_falls_with_the_sample_and_is_removed(n: int) -> None:
    found = [
        measure_frechet(sample(n, 16, seed), sample(n, 16, seed + 100), seed=0)
        for seed in range(12)
    ]
    # the bias of two samples of these Gaussians is near 28 / n
    biased = np.mean([one.distance.value for one in found])
    assert biased == pytest.approx(28 / n, rel=0.25)
    assert abs(np.mean([one.infinity.value for one in found])) < 0.3 * biased
    assert all(one.r_squared > 0.9 for one in found)


def test_points_are_larger_samples_first() -> None:
    found = measure_frechet(sample(60, 8, 0), sample(90, 8, 1), seed=0)
    assert [times for times, _ in found.points] == [1, 1.25, 1.5, 2]
    values = [value for _, value in found.points]
    assert values == sorted(values)
    assert values[0] == found.distance.value
    assert found.distance.n == 60


def test_too_few_pieces_for_their_dimensions_bend_the_line() -> None:
    few = measure_frechet(sample(60, 400, 0), sample(60, 400, 1), seed=0)
    assert few.infinity.low > 0
    assert few.bend > few.infinity.high - few.infinity.value
    enough = measure_frechet(sample(400, 16, 0), sample(400, 16, 1), seed=0)
    assert abs(enough.bend) < enough.infinity.high - enough.infinity.value


@pytest.mark.parametrize(
    ("shift", "scale", "width", "sizes"),
    [
        (0.0, 1.0, 16, (60, 60)),
        (0.0, 1.0, 4, (50, 120)),
        (0.3, 1.0, 4, (60, 60)),
        (0.1, 1.3, 8, (60, 90)),
    ],
)
def test_intervals_hold_the_truth(
    shift: float, scale: float, width: int, sizes: tuple[int, int]
) -> None:
    trace = np.sum(1 / np.arange(1, width + 1))
    truth = width * shift**2 + (scale - 1) ** 2 * trace
    found = []
    for seed in range(60):
        generated = shift + scale * sample(sizes[0], width, 2 * seed)
        reference = sample(sizes[1], width, 2 * seed + 1)
        found.append(measure_frechet(generated, reference, seed=seed).infinity)
    # of 60 intervals of 95 %, 52 or more hold the truth in 99 of 100 runs
    assert sum(one.low <= truth <= one.high for one in found) >= 52
    # and none is bought with width: 2 standard deviations to each side would do
    spread = np.std([one.value for one in found])
    assert np.mean([one.high - one.value for one in found]) < 3 * spread


def test_a_seed_is_a_result() -> None:
    a, b = sample(30, 6, 0), sample(40, 6, 1)
    assert measure_frechet(a, b, seed=1) == measure_frechet(a, b, seed=1)
    assert measure_frechet(a, b, seed=1) != measure_frechet(a, b, seed=2)
