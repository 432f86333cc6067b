import re
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notagen.foundation.errors import ScoreError
from notagen.notation import transpose as transposing
from notagen.notation.checks import check_alignment
from notagen.notation.clean import clean
from notagen.notation.durations import bar_duration, event_durations
from notagen.notation.interleave import deinterleave, interleave, parse_interleaved
from notagen.notation.keys import KEYS, Key, parse_key
from notagen.notation.rests import omit_rests, restore_rests
from notagen.notation.transpose import transpose, transpose_to_keys
from notagen.notation.tune import format_abc, parse_abc
from tests.notation.tunes import interleaved_tunes

STRING = r'"(?:\\.|[^"\\])*"'


@given(interleaved_tunes())
def test_interleave_undoes_deinterleave(tune: str) -> None:
    standard = deinterleave(tune)
    assert interleave(standard) == tune
    assert format_abc(parse_abc(standard)) == standard


@given(interleaved_tunes())
def test_restore_undoes_omit(tune: str) -> None:
    reduced = omit_rests(tune)
    assert restore_rests(reduced) == tune
    assert len(reduced) <= len(tune)
    assert omit_rests(reduced) == reduced
    assert len(parse_interleaved(reduced).bars) == len(parse_interleaved(tune).bars)


@given(interleaved_tunes())
def test_bars_last_what_their_metre_says_at_every_step(tune: str) -> None:
    assert check_alignment(tune).problems == ()
    metre = Fraction(int(re.search(r"^M:(\d)", tune, flags=re.MULTILINE)[1]), 8)  # type: ignore[index]
    first, *others = durations(tune)
    assert first is not None
    assert first <= metre
    assert others == [metre] * len(others)
    for step in (omit_rests(tune), transpose(tune, "Gb"), interleave(clean(deinterleave(tune)))):
        assert check_alignment(step).problems == ()
        assert durations(step) == durations(tune)


@given(interleaved_tunes())
def test_cleaning_twice_is_cleaning_once(tune: str) -> None:
    once = clean(deinterleave(tune))
    assert clean(once) == once


@given(interleaved_tunes())
def test_transposing_moves_every_pitch_by_one_interval_and_back(tune: str) -> None:
    own = header_key(tune)
    before = sounding(tune)
    for wanted, moved in transpose_to_keys(tune, KEYS).items():
        after = sounding(moved)
        assert len(before) == len(after)
        assert len({b - a for a, b in zip(before, after, strict=True)}) <= 1
        assert all(-6 <= b - a <= 6 for a, b in zip(before, after, strict=True))
        assert not re.search(r"\^\^\^|___|\^_|_\^", unworded(moved))
        assert words(moved) == words(tune)
        if own is not None:
            new = header_key(moved)
            assert new is not None
            assert new.signature == wanted
            assert new.mode == own.mode
        assert sounding(transpose(moved, own.signature if own else "C")) == before


@given(interleaved_tunes(), st.lists(st.sampled_from(KEYS), min_size=1, max_size=3))
def test_many_keys_at_once_are_as_one_by_one(tune: str, keys: list[str]) -> None:
    assert transpose_to_keys(tune, keys) == {key: transpose(tune, key) for key in keys}


@given(interleaved_tunes(), st.sampled_from(KEYS))
def test_writing_symbols_is_as_writing_note_by_note(tune: str, key: str) -> None:
    """The short way is taken where each sign stays; the long way must come to the same."""
    quick = transpose(tune, key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transposing, "_moves_as_one", lambda *_: False)
        assert transpose(tune, key) == quick


# a tie into a bar whose rest is left out must not reach the bar after it
TIE_INTO_REST = (
    "L:1/8\nM:4/8\nK:B\nV:1 treble\nV:2 treble\n[V:1]c4|[V:2]A4-|\n[V:1]c4|[V:2]z4|\n"
    "[V:1]c4|[V:2][K:C#]G2[K:C#]C2|\n"
)


@given(interleaved_tunes())
@example(TIE_INTO_REST)
def test_every_form_is_transposed_alike(tune: str) -> None:
    for key in ("Eb", "F#"):
        assert interleave(transpose(deinterleave(tune), key)) == transpose(tune, key)
        assert restore_rests(transpose(omit_rests(tune), key)) == transpose(tune, key)


HOSTILE = st.one_of(
    st.text(),
    st.text(st.sampled_from('abCz|:[]{}()<>"!%^_=+-.,/\\ \n0123VK~T&*\x0b\u2028')),
    st.builds(
        lambda tune, place, text, cut: tune[:place] + text + tune[place + cut :],
        interleaved_tunes(),
        st.integers(0, 900),
        st.text(st.sampled_from('|:[]{}()<>"!%z05-/V\n'), max_size=4),
        st.integers(0, 5),
    ),
)


@given(HOSTILE)
def test_any_text_is_read_or_refused(text: str) -> None:
    steps: list[Callable[[str], object]] = [
        *(clean, interleave, deinterleave, omit_rests, restore_rests, check_alignment),
        *(bar_duration, lambda music: list(event_durations(music))),
        *(lambda abc: transpose(abc, "C#"), lambda abc: transpose("K:Db\n" + abc, "C#")),
    ]
    for step in steps:
        message = refusal(step, text)
        assert "\n" not in message
        assert len(message) < 300


def refusal(step: Callable[[str], object], text: str) -> str:
    """Why a step refuses a text; empty if it does not."""
    try:
        step(text)
    except ScoreError as error:
        return str(error)
    return ""


def durations(tune: str) -> list[Fraction | None]:
    """How long the first voice lasts in each bar."""
    bars = parse_interleaved(tune).bars
    return [bar_duration(next(iter(bar.values())).music) for bar in bars]


def unworded(abc: str) -> str:
    return re.sub(STRING, "", abc)


def words(abc: str) -> list[str]:
    """Directions and names, which transposing leaves alone; chord symbols excepted."""
    return [word for word in re.findall(STRING, abc) if not re.match(r'"[A-G]', word)]


def header_key(tune: str) -> Key | None:
    match = re.search(r"^K:(.*)$", tune, flags=re.MULTILINE)
    assert match
    return parse_key(match[1])


def sounding(tune: str) -> list[int]:
    """MIDI pitches of all notes, by the plainest reading of the standard that is possible.

    A second opinion on accidentals, written without the package's own transposer: an accidental
    holds for its letter and octave until the barline; a note that is tied to from the note or
    chord before keeps that one's alteration, and leaves the bar's accidentals as they are.
    """
    fifths_of = {name: 7 - i for i, name in enumerate(KEYS)} | {"none": 0}
    key = header_key(tune)
    keys: dict[str, int] = {}
    tied: dict[str, dict[str, int]] = {}
    pitches = []
    pattern = re.compile(
        rf"\[V:(?P<voice>\d+)\]|{STRING}|![^!]*!|\[K:(?P<key>[^\]]*)\]|\[[A-Z]:[^\]]*\]"
        r"|(?P<grace>\{[^}]*\})"
        r"|(?P<chord>\[[^\]]*\][\d/]*\.?-?)|(?P<note>[\^_=]*[A-Ga-g][,']*[\d/]*\.?-?)|(?P<rest>[zx])"
    )
    one = re.compile(r"([\^_=]*)([A-Ga-g])([,']*)[\d/]*\.?(-?)")
    for line in tune.splitlines():
        if not line.startswith("[V:"):
            continue
        voice, bar = "1", {}
        for match in pattern.finditer(line):
            if match["voice"]:
                voice, bar = match["voice"], {}
                fifths = keys.setdefault(voice, key.fifths if key else 0)
            elif match["key"]:
                if match["key"].split()[0] in fifths_of:
                    fifths = keys[voice] = fifths_of[match["key"].split()[0]]
                    bar = {}
            elif match["rest"]:
                tied[voice] = {}
            elif match["grace"] or match["chord"] or match["note"]:
                text = match[0]
                whole_tie = bool(match["chord"]) and text.endswith("-")
                from_before = {} if match["grace"] else tied.get(voice, {})
                onward = {}
                for sign, letter, octave, tie in one.findall(text):
                    base = 60 + 12 * (letter.islower() + octave.count("'") - octave.count(","))
                    step = "C D EF G A B".index(letter.upper())
                    place = f"{base}{letter.upper()}"
                    order = "FCGDAEB".index(letter.upper())
                    alteration = bar.get(place, (fifths - order + 6) // 7)
                    if sign:
                        alteration = bar[place] = sign.count("^") - sign.count("_")
                    elif place in from_before:
                        alteration = from_before[place]
                    pitches.append(base + step + alteration)
                    if (tie or whole_tie) and not match["grace"]:
                        onward[place] = alteration
                if not match["grace"]:
                    tied[voice] = onward
    return pitches
