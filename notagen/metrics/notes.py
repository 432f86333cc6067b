"""The notes of a tune, read without the converters, so that these can be checked by it."""

import re
from fractions import Fraction
from typing import NamedTuple

from notagen.foundation.errors import NotationError
from notagen.notation.durations import UNIT, event_durations, parse_metre
from notagen.notation.interleave import is_interleaved, parse_interleaved
from notagen.notation.keys import ALTERATIONS, SEMITONES, Place, parse_key, signature_alteration
from notagen.notation.lexer import FIELD, NOTE, tokens
from notagen.notation.musicxml.abc_layout import read_voice_lines
from notagen.notation.tune import Tune, parse_abc, voice_lines

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


class ScoreNote(NamedTuple):
    """A note as it sounds in the piece."""

    voice: str
    bar: int
    """From 1, where the note begins."""
    onset: Fraction
    """Whole notes since the piece began; a bar lasts as long as its longest voice."""
    pitch: int
    """Sounding MIDI number, 0 to 127; `UNPITCHED` for percussion."""
    duration: Fraction
    """In whole notes; tied notes are one note; 0 for a grace."""


def abc_notes(abc: str) -> list[Note]:
    """Return the notes of all voices.

    Args:
        abc: Standard, interleaved or reduced ABC; prompt lines and bar counters allowed.

    Raises:
        NotationError: If it cannot be read, or a note has no MIDI number.
    """
    _, readers = _read(abc)
    return [note for reader in readers.values() for note in reader.notes]


def score_notes(abc: str) -> list[ScoreNote]:
    """Return the notes of all voices as they sound, by onset; repeats are not played.

    Of notes with the same onset those of earlier voices come first, in a voice those written first.
    A tie joins the notes of one voice that follow one another at the same pitch; one that goes
    on in another voice, or nowhere, joins nothing.

    Args:
        abc: Standard, interleaved or reduced ABC; prompt lines and bar counters allowed.

    Raises:
        NotationError: If it cannot be read, or a note has no MIDI number.
    """
    tune, readers = _read(abc)
    starts = [Fraction(0)]
    for number in range(1, len(tune.bars) + 1):
        lengths = (readers[voice].lengths[number] for voice in tune.bars[number - 1])
        starts.append(starts[-1] + max(lengths, default=Fraction(0)))
    lines = read_voice_lines(tune.header)
    notes: list[ScoreNote] = []
    for voice in tune.voices:
        if voice in readers:
            transpose = lines[voice].transpose if voice in lines else 0
            notes += _sounding(voice, readers[voice], starts, transpose)
    return sorted(notes, key=lambda note: note.onset)


def _sounding(
    voice: str, reader: "_VoiceReader", starts: list[Fraction], transpose: int
) -> list[ScoreNote]:
    """Return the notes of a voice, tied ones joined, with the time at which the piece has them."""
    joined: dict[int, ScoreNote] = {}
    first: dict[int, int] = {}  # of a note at which a tie ends, the one where the sound began
    for place, (bar, at, pitch, length) in enumerate(reader.notes):
        begin = first.get(place, place)
        if place in reader.ties:
            first[reader.ties[place]] = begin
        if begin != place:
            note = joined[begin]
            joined[begin] = note._replace(duration=note.duration + length)
            continue
        if pitch != UNPITCHED:
            pitch = _checked(pitch + transpose, bar)
        joined[place] = ScoreNote(voice, bar, starts[bar - 1] + at, pitch, length)
    return list(joined.values())


def _checked(pitch: int, bar: int) -> int:
    """Return a MIDI number if it is one; below lies what stands for no pitch."""
    if not 0 <= pitch <= 127:
        raise NotationError(f"bar {bar}: found a note of MIDI number {pitch}, wanted 0 to 127")
    return pitch


def _read(abc: str) -> tuple[Tune, dict[str, "_VoiceReader"]]:
    tune = parse_interleaved(abc) if is_interleaved(abc) else parse_abc(abc)
    lines = voice_lines(tune.header)
    readers: dict[str, _VoiceReader] = {}
    for number, bar in enumerate(tune.bars, start=1):
        for voice, cell in bar.items():
            if voice not in readers:
                readers[voice] = _VoiceReader(tune, lines.get(voice, ""))
            readers[voice].read(number, cell.left + cell.music)
    return tune, readers


def _count_bars(rest: str) -> int:
    """Return how many bars a bar rest lasts: 3 for `Z3`."""
    count = rest[1:] or "1"
    if not count.isdecimal():
        raise NotationError(f"found {rest!r}, wanted a rest of whole bars")
    return int(count)


class _Tied(NamedTuple):
    """A note that a tie leaves."""

    alteration: int
    pitch: int
    note: int
    """Its place among the notes of the voice."""


class _VoiceReader:
    """Reads one voice, bar after bar, under its keys, clefs, accidentals and ties."""

    def __init__(self, tune: Tune, line: str) -> None:
        self.notes: list[Note] = []
        self.lengths: dict[int, Fraction] = {}
        """Of the bars in which the voice is written, in whole notes."""
        self.ties: dict[int, int] = {}
        """Places, among the notes, of the beginning and the end of each tie."""
        self._unit = parse_metre(tune.field("L") or "") or UNIT
        self._metre = parse_metre(tune.field("M") or "") or Fraction(1)
        self._fifths = self._octaves = 0
        self._pitched = True
        self._in_bar: dict[Place, int] = {}
        self._tied: dict[Place, _Tied] = {}
        """What reaches the event being read from the one before."""
        self._tying: dict[Place, _Tied] = {}
        """What reaches out from it to the next."""
        key = tune.field("K") or ""
        self._set_key(key)
        self._set_clef(key)
        self._set_clef(re.sub(r'"[^"]*"', "", line))

    def read(self, number: int, music: str) -> None:
        """Read a bar; ties break where bars of the voice are missing, for it rests there."""
        if number - 1 not in self.lengths:
            self._tying = {}
        durations = event_durations(music)
        at = end = Fraction(0)
        event: list[tuple[Place, _Tied]] = []
        in_chord = in_grace = False
        self._in_bar.clear()
        for kind, text in tokens(music):
            if kind in ("note", "rest", "chord_open") and not in_chord and not in_grace:
                self._tied, self._tying, event = self._tying, {}, []
                in_chord = kind == "chord_open"
                n_bars = _count_bars(text) if text[0] in "ZX" else 0
                at = end
                for _ in range(n_bars or 1):
                    length = next(durations)
                    end += self._metre if length is None else length * self._unit
            if kind == "note":
                place, alteration = self._read(text, in_grace=in_grace)
                letter, octave = place
                pitch = 12 * (octave + self._octaves + 5) + SEMITONES[letter] + alteration
                pitch = _checked(pitch, number) if self._pitched else UNPITCHED
                event.append((place, _Tied(alteration, pitch, len(self.notes))))
                if not in_grace:
                    self._end_tie(pitch)
                self.notes.append(
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
        self.lengths[number] = end

    def _end_tie(self, pitch: int) -> None:
        """Note that the next note ends a tie if one of its pitch, however spelled, reaches it."""
        for tied in self._tied.values():
            if tied.pitch == pitch and tied.note not in self.ties:
                self.ties[tied.note] = len(self.notes)
                return

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
            return place, self._tied[place].alteration
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
