import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.metrics.figures import (
    NOTHING,
    bootstrap,
    interval,
    mean_figure,
    ratio_figure,
    resamples,
)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(150):
        # of 60 pieces drawn from a skewed population of mean 2
        found = mean_figure(rng.exponential(2, size=60), seed=seed)
        covered += found.low <= 2 <= found.high
    # the percentile interval of so few skewed values covers some 93 %
    assert 0.86 < covered / 150 < 0.99


def test_the_interval_is_as_wide_as_the_standard_error_says() -> None:
    values = np.random.default_rng(0).normal(10, 3, size=400)
    found = mean_figure(values, seed=1)
    margin = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(found.value - margin, abs=0.05)
    assert found.high == pytest.approx(found.value + margin, abs=0.05)
    assert found.n == 400


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.integers(0, 9))
def test_a_mean_lies_within_its_interval_and_the_values(values: list[float], seed: int) -> None:
    found = mean_figure(values, seed=seed)
    assert found == mean_figure(values, seed=seed)
    assert found.n == len(values)
    assert found.value == pytest.approx(np.mean(values))
    assert min(values) - 1e-6 <= found.low <= found.high <= max(values) + 1e-6


def test_the_seed_chooses_the_resamples() -> None:
    values = [0, 1, 1, 0, 1, 0, 0, 0, 1, 7]
    assert mean_figure(values, seed=3) != mean_figure(values, seed=4)
    first = [list(places) for places in resamples(5, seed=3, count=20)]
    assert first == [list(places) for places in resamples(5, seed=3, count=20)]
    assert len({tuple(places) for places in first}) > 10
    assert {place for places in first for place in places} == set(range(5))


def test_shares_of_truths() -> None:
    assert mean_figure([True, True, False, True], seed=0).value == 0.75
    # 0.025 is the chance of nine successes where each has the odds of the lower bound
    assert mean_figure([True] * 9, seed=0) == (1, pytest.approx(0.025 ** (1 / 9)), 1, 9)
    assert mean_figure([False] * 9, seed=0) == (0, 0, pytest.approx(1 - 0.025 ** (1 / 9)), 9)
    works = list("aaabbbccc")
    assert mean_figure([True] * 9, seed=0, works=works).low == pytest.approx(0.025 ** (1 / 3))
    # one piece says nothing of others, and no interval can know it
    assert mean_figure([0.25], seed=0) == (0.25, 0.25, 0.25, 1)


def test_long_pieces_weigh_more_in_a_ratio() -> None:
    found = ratio_figure([1, 30], [1, 10], seed=0)
    assert found.value == pytest.approx(31 / 11)
    assert (found.low, found.high, found.n) == (1, 3, 2)


def test_a_piece_without_a_whole_is_not_counted() -> None:
    found = ratio_figure([2.0, 0.0, 0.0], [4.0, 0.0, 0.0], seed=0)
    assert found == (0.5, 0.5, 0.5, 1)


def test_pieces_of_one_work_are_drawn_together() -> None:
    values = [0.0] * 10 + [1.0] * 10
    each = mean_figure(values, seed=0)
    together = mean_figure(values, seed=0, works=["a"] * 10 + ["b"] * 10)
    assert (together.low, together.value, together.high) == (0, 0.5, 1)
    assert each.n == together.n == 20
    assert 0.2 < each.low < each.value < each.high < 0.8
    # as many works as pieces, whatever they are called
    assert mean_figure(values, seed=0, works=[f"{n:02}" for n in range(20)]) == each


def test_without_pieces_there_is_no_figure() -> None:
    for nothing in (mean_figure([], seed=0), ratio_figure([], [], seed=0), NOTHING):
        assert nothing.n == 0
        assert all(map(math.isnan, nothing[:3]))
    # 3 faults in no bar at all
    assert ratio_figure([3.0, 0.0], [0.0, 0.0], seed=0).n == 0
    assert bootstrap(lambda _: 1.0, 0, seed=0).n == 0


def test_bootstrap_of_any_statistic() -> None:
    values = np.arange(101.0)
    found = bootstrap(lambda places: float(np.median(values[places])), 101, seed=0, count=300)
    assert found.value == 50
    assert 30 < found.low < 45
    assert 55 < found.high < 70
    assert found.n == 101


def test_the_interval_leaves_out_a_fortieth_on_either_side() -> None:
    assert interval(7, list(range(1001)), 12) == (7, 25, 975, 12)
