"""The notes of a tune, read without the converters, so that these can be checked by them."""

import re
from fractions import Fraction
from typing import NamedTuple

from notagen.foundation.errors import NotationError
from notagen.notation.durations import UNIT, event_durations, parse_metre
from notagen.notation.interleave import is_interleaved, parse_interleaved
from notagen.notation.keys import ALTERATIONS, SEMITONES, Place, parse_key, signature_alteration
from notagen.notation.lexer import FIELD, NOTE, tokens
from notagen.notation.rests import restore_rests
from notagen.notation.tune import Tune, parse_abc

UNPITCHED = -1
"""Stands for the pitch of a percussion note."""

_CLEF = re.compile(
    r"(?:^|[\s=])(?P<name>treble|bass|alto|tenor|perc|none)[1-5]?(?P<octaves>[+-](?:8|15))?(?=\s|$)"
)


class Note(NamedTuple):
    """A note as it stands in a part, before any transposition of the part."""

    bar: int
    """From 1."""
    at: Fraction
    """Time since the bar began, in whole notes."""
    pitch: int
    """MIDI number; middle C is 60."""
    length: Fraction
    """In whole notes; 0 for a grace."""


def abc_notes(abc: str) -> list[Note]:
    """Return the notes of all voices.

    Args:
        abc: Standard, interleaved or reduced ABC; prompt lines and bar counters allowed.

    Raises:
        NotationError: If it cannot be read.
    """
    tune = parse_interleaved(restore_rests(abc)) if is_interleaved(abc) else parse_abc(abc)
    notes = []
    for voice in tune.voices:
        reader = _VoiceReader(tune, voice)
        for number, bar in enumerate(tune.bars, start=1):
            if voice in bar:
                notes += reader.bar(number, bar[voice].left + bar[voice].music)
    return notes


class _VoiceReader:
    """Reads one voice, bar after bar, under its keys, clefs, accidentals and ties."""

    def __init__(self, tune: Tune, voice: str) -> None:
        self._unit = parse_metre(tune.field("L") or "") or UNIT
        self._metre = parse_metre(tune.field("M") or "") or Fraction(1)
        self._fifths = self._octaves = 0
        self._pitched = True
        self._in_bar: dict[Place, int] = {}
        self._tied: dict[Place, int] = {}
        """Alterations that reach the event being read from the one before."""
        self._tying: dict[Place, int] = {}
        """Alterations that reach out from it to the next."""
        key = tune.field("K") or ""
        self._set_key(key)
        self._set_clef(key)
        lines = (line[2:] for line in tune.header if line.startswith("V:"))
        line = next((line for line in lines if line.split()[:1] == [voice]), "")
        self._set_clef(re.sub(r'"[^"]*"', "", line))

    def bar(self, number: int, music: str) -> list[Note]:
        """Return the notes of a bar."""
        notes: list[Note] = []
        durations = event_durations(music)
        at = end = Fraction(0)
        event: list[tuple[Place, int]] = []
        in_chord = in_grace = False
        self._in_bar.clear()
        for kind, text in tokens(music):
            if kind in ("note", "rest", "chord_open") and not in_chord and not in_grace:
                self._tied, self._tying, event = self._tying, {}, []
                in_chord = kind == "chord_open"
                n_bars = int(text[1:] or 1) if text[0] in "ZX" else 0
                at = end
                for _ in range(n_bars or 1):
                    length = next(durations)
                    end += self._metre if length is None else length * self._unit
            if kind == "note":
                place, alteration = self._read(text, in_grace=in_grace)
                event.append((place, alteration))
                letter, octave = place
                pitch = 12 * (octave + self._octaves + 5) + SEMITONES[letter] + alteration
                pitch = pitch if self._pitched else UNPITCHED
                notes.append(
                    Note(number, end, pitch, Fraction(0))
                    if in_grace
                    else Note(number, at, pitch, end - at)
                )
            elif kind == "chord_close" and not in_grace:
                in_chord = False
            elif kind in ("grace_open", "grace_close"):
                in_grace = kind == "grace_open"
            elif kind == "tie":
                self._tying.update(event[-1:] if in_chord or in_grace else event)
            elif kind == "field":
                self._field(text)
        return notes

    def _read(self, text: str, *, in_grace: bool) -> tuple[Place, int]:
        match = NOTE.fullmatch(text)
        if match is None:
            raise NotationError(f"found {text!r}, wanted a note")
        letter, marks = match["letter"], match["octave"]
        place = letter.upper(), letter.islower() + marks.count("'") - marks.count(",")
        if not self._pitched:
            return place, 0
        if match["accidental"]:
            self._in_bar[place] = ALTERATIONS[match["accidental"]]
        elif place in self._tied and not in_grace:
            return place, self._tied[place]
        implied = signature_alteration(self._fifths, place[0])
        return place, self._in_bar.get(place, implied)

    def _field(self, text: str) -> None:
        match = FIELD.fullmatch(text)
        name, value = (match["name"], match["value"].strip()) if match else ("", "")
        if name == "K":
            self._set_key(value)
            self._set_clef(value)
        elif name == "M":
            self._metre = parse_metre(value) or Fraction(1)
        elif name == "L":
            self._unit = parse_metre(value) or UNIT

    def _set_key(self, value: str) -> None:
        key = parse_key(value)
        if key is not None or value.startswith("none"):
            self._fifths = key.fifths if key else 0
            self._in_bar.clear()

    def _set_clef(self, words: str) -> None:
        clef = _CLEF.search(words)
        if clef:
            self._pitched = clef["name"] != "perc"
            octaves = int(clef["octaves"] or 0)
            self._octaves = abs(octaves) // 7 * (1 if octaves > 0 else -1)
