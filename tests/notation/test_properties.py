import re
from fractions import Fraction

from hypothesis import given

from notagen.notation.checks import check_alignment
from notagen.notation.clean import clean
from notagen.notation.durations import bar_duration
from notagen.notation.interleave import deinterleave, interleave, parse_interleaved
from notagen.notation.keys import KEYS, parse_key
from notagen.notation.rests import omit_rests, restore_rests
from notagen.notation.transpose import transpose
from tests.notation.tunes import interleaved_tunes


@given(interleaved_tunes())
def test_interleave_undoes_deinterleave(tune: str) -> None:
    assert interleave(deinterleave(tune)) == tune


@given(interleaved_tunes())
def test_restore_undoes_omit(tune: str) -> None:
    reduced = omit_rests(tune)
    assert restore_rests(reduced) == tune
    assert len(reduced) <= len(tune)
    assert omit_rests(reduced) == reduced
    assert len(parse_interleaved(reduced).bars) == len(parse_interleaved(tune).bars)


@given(interleaved_tunes())
def test_bars_stay_aligned_at_every_step(tune: str) -> None:
    assert check_alignment(tune).problems == ()
    for step in (omit_rests(tune), transpose(tune, "Gb"), interleave(clean(deinterleave(tune)))):
        assert check_alignment(step).problems == ()
        assert durations(step) == durations(tune)


@given(interleaved_tunes())
def test_cleaning_twice_is_cleaning_once(tune: str) -> None:
    once = clean(deinterleave(tune))
    assert clean(once) == once


@given(interleaved_tunes())
def test_transposing_moves_every_pitch_by_one_interval(tune: str) -> None:
    key = re.search(r"^K:(.*)$", tune, flags=re.MULTILINE)
    assert key
    own = parse_key(key[1])
    assert own
    for wanted in ("C", "Cb", "F#", own.signature):
        moved = transpose(tune, wanted)
        before, after = sounding(tune), sounding(moved)
        assert len(before) == len(after)
        assert len({(b - a) for a, b in zip(before, after, strict=True)}) <= 1
        assert all(-6 <= b - a <= 6 for a, b in zip(before, after, strict=True))
        assert not re.search(r"\^\^\^|___|\^_|_\^", unworded(moved))
        assert words(moved) == words(tune)
        new = parse_key(re.search(r"^K:(.*)$", moved, flags=re.MULTILINE)[1])  # type: ignore[index]
        assert new
        assert new.signature == wanted
        assert new.mode == own.mode


@given(interleaved_tunes())
def test_every_form_is_transposed_alike(tune: str) -> None:
    for key in ("Eb", "F#"):
        assert interleave(transpose(deinterleave(tune), key)) == transpose(tune, key)
        assert restore_rests(transpose(omit_rests(tune), key)) == transpose(tune, key)


def durations(tune: str) -> list[Fraction | None]:
    """How long the first voice lasts in each bar."""
    bars = parse_interleaved(tune).bars
    return [bar_duration(next(iter(bar.values())).music) for bar in bars]


def unworded(abc: str) -> str:
    return re.sub(r'"[^"]*"', "", abc)


def words(abc: str) -> list[str]:
    """Directions and names, which transposing leaves alone; chord symbols excepted."""
    return [word for word in re.findall(r'"[^"]*"', abc) if not re.match(r'"[A-G]', word)]


def sounding(tune: str) -> list[int]:
    """MIDI pitches of all notes, by the plainest reading of the standard that is possible.

    A second opinion on accidentals, written without the package's own transposer: an accidental
    holds for its letter and octave until the barline; a note that is tied to from the note or
    chord before keeps that one's alteration, and leaves the bar's accidentals as they are.
    """
    fifths_of = {name: 7 - i for i, name in enumerate(KEYS)}
    header_key = parse_key(re.search(r"^K:(.*)$", tune, flags=re.MULTILINE)[1])  # type: ignore[index]
    assert header_key
    keys: dict[str, int] = {}
    tied: dict[str, dict[str, int]] = {}
    pitches = []
    pattern = re.compile(
        r'\[V:(?P<voice>\d+)\]|"[^"]*"|![^!]*!|\[K:(?P<key>[^\]]*)\]|(?P<grace>\{[^}]*\})'
        r"|(?P<chord>\[[^\]]*\][\d/]*-?)|(?P<note>[\^_=]*[A-Ga-g][,']*[\d/]*-?)|(?P<rest>[zx])"
    )
    one = re.compile(r"([\^_=]*)([A-Ga-g])([,']*)[\d/]*(-?)")
    for line in tune.splitlines():
        if not line.startswith("[V:"):
            continue
        voice, bar = "1", {}
        for match in pattern.finditer(line):
            if match["voice"]:
                voice, bar = match["voice"], {}
                fifths = keys.setdefault(voice, header_key.fifths)
            elif match["key"]:
                if match["key"] in fifths_of:
                    fifths = keys[voice] = fifths_of[match["key"]]
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
