import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from notagen.foundation import cosine as module
from notagen.foundation.cosine import nearest, top_k, unit

numbers = st.integers(-9, 9)
sets = st.integers(1, 12).flatmap(lambda n: arrays(np.float32, (n, 3), elements=numbers))
RNG = np.random.default_rng(0)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0


@given(pieces=sets, references=sets, k=st.integers(1, 15))
def test_top_k_is_the_brute_force_one(pieces: np.ndarray, references: np.ndarray, k: int) -> None:
    places, similarities = top_k(pieces, references, k)
    assert places.shape == similarities.shape == (len(pieces), min(k, len(references)))
    for piece, found, values in zip(pieces, places, similarities, strict=True):
        true = np.array([cosine(piece, reference) for reference in references])
        assert len(set(found)) == len(found)
        assert values == pytest.approx(true[found], abs=1e-6)
        assert values == pytest.approx(np.sort(true)[::-1][: len(found)], abs=1e-6)


def test_nearest_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces, references = RNG.normal(size=(25, 5)), RNG.normal(size=(40, 5))
    whole = nearest(pieces, references)
    monkeypatch.setattr(module, "_ROWS", 7)
    chunked = nearest(pieces, references)
    true = [[cosine(a, b) for b in references] for a in pieces]
    assert whole[0].tolist() == chunked[0].tolist() == np.argmax(true, axis=1).tolist()
    assert whole[1] == pytest.approx(np.max(true, axis=1), abs=1e-6)
    assert chunked[1] == pytest.approx(whole[1])


def test_lengths() -> None:
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [
        pytest.approx([0.6, 0.8]),
        [0.0, 0.0],
    ]
