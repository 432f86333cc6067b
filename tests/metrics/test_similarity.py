import numpy as np
import pytest

from notagen.metrics.figures import NOTHING
from notagen.metrics.similarity import copying, diversity

RNG = np.random.default_rng(0)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0


def test_copies_are_found() -> None:
    training = RNG.normal(size=(30, 64))
    fresh = RNG.normal(size=(15, 64))
    found = copying(np.concatenate([2 * training[:5], fresh]), training, seed=0)
    assert found.copied.value == 5 / 20
    assert 0 < found.copied.low < found.copied.value < found.copied.high < 1
    assert found.highest.value == pytest.approx(1)
    assert found.mean.value == pytest.approx(
        (5 + sum(max(cosine(a, b) for b in training) for a in fresh)) / 20
    )


def test_diversity_by_hand() -> None:
    # a right angle, half a turn, and a right angle: (1 + 2 + 1) / 3
    corners = np.array([[1.0, 0.0], [0.0, 5.0], [-2.0, 0.0]])
    assert diversity(corners, seed=0).value == pytest.approx(4 / 3)


def test_diversity_is_the_mean_of_the_upper_triangle() -> None:
    pieces = RNG.normal(size=(20, 6)) + 0.5
    apart = [1 - cosine(pieces[i], pieces[j]) for i in range(20) for j in range(i)]
    found = diversity(pieces, seed=0)
    assert found.value == pytest.approx(np.mean(apart), abs=1e-6)
    # of distances without those of pieces to themselves, the interval is around the value
    assert found.low < found.value < found.high
    assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=0.05)


def test_sets_too_small_to_measure() -> None:
    none, one, two = (np.ones((n, 4), dtype=np.float32) for n in range(3))
    assert copying(none, two, seed=0).mean is copying(two, none, seed=0).mean is NOTHING
    assert diversity(none, seed=0) is diversity(one, seed=0) is NOTHING
    assert copying(one, one, seed=0).copied == (1, pytest.approx(0.025), 1, 1)
    assert diversity(two, seed=0) == (0, 0, 0, 2)
    assert diversity(0 * two, seed=0).value == 1
