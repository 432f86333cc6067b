from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from notagen.evaluation.plots import plot_likelihood, plot_scores, plot_statistics
from notagen.features.scoring import Judged
from notagen.metrics.relative import Relative, compare


def relative(n: int) -> dict[str, Relative]:
    rng = np.random.default_rng(0)
    ours, theirs = (
        [{f"statistic_{k}": rng.normal(size=1) for k in range(5)} for _ in range(n)]
        for _ in range(2)
    )
    return compare(ours, theirs, seed=0)


def test_a_panel_for_each_statistic(tmp_path: Path) -> None:
    plot_statistics(relative(8), tmp_path / "new" / "a.png")
    picture = matplotlib.image.imread(tmp_path / "new" / "a.png")
    assert picture.shape[0] > 400
    # curves of both sets are drawn in their colours
    for colour in ("#c4512d", "#2b5c94"):
        wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        assert np.any(np.all(abs(picture[:, :, :3] - wanted) < 0.02, axis=2)), colour


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    rows = {"a row": {"pieces": {"x": [120.0, True], "y": [3.5, False]}}}
    for name in ("a", "b"):
        plot_statistics(relative(8), tmp_path / name / "statistics.png")
        plot_likelihood(rows, {"x": 100, "y": 10}, tmp_path / name / "likelihood.png")
    for kind in ("statistics", "likelihood"):
        first, second = ((tmp_path / name / f"{kind}.png").read_bytes() for name in ("a", "b"))
        assert first == second


@pytest.mark.parametrize("n", [0, 1, 2])
def test_statistics_of_too_few_pieces(n: int, tmp_path: Path) -> None:
    plot_statistics(relative(n), tmp_path / "a.png")
    assert matplotlib.image.imread(tmp_path / "a.png").size


def test_likelihood_without_pieces(tmp_path: Path) -> None:
    plot_likelihood({"a row": {"pieces": {}}}, {}, tmp_path / "b.png")
    assert matplotlib.image.imread(tmp_path / "b.png").size


def test_scores_of_both_sets_are_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = (
        [Judged(*rng.normal(level, 0.02, size=2), "all", 9) for _ in range(40)]
        for level in (0.3, 0.7)
    )
    drawn = []
    for number, sets in enumerate([(ours, theirs), (ours, []), (ours[:1], ours[:1])]):
        out = tmp_path / f"{number}.png"
        plot_scores(*sets, out)
        picture = matplotlib.image.imread(out)
        redness = picture[:, :, 0] - picture[:, :, 2]
        drawn.append((np.sum(redness > 0.2), np.sum(redness < -0.2)))
    (red, blue), (_, in_legend), _ = drawn
    assert min(red, blue) > 4 * in_legend > 0
