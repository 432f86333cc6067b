"""MusicXML of every kind read as ABC, beyond what scores at hand hold."""

import time

import pytest

from notagen.foundation.errors import ConversionError, ScoreError
from notagen.notation.musicxml import abc_to_musicxml, document_to_abc

DIVISIONS = "<attributes><divisions>{}</divisions></attributes>"


def note(step: str = "C", duration: object = 4, *, before: str = "", after: str = "") -> str:
    return (
        f"<note>{before}<pitch><step>{step}</step><octave>4</octave></pitch>"
        f"<duration>{duration}</duration>{after}</note>"
    )


def voice(name: object, duration: int = 4) -> str:
    """Return a note of a voice, and the way back to where it began."""
    went = f"<backup><duration>{duration}</duration></backup>"
    return note(duration=duration, after=f"<voice>{name}</voice>") + went


def score(*parts: list[str], root: str = "score-partwise") -> str:
    listed = "".join(f'<score-part id="P{n}"/>' for n, _ in enumerate(parts))
    written = "".join(
        f'<part id="P{number}">{"".join(f"<measure>{bar}</measure>" for bar in bars)}</part>'
        for number, bars in enumerate(parts)
    )
    return f"<{root}><part-list>{listed}</part-list>{written}</{root.split()[0]}>"


def music(*parts: list[str]) -> list[str]:
    """Return the metre and the lines of music of a score, which our own reader can read."""
    abc = document_to_abc(score(*parts).encode())
    abc_to_musicxml(abc)
    lines = abc.splitlines()
    return [line for line in lines if line[:2] not in ("X:", "L:", "K:", "V:") and line[0] != "%"]


def words(text: str) -> str:
    return f"<direction><direction-type><words>{text}</words></direction-type></direction>"


@pytest.mark.parametrize(
    ("parts", "written"),
    [
        (([note(), note()], [note("D")]), ["M:4/4", "C8 | C8 |", "D8 | x8 |"]),
        (([note(), ""],), ["M:4/4", "C8 | x8 |"]),
        (([note(duration=2) + "<forward><duration>2</duration></forward>"],), ["M:4/4", "C4 x4 |"]),
        (([voice("soprano") + voice("alt o")],), ["M:4/4", "C8 |", "C8 |"]),
        # a note of a chord that says no length has the chord's
        (([note() + note("E", before="<chord/>").replace("<duration>4</duration>", "")],),
         ["M:4/4", "[CE]8 |"]),
        (([DIVISIONS.format(2**31 - 1) + note(duration=2**33 - 4)],), ["M:4/4", "C8 |"]),
        (([note(duration=1) + DIVISIONS.format(2) + note(duration=6)],), ["M:4/4", "C2 C6 |"]),
        # what looks like the beginning of a voice is words
        (([words("[V:2] x") + note()],), ["M:4/4", '"^[V 2] x" C8 |']),
        (([f'<sound dacapo="no" fine="" tempo="0.3"/>{note()}'],), ["M:4/4", "C8 |"]),
    ],
)  # fmt: skip
def test_scores_of_any_shape(parts: tuple[list[str], ...], written: list[str]) -> None:
    assert music(*parts) == written


def test_two_metres_at_once_are_a_sum() -> None:
    beats = "<beats>{}</beats><beat-type>{}</beat-type>"
    metre = f"<attributes><time>{beats.format(3, 4)}{beats.format('2+1', 8)}</time></attributes>"
    assert music([metre + note(duration=5)])[0] == "M:6+3/8"
    odd = metre.replace(">4<", ">251<").replace(">8<", ">253<")
    with pytest.raises(ConversionError, match="found metre 759"):
        music([odd + note()])


def test_a_chord_symbol_names_a_chord() -> None:
    symbol = (
        "<harmony><root><root-step>{}</root-step><root-alter>-2</root-alter></root>"
        "<kind>{}</kind></harmony>"
    )
    assert music([symbol.format("B", "dominant") + note()])[1] == '"Bbb7" C8 |'
    assert music([symbol.format("B", "none") + note()])[1] == "C8 |"
    with pytest.raises(ConversionError, match="measure 1: found a chord symbol of"):
        music([symbol.format('"', "major") + note()])


def test_a_namespace_says_nothing() -> None:
    bar = [note()]
    plain = document_to_abc(score(bar).encode())
    named = score(bar, root='score-partwise xmlns="http://example.org/"')
    assert document_to_abc(named.encode()) == plain
    prefixed = named.replace("xmlns", "xmlns:m").replace("<", "<m:").replace("<m:/", "</m:")
    assert document_to_abc(prefixed.encode()) == plain


def test_a_pedal_of_no_length_ends_where_it_begins() -> None:
    pedal = '<direction><direction-type><pedal type="{}"/></direction-type></direction>'
    pressed = pedal.format("start") + pedal.format("stop")
    assert music([note() + pressed, note()])[1] == "C8!ped!!ped-up! | C8 |"


@pytest.mark.parametrize(
    ("bar", "said"),
    [
        (DIVISIONS.format("000000001" + "0" * 5000) + note(), "found divisions '0000"),
        (note(duration=999_999), "part P0, bar 1: found length"),
        (note("x" * 5000), "part P0, measure 1: found step 'xxx"),
        (note(after="<staff>" + "x" * 5000 + "</staff>"), "part P0, measure 1: invalid literal"),
        (voice(1) * 10_001, "part P0, measure 1: found more than 10000 notes and signs"),
        ("".join(voice(n) for n in range(251)), "found 251 voices in a part, wanted 250"),
    ],
)
def test_what_no_score_holds_is_refused_in_a_short_line(bar: str, said: str) -> None:
    with pytest.raises(ScoreError) as caught:
        document_to_abc(score([bar]).encode())
    assert str(caught.value).startswith(said)
    assert len(str(caught.value)) < 300


def test_more_bars_than_any_opera_are_refused_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(ConversionError, match="found 2000 bars for 1001 voices"):
        document_to_abc(score([note()] * 2000, *([[note()]] * 1000)).encode())
    assert time.monotonic() - start < 5


def test_a_bracket_that_says_odd_numbers_is_no_tuplet_of_its_own() -> None:
    said = "<tuplet-actual><tuplet-number>-3</tuplet-number></tuplet-actual>" + (
        "<tuplet-normal><tuplet-number>2</tuplet-number></tuplet-normal>"
    )
    third = (
        "<type>quarter</type><time-modification><actual-notes>3</actual-notes>"
        "<normal-notes>2</normal-notes></time-modification><notations>{}</notations>"
    )
    bar = [
        note(duration=4, after=third.format(marks))
        for marks in (
            f'<tuplet type="start" number="1">{said}</tuplet>',
            '<tuplet type="start" number="2"/>',
            '<tuplet type="stop" number="2"/><tuplet type="stop" number="1"/>',
        )
    ]
    assert music([DIVISIONS.format(6) + "".join(bar)])[1] == "(3:2:1C2 (3:2:2C2 C2 |"


def test_a_tempo_in_words_is_passed_over() -> None:
    direction = f'<sound tempo="120 bpm"/>{note()}'
    assert music([direction]) == ["M:4/4", "C8 |"]


def test_a_tempo_that_several_parts_mark_is_written_once() -> None:
    part = [f'<sound tempo="{tempo}"/>{note()}' for tempo in (76, 60, 76)]
    assert music(part, part, part) == [
        "Q:1/4=76",
        "M:4/4",
        "C8 | [Q:1/4=60] C8 | [Q:1/4=76] C8 |",
        "C8 | C8 | C8 |",
        "C8 | C8 | C8 |",
    ]
    other = [note(), note(), f'<sound tempo="90"/>{note()}']
    assert music(part, other)[3] == "C8 | C8 | [Q:1/4=90] C8 |"
