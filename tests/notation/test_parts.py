import pytest

from notagen.foundation.errors import NotationError
from notagen.notation.interleave import parse_interleaved
from notagen.notation.parts import played, torn_parts, voices_of_parts
from notagen.notation.tune import Tune

SCORE = "%%score 1 { ( 2 4 ) | 3 }"
VOICES = tuple(f"V:{number} treble" for number in "1234")


def test_voices_of_parts() -> None:
    assert voices_of_parts(Tune((SCORE, *VOICES), ())) == [["1"], ["2", "4", "3"]]


@pytest.mark.parametrize(
    ("score", "torn"),
    [
        (SCORE, []),
        ("%%score { 1 | 3 } ( 2 4 )", [["1", "3"], ["2", "4"]]),
        ("%%score { 1 | 4 } 2 3", [["1", "4"]]),
        ("%%score { 1 | 9 } 2 3 4", []),
        ("", []),
    ],
)
def test_parts_with_others_between_their_voices_are_torn(score: str, torn: list[str]) -> None:
    assert torn_parts(Tune((score, *VOICES), ())) == torn


def test_brackets_without_end_are_refused() -> None:
    with pytest.raises(NotationError, match="nested deeper than 16"):
        torn_parts(Tune(("%%score " + "[" * 20 + " 1", *VOICES), ()))


def test_what_is_played_knows_no_rests_and_no_barlines() -> None:
    body = "[V:1]c8|[V:2]z8|\n[V:2]x4 z4|[V:1]c8||\n[V:1]c8|[V:2]C8|\n[V:1]z8|\n"
    bars = parse_interleaved("K:C\n" + body).bars
    sounds = [played(bar) for bar in bars]
    assert sounds[0] == sounds[1] == {("1", "c8")}
    assert sounds[2] == {("1", "c8"), ("2", "C8")}
    assert sounds[3] == frozenset()
