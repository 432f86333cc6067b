import re

import pytest

from notagen.metrics.notes import score_notes
from notagen.metrics.ranges import RANGES, RangeReport, check_ranges, pitch_name
from notagen.notation.interleave import parse_interleaved
from notagen.notation.part_names import INSTRUMENTS

UNPITCHED = {
    *("bass drum", "snare drum", "cymbals", "tam-tam", "tambourine"),
    *("wood block", "triangle", "castanets", "percussion"),
}


def judge(voices: str, bar: str, score: str = "") -> RangeReport:
    abc = f"{score}L:1/8\nM:4/4\nK:C\n{voices}\n{bar}\n"
    return check_ranges(parse_interleaved(abc), score_notes(abc))


def test_every_instrument_with_pitch_has_a_range() -> None:
    assert set(RANGES) == set(INSTRUMENTS) - UNPITCHED
    assert all(low >= 0 and low + 24 <= high <= 127 for low, high in RANGES.values())


@pytest.mark.parametrize(
    ("instrument", "low", "high"),
    [("violin", 55, 112), ("piano", 17, 108), ("flute", 58, 101), ("harp", 23, 104)],
)
def test_ranges_as_midi_numbers(instrument: str, low: int, high: int) -> None:
    assert RANGES[instrument] == (low, high)


def test_names_of_pitches() -> None:
    names = [pitch_name(pitch) for pitch in (0, 21, 58, 60, 73)]
    assert names == ["C-1", "A0", "Bb3", "C4", "C#5"]


@pytest.mark.parametrize(
    ("line", "music", "inside", "outside"),
    [
        # the lowest note of a violin is G3, of a viola C3
        ('nm="Violin"', "G,4 ^F,4", 1, 1),
        ('nm="Viola"', "C,4 B,,4", 1, 1),
        ('nm="Viola"', "[C,B,,]4 {B,,}c4", 2, 2),
        # tied notes are one note
        ('nm="Viola"', "B,,4-B,,4", 0, 1),
        # as it sounds: a clarinet's low E, an octave clef
        ('transpose=-2 nm="Bb Clarinet"', "E,4 C,4", 1, 1),
        ('treble-8 nm="Flute"', "_B4 A4", 1, 1),
        # one of several instruments is enough
        ('nm="Flute / Piccolo"', "B,4 c'''4", 2, 0),
        # not judged: names that say nothing, percussion
        ('nm="Mignon"', "C,,,8", 0, 0),
        ('nm="Horn, Drums"', "C,,,8", 0, 0),
        ('perc nm="Timpani"', "C8", 0, 0),
        ("", "C,,,8", 0, 0),
    ],
)
def test_notes_of_one_part(line: str, music: str, inside: int, outside: int) -> None:
    found = judge(f"V:1 {line}", f"[V:1]{music}|")
    assert found[:2] == (inside, outside)
    assert bool(found.problems) == bool(outside)


def test_a_problem_names_bar_voice_note_and_range() -> None:
    found = judge('V:1 treble nm="Violin 1"', "[V:1]c8|\n[V:1]F,4 E,4|")
    (problem,) = found.problems
    assert problem == (
        "bar 2, V:1: found F3, wanted Violin 1 between G3 and E8 (notes out of range: 2)"
    )


def test_all_voices_of_a_part_go_by_its_name() -> None:
    voices = 'V:1 treble nm="Harp"\nV:2 bass\nV:3 treble nm="Violin"\nV:4 treble'
    bar = "[V:1]c8|[V:2]B,,,,8|[V:3]c8|[V:4]B,,8|"
    # the left hand's B0 is a harp's lowest note; the violin's second voice has none so low
    found = judge(voices, bar, "%%score { 1 | 2 } ( 3 4 )\n")
    assert found[:2] == (3, 1)
    assert re.match(r"bar 1, V:4: found B2, wanted Violin ", found.problems[0])


def test_a_tenor_of_old_polyphony_is_no_singer() -> None:
    low = "[V:1]c8|[V:2]D,,8|"
    assert judge('V:1 treble nm="Soprano"\nV:2 bass nm="Tenor"', low)[:2] == (1, 1)
    assert judge('V:1 treble nm="Cantus I"\nV:2 bass nm="Tenor"', low)[:2] == (2, 0)
