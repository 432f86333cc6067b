from pathlib import Path

import numpy as np
import pytest

from notagen.features.similarity import (
    average_score,
    cosine,
    piece_scores,
    score_of_averages,
    search,
)
from notagen.foundation.features import FeatureSet

GOLDEN = Path(__file__).parents[1] / "golden" / "clamp" / "clamp2_score.npz"


def test_the_published_scores() -> None:
    """Figures of NotaGen's and CLaMP 2's own scripts on the same features."""
    with np.load(GOLDEN, allow_pickle=False) as golden:
        sets = golden["generated"], golden["gt"]
        wanted = golden["per_piece_score"], float(golden["average_score"])
        other = float(golden["clamp2_repo_score_of_averages"])
    assert piece_scores(*sets) == pytest.approx(wanted[0], abs=1e-6)
    assert average_score(*sets) == pytest.approx(wanted[1], abs=1e-6)
    assert score_of_averages(*sets) == pytest.approx(other, abs=1e-6)


def test_scores_by_hand() -> None:
    reference = np.array([[1.0, 0.0], [0.0, 3.0]])  # the longer one counts for more: (1, 3) / 2
    generated = np.array([[1.0, 3.0], [3.0, -1.0], [2.0, 0.0], [0.0, 0.0]])
    assert piece_scores(generated, reference) == pytest.approx([1, 0, 10**-0.5, 0])
    assert average_score(generated, reference) == pytest.approx((1 + 10**-0.5) / 4)
    # of the means (6, 2) / 4 and (1, 3) / 2
    assert score_of_averages(generated, reference) == pytest.approx(12 / 20)


def test_cosine_of_nothing() -> None:
    assert cosine([0, 0], [1, 2]) == 0
    assert cosine([3, 4], [4, 3]) == pytest.approx(24 / 25)


def test_search_says_names_in_order() -> None:
    matrix = np.array([[1, 0], [4, 3], [-1, 0], [3, 4]], dtype=np.float32)
    folder = FeatureSet(("a", "b/c", "d", "e"), matrix, "m3", None)
    found = search(np.array([2.0, 0.0]), folder, 3)
    assert [one.name for one in found] == ["a", "b/c", "e"]
    assert [one.similarity for one in found] == pytest.approx([1, 0.8, 0.6])
    assert len(search(np.array([2.0, 0.0]), folder, 9)) == 4
