"""Whether instruments and voices can play what is written for them: a table of sounding ranges.

Source: for flutes, double reeds and clarinets "Ranges of Orchestral Instruments" of the Orchestra
Library, orchestralibrary.com/reftables/rang.html; the others as they are commonly given, not
checked in one book. All are wider where real scores ask for it: what professionals reach, with
extensions (harmonics, a contrabass of five strings, the lowest keys of a large piano), all sizes
and historic kinds of an instrument that go by one name, and two habits of old scores: low horn
notes an octave below their sound, in the bass clef, and piccolos where they are read. Of the notes
of some 3,000 real scores 2 in 10,000 lie outside, most of them by a wrong clef or octave.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from notagen.metrics.notes import UNPITCHED, ScoreNote
from notagen.notation.keys import SEMITONES
from notagen.notation.musicxml.abc_layout import read_voice_lines
from notagen.notation.part_names import read_part_names
from notagen.notation.parts import voices_of_parts
from notagen.notation.tune import Tune

_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_TABLE = {
    "piccolo": "D4 C8",
    "flute": "Bb3 F7",
    "alto flute": "F3 C7",
    "bass flute": "B2 F6",
    "recorder": "F2 D8",
    "oboe": "A3 C7",
    "oboe d'amore": "G3 E6",
    "English horn": "E3 D6",
    "clarinet": "C#3 C7",
    "basset horn": "F2 C6",
    "bass clarinet": "Bb1 G5",
    "contrabass clarinet": "Bb0 F5",
    "bassoon": "A1 F5",
    "contrabassoon": "A0 E4",
    "soprano saxophone": "Ab3 Bb6",
    "alto saxophone": "Db3 F6",
    "tenor saxophone": "Ab2 D6",
    "baritone saxophone": "Ab1 A5",
    "saxophone": "Ab1 Bb6",
    "horn": "C1 C6",
    "trumpet": "Bb2 G6",
    "bass trumpet": "E2 F5",
    "cornet": "E3 E6",
    "trombone": "C1 G5",
    "Wagner tuba": "E1 F5",
    "tuba": "Bb0 D5",
    "timpani": "C2 E4",
    "glockenspiel": "F5 E8",
    "xylophone": "C4 C8",
    "vibraphone": "C3 C7",
    "marimba": "C2 C7",
    "celesta": "C3 C8",
    "piano": "F0 C8",
    "harpsichord": "F1 G6",
    "organ": "C1 C7",
    "harmonium": "F1 C7",
    "continuo": "C1 C7",
    "accordion": "E1 D7",
    "harp": "B0 G#7",
    "guitar": "B1 E6",
    "bass guitar": "B0 G4",
    "lute": "F1 G5",
    "violin": "G3 E8",
    "viola": "C3 A6",
    "viola d'amore": "A2 A6",
    "viola da gamba": "A1 A6",
    "cello": "C2 A6",
    "contrabass": "B0 C5",
    "strings": "B0 E8",
    "soprano": "G3 F6",
    "mezzo-soprano": "F3 C6",
    "alto": "D3 A5",
    "tenor": "A2 F5",
    "baritone": "F2 Bb4",
    "bass": "A1 G4",
    "voice": "A1 F6",
    "choir": "A1 F6",
}

_SINGERS = {"soprano", "mezzo-soprano", "alto", "tenor", "baritone", "bass"}
_OLD = re.compile(
    r"\b(?:cant(?:o|[uv]s)|superi[uv]s|discant[uv]s|alt[uv]s|bass?[uv]s|q[uv]int[ouv]s?"
    r"|sext[uv]s|contraten\w*|ct|tripl\w*|motet[uv]s)\b"
)
"""Voices of old polyphony: beside these a tenor is a line's place in the music, and no singer."""


def _midi(name: str) -> int:
    alteration = {"": 0, "#": 1, "b": -1}[name[1:-1]]
    return 12 * (int(name[-1]) + 1) + SEMITONES[name[0]] + alteration


RANGES = {
    instrument: (_midi(bounds.split()[0]), _midi(bounds.split()[1]))
    for instrument, bounds in _TABLE.items()
}
"""Lowest and highest sounding pitch as MIDI numbers, by what `read_part_names` calls them."""


class RangeReport(NamedTuple):
    """How the notes of a piece lie in the ranges of their instruments."""

    n_inside: int
    """Pitched notes and graces that their instrument has."""
    n_outside: int
    """Those that it lacks."""
    problems: tuple[str, ...]
    """A line for each part at fault."""


def check_ranges(tune: Tune, notes: Iterable[ScoreNote]) -> RangeReport:
    """Compare the notes of a piece with the ranges of the instruments that its parts name.

    All voices of a part go by its name. Of several instruments in one name each may play. Parts
    whose name says nothing, or also percussion, are not judged.

    Args:
        tune: Interleaved or reduced.
        notes: Its notes.
    """
    lines = read_voice_lines(tune.header)
    parts = voices_of_parts(tune)
    names = [
        next((lines[voice].name for voice in part if voice in lines and lines[voice].name), "")
        for part in parts
    ]
    old = any(_OLD.search(name.casefold()) for name in names)
    of_voice = defaultdict(list)
    for note in notes:
        if note.pitch != UNPITCHED:
            of_voice[note.voice].append(note)
    n_inside = n_outside = 0
    problems = []
    for part, name, instruments in zip(parts, names, read_part_names(names), strict=True):
        ranges = [RANGES.get("voice" if old and i in _SINGERS else i) for i in instruments]
        known = [bounds for bounds in ranges if bounds is not None]
        if not known or len(known) < len(ranges):
            continue
        lowest, highest = min(low for low, _ in known), max(high for _, high in known)
        own = [note for voice in part for note in of_voice[voice]]
        beyond = [note for note in own if not lowest <= note.pitch <= highest]
        n_inside += len(own) - len(beyond)
        n_outside += len(beyond)
        if beyond:
            first = min(beyond, key=lambda note: (note.bar, note.onset))
            problems.append(
                f"bar {first.bar}, V:{first.voice}: found {pitch_name(first.pitch)}, wanted {name} "
                f"between {pitch_name(lowest)} and {pitch_name(highest)} "
                f"(notes out of range: {len(beyond)})"
            )
    return RangeReport(n_inside, n_outside, tuple(problems))


def pitch_name(pitch: int) -> str:
    """Return the name of a MIDI number: 60 is `C4`."""
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"
