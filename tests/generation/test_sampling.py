import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from notagen.generation.sampling import (
    DEFAULT_SAMPLING,
    Sampling,
    draw,
    filter_probabilities,
    probabilities,
)

Arrays = Callable[[str], dict[str, NDArray[np.generic]]]
ALL = torch.zeros(128, dtype=torch.float64)

weights = st.lists(st.floats(0, 1), min_size=128, max_size=128).filter(lambda w: max(w) > 1e-6)
samplings = st.builds(
    Sampling,
    top_k=st.integers(0, 130),
    top_p=st.floats(0.01, 1),
    temperature=st.floats(0.01, 5),
)


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature", "tolerance"),
    [(9, 0.9, 1.2, 1e-7), (0, 1, 1, 1e-7), (5, 1, 0.7, 1e-7), (0, 0.8, 1, 1e-7), (40, 0.95, 2, 0)],
)
def test_vectors_are_the_original_ones(
    golden_arrays: Arrays, top_k: int, top_p: float, temperature: float, tolerance: float
) -> None:
    arrays = golden_arrays("sampling_filter")
    sampling = Sampling(top_k=top_k, top_p=top_p, temperature=temperature)
    found = filter_probabilities(torch.from_numpy(arrays["probs_in"]), sampling)
    original = torch.from_numpy(arrays[f"k{top_k}_p{top_p:g}_t{temperature:g}"])
    if tolerance:
        torch.testing.assert_close(found, original, atol=tolerance, rtol=0)
    # Without the 1e-12 that the original adds to what it removed, any temperature agrees.
    kept = original * (found > 0)
    torch.testing.assert_close(found, kept / kept.sum(-1, keepdim=True), atol=1e-7, rtol=0)


def test_the_character_that_reaches_the_share_is_kept() -> None:
    probs = torch.zeros(128)
    probs[:4] = torch.tensor([0.5, 0.25, 0.125, 0.125])
    for top_p, num_kept in ((0.4, 1), (0.5, 1), (0.51, 2), (0.75, 2), (0.8, 3), (1.0, 4)):
        found = filter_probabilities(probs, Sampling(top_k=0, top_p=top_p, temperature=1.0))
        assert int((found > 0).sum()) == num_kept, top_p


@given(weights, samplings)
def test_a_filter_leaves_a_distribution(raw: list[float], sampling: Sampling) -> None:
    probs = torch.tensor(raw, dtype=torch.float64)
    probs /= probs.sum()
    found = filter_probabilities(probs, sampling)
    assert found.sum().item() == pytest.approx(1)
    assert (found[probs == 0] == 0).all()
    assert found[probs == probs.max()].max() == found.max()
    kept = int((found > 0).sum())
    assert 1 <= kept <= (sampling.top_k or 128)


@given(weights, samplings, st.floats(0, 1, exclude_max=True))
def test_a_character_drawn_is_one_that_was_kept(
    raw: list[float], sampling: Sampling, share: float
) -> None:
    probs = torch.tensor([raw, raw], dtype=torch.float64)
    kept = filter_probabilities(probs, sampling)[0]
    top = math.nextafter(1, 0)
    first, last = draw(probs, sampling, torch.tensor([share, top], dtype=torch.float64)).tolist()
    assert kept[first] > 0
    assert kept[last] > 0


@pytest.mark.parametrize("share", [0.0, 0.5, 1 - 2**-24, math.nextafter(1, 0)])
def test_the_ends_of_a_share_draw_what_was_kept(share: float) -> None:
    probs = torch.zeros(1, 128)
    probs[0, [10, 65, 127]] = torch.tensor([0.25, 0.5, 0.25])
    shares = torch.tensor([share], dtype=torch.float64)
    for sampling in (Sampling(top_k=0, top_p=1.0), Sampling(top_k=2, top_p=1.0), DEFAULT_SAMPLING):
        kept = filter_probabilities(probs, sampling)[0]
        assert kept[draw(probs, sampling, shares)[0]] > 0
    assert draw(probs, Sampling(top_k=1), shares).tolist() == [65]


def test_characters_are_drawn_as_often_as_they_are_probable() -> None:
    probs = torch.zeros(128, dtype=torch.float64)
    probs[[10, 65, 127, 3]] = torch.tensor([0.1, 0.5, 0.3, 0.1], dtype=torch.float64)
    sampling = Sampling(top_k=3, top_p=1.0, temperature=1.5)
    shares = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = draw(probs.expand(20_000, -1), sampling, shares)
    found = torch.bincount(drawn, minlength=128) / 20_000
    expected = filter_probabilities(probs, sampling).float()
    assert int((expected > 0).sum()) == 3
    torch.testing.assert_close(found, expected, atol=0.012, rtol=0)


def test_a_row_is_drawn_by_its_own_share_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(40, 128, generator=generator).softmax(-1)
    shares = torch.rand(40, generator=generator, dtype=torch.float64)
    together = draw(probs, DEFAULT_SAMPLING, shares)
    assert torch.equal(together, draw(probs, DEFAULT_SAMPLING, shares))
    one_by_one = [draw(probs[[i]], DEFAULT_SAMPLING, shares[[i]]) for i in range(40)]
    assert torch.equal(together, torch.cat(one_by_one))
    assert len(set(together.tolist())) > 5


def test_forbidden_characters_have_no_probability() -> None:
    allowed = ALL.clone()
    allowed[[0, 1]] = -math.inf
    probs = probabilities(torch.randn(128).bfloat16(), allowed)
    assert probs[:2].tolist() == [0, 0]
    assert probs.sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("temperature", 0.0),
        ("recall", -0.1),
        ("recall", 1.1),
        ("temperature", math.nan),
    ],
)
def test_settings_out_of_range_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Sampling(**{field: value})


def test_defaults_are_those_of_notagen() -> None:
    assert Sampling(top_k=9, top_p=0.9, temperature=1.2) == DEFAULT_SAMPLING


@pytest.mark.parametrize(
    ("sampling", "greedy"),
    [
        (Sampling(top_k=1), True),
        (Sampling(top_k=0, top_p=1 / 128), True),
        (Sampling(top_k=2, top_p=0.02), False),
        (Sampling(), False),
    ],
)
def test_greedy_settings_are_known(sampling: Sampling, greedy: bool) -> None:
    assert sampling.is_greedy is greedy
