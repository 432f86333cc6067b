from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.generation.cells import longest_fitting
from notagen.notation.durations import UNIT, bar_duration

MUSIC = st.lists(
    st.sampled_from(["c", "d2", "z/", "[ce]3", "(3abc", "{g}", "(", ")", "-", " ", '"^c8"', "!p!"]),
    max_size=12,
).map("".join)


@pytest.mark.parametrize(
    ("text", "limit", "fits", "is_full"),
    [
        ("c4 d4|", 1, "c4 d4", True),
        ("c4 (d4-)e|", 1, "c4 (d4-)", True),
        ("c4 d4 !p!|", 1, "c4 d4", True),
        ("c4 d6|", 1, "c4", False),
        ("c4 (3ddd [eg]4|", 1, "c4 (3ddd", False),
        ("c4 [dfa]4 z|", 1, "c4 [dfa]4", True),
        ('"^c8" c6{de} d2.)f|', 1, '"^c8" c6{de} d2.)', True),
        ("c9|", 1, "", False),
        ("|", 1, "", False),
        ("c4 [df", 1, "c4", False),
    ],
)
def test_what_fits_ends_with_an_event(text: str, limit: int, fits: str, is_full: bool) -> None:
    length, full = longest_fitting(text, Fraction(limit), UNIT)
    assert (text[:length], full) == (fits, is_full)


@given(MUSIC, st.integers(1, 16))
def test_what_fits_is_within_the_limit_and_all_where_all_fits(text: str, eighths: int) -> None:
    limit = Fraction(eighths, 8)
    length, is_full = longest_fitting(text, limit, UNIT)
    duration = bar_duration(text[:length])
    assert duration is not None
    assert duration <= limit
    assert is_full == (duration == limit)
    whole = bar_duration(text)
    assert whole is not None
    assert whole > limit or duration == whole
