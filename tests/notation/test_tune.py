import time

import pytest

from notagen.foundation.errors import NotationError
from notagen.notation.barlines import Bar
from notagen.notation.interleave import deinterleave, interleave, is_interleaved, parse_interleaved
from notagen.notation.tune import format_abc, parse_abc, voice_order, without_comment

TWO = """%%score { 1 | 2 }
L:1/8
M:4/4
K:C
V:1 treble nm="Right"
V:2 bass
V:1
c8 | d8 |]
V:2
C8 | D8 |]
"""


def body(abc: str) -> list[str]:
    return [line for line in interleave(abc).splitlines() if line.startswith("[V:")]


def test_two_voices() -> None:
    tune = parse_abc(TWO)
    assert tune.header == tuple(TWO.splitlines()[:6])
    assert tune.voices == ["1", "2"]
    assert tune.bars == (
        {"1": Bar("", "c8", "|"), "2": Bar("", "C8", "|")},
        {"1": Bar("", "d8", "|]"), "2": Bar("", "D8", "|]")},
    )
    assert tune.field("K") == "C"
    assert tune.field("T") is None
    assert format_abc(tune) == TWO


def test_voices_by_number_else_as_defined() -> None:
    assert voice_order(["10", "2", "1", "2"]) == ["1", "2", "10"]
    assert voice_order(["S", "B", "A", "B"]) == ["S", "B", "A"]
    abc = "K:C\nV:10\nV:2\nV:10\nc8|\nV:2\nC8|\n"
    assert body(abc) == ["[V:2]C8|[V:10]c8|"]


def test_single_voice_without_score_or_voice_field() -> None:
    assert interleave("X:1\nL:1/8\nK:C\nc8 | d8 |]\n") == ("X:1\nL:1/8\nK:C\n[V:1]c8|\n[V:1]d8|]\n")


def test_voices_defined_right_above_their_music() -> None:
    abc = "X:1\nK:C\nV:T clef=treble\nc8|d8|\nV:B clef=bass\nC8|D8|\n"
    assert body(abc) == ["[V:T]c8|[V:B]C8|", "[V:T]d8|[V:B]D8|"]
    assert parse_abc(abc).header == ("X:1", "K:C", "V:T clef=treble", "V:B clef=bass")
    assert parse_abc(format_abc(parse_abc(abc))) == parse_abc(abc)


def test_music_in_several_lines_and_turns() -> None:
    abc = "K:C\nV:1\nV:2\nV:1\nc8|\nV:2\nC8|\nV:1\nd8|\nV:2\nD8|\n"
    assert body(abc) == ["[V:1]c8|[V:2]C8|", "[V:1]d8|[V:2]D8|"]
    inline = "K:C\n[V:1]c8|d8|\n[V:2]C8|D8|\n"
    assert body(inline) == body(abc)


def test_fields_between_the_lines_go_inline() -> None:
    abc = "M:4/4\nK:C\nc8|\nM:3/4\nd6|\nK:G % now\ne6|\nw: la la\n%%newpage\n% x\nf6|\n"
    cells = [bar["1"].music.replace(" ", "") for bar in parse_abc(abc).bars]
    assert cells == ["c8", "[M:3/4]d6", "[K:G]e6", "f6"]


def test_prompt_lines_stay_in_the_header() -> None:
    header = ("%Baroque", "%Bach, J. S.", "%Choral", "K:C")
    assert parse_abc("\n".join(header) + "\nc8|\n").header == header


def test_unequal_numbers_of_bars_name_both_voices() -> None:
    with pytest.raises(NotationError) as caught:
        parse_abc(TWO.replace("C8 | D8 |]", "C8 | D8 | E8 |]"))
    assert str(caught.value) == "voice V:2 has 3 bars, V:1 has 2"


@pytest.mark.parametrize("abc", ["", "K:C\n", "V:1\nV:2\n", "% only\n", "X:1\nK:C\nV:1\nV:2\n"])
def test_no_music(abc: str) -> None:
    with pytest.raises(NotationError, match="found no music"):
        parse_abc(abc)


def test_reduced_tunes_are_not_written_as_standard_abc() -> None:
    with pytest.raises(NotationError, match=r"bar 2: found no voice V:2"):
        deinterleave("V:1\nV:2\nK:C\n[V:1]c8|[V:2]C8|\n[V:1]d8|\n")


def test_long_voices_are_wrapped_at_bars() -> None:
    abc = "K:C\n" + "c d e f g a b c' | " * 40 + "\n"
    lines = format_abc(parse_abc(abc)).splitlines()[2:]
    assert len(lines) > 4
    assert all(len(line) <= 100 and line.endswith("|") for line in lines)


def test_comments_end_lines_but_not_words() -> None:
    assert without_comment('c "^50%" d | % e') == 'c "^50%" d | '
    assert without_comment("c d") == "c d"


def test_counters_are_no_music() -> None:
    tune = parse_interleaved("K:C\n[r:0/1][V:1]c8|\n[r:1/0][V:1]d8|\n")
    assert [bar["1"].music for bar in tune.bars] == ["c8", "d8"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("K:C\n", "found no bar"),
        ("K:C\n[V:1]c|\nhello\n", "line 3: found 'hello', wanted a bar"),
        ("K:C\n[V:1]c|[V:1]d|\n", "line 2: found voice V:1 twice"),
    ],
)
def test_bad_interleaved_text(text: str, said: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse_interleaved(text)
    assert str(caught.value).startswith(said)


def test_forms_are_told_apart() -> None:
    assert not is_interleaved(TWO)
    assert is_interleaved(interleave(TWO))
    assert is_interleaved("K:C\n[r:0/0][V:1]c8|\n")


def test_a_bar_without_a_barline_gets_one() -> None:
    abc = "K:C\nV:1\nV:2\n[V:1]c8[V:2]C8|\n[V:1]d8[V:2]D8\n"
    assert body(deinterleave(abc)) == ["[V:1]c8|[V:2]C8|", "[V:1]d8[V:2]D8"]


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        ("[V:1]c8|\n[V:1]|\n", "bar 2: found nothing in V:1"),
        ('[V:1]"^x"|\n[V:1]c8|\n', "bar 1: found nothing in V:1"),
        ("[V:1]c8|\n[V:1]!fermata!\n", "bar 2: found nothing in V:1"),
    ],
)
def test_bars_that_would_be_lost_are_refused(lines: str, where: str) -> None:
    with pytest.raises(NotationError) as caught:
        deinterleave("K:C\nV:1\n" + lines)
    assert str(caught.value).startswith(where)


def test_marks_before_barlines_stay_in_their_bars() -> None:
    abc = (
        "K:C\nV:1 treble\nV:2 bass\n"
        '[V:1]c8!p!|[V:2]C8|\n[V:1]d8"^Fine"!fermata!|][V:2]D8!fermata!|]\n'
    )
    assert interleave(deinterleave(abc)) == abc


def test_many_lines_take_time_in_proportion() -> None:
    defined = "".join(f"V:{number} treble\n" for number in range(20_000))
    abc = "K:C\n" + defined + "V:1\n" + "c8|\n" * 20_000
    started = time.process_time()
    assert len(parse_abc(abc).bars) == 20_000
    assert time.process_time() - started < 5
