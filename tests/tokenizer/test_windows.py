import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.notation.rests import omit_rests
from notagen.tokenizer.windows import add_counters, canonical, newest_lines, split_header
from tests.notation.tunes import interleaved_tunes

PROMPT = "%Romantic\n%Schubert, Franz\n%Art Song\n%end\n"
TUNE = '%%score 1 2\nL:1/8\nK:C\nV:1\nV:2\n[V:1]"^[r:0/1]"c4|[V:2]C4|\n[V:2]z4 %50\n%x|\n'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (PROMPT + "K:C\n[r:0/0][V:1]c4|\n", "K:C\n[V:1]c4|\n"),
        ("%Romantic\n%%score 1\n%Baroque\nK:C\n", "%%score 1\n%Baroque\nK:C\n"),
        ("%end", ""),
        ("%\nK:C", "K:C"),
        ("K:C\n%end\n", "K:C\n%end\n"),
        ("\n%end\n", "\n%end\n"),
        ("K:C\n[V:1]c[r:0/0]4|\n", "K:C\n[V:1]c[r:0/0]4|\n"),
        ("", ""),
    ],
)
def test_only_the_first_prompt_lines_and_the_counters_go(text: str, wanted: str) -> None:
    assert canonical(text) == wanted


@given(interleaved_tunes(), st.booleans())
def test_a_tune_stays_as_it_is_whatever_stands_around_it(tune: str, prompted: bool) -> None:
    for abc in (tune, omit_rests(tune), TUNE):
        assert canonical(abc) == abc
        header, body = split_header(abc)
        shown = PROMPT * prompted + "".join([*header, *add_counters(body)])
        assert canonical(shown) == abc


@pytest.mark.parametrize(
    ("num_patches", "room", "wanted"),
    [
        (16, 16, 9),  # eight of room: the lines at 9 and 13
        (16, 14, 9),  # seven: just those
        (16, 13, 13),  # six: the line at 13 alone
        (16, 7, 13),
        (16, 5, 14),  # two: the line that begins at 13 loses its front
        (20, 8, 16),  # the line at 20 is yet to come
        (16, 1, 16),
    ],
)
def test_half_of_the_room_goes_to_the_newest_lines(
    num_patches: int, room: int, wanted: int
) -> None:
    assert newest_lines([1, 5, 9, 13, 20], num_patches, room) == wanted
