"""What a tune holds beside its words: a digest of its music alone, its staves, its instruments."""

import hashlib
import re
from fractions import Fraction
from functools import lru_cache

from notagen.foundation.errors import NotationError
from notagen.notation.durations import UNIT, event_durations, parse_metre
from notagen.notation.keys import parse_key, signature_alteration
from notagen.notation.lexer import FIELD, NOTE, tokens
from notagen.notation.tune import Tune

_SIGNS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_STAFF = re.compile(r"\(([^()]*)\)")
_NAME = re.compile(r'\bnm="([^"]*)"')

_Place = tuple[str, int]
_Event = tuple[tuple[int, ...], bool, str]
"""Pitches in semitones, whether they are tied on, and how long they last; graces last `grace`."""


def music_digest(tune: Tune) -> str:
    """Return 16 hexadecimal digits that stand for the notes of a tune and nothing else.

    Two tunes have the same digest if one is the other moved to any key, with other words, signs,
    slurs, beams, names, metres, barlines and spellings. Voices count in their order; resting ones
    do not count.

    Args:
        tune: With or without its rests.

    Raises:
        NotationError: If a length, a chord or a key cannot be read.
    """
    unit = (parse_metre(tune.field("L") or "") or UNIT) / UNIT
    key = parse_key(tune.field("K") or "")
    unpitched = _unpitched_voices(tune.header)
    voices = []
    first: int | None = None  # pitches are counted from it, so that the key does not matter
    for name in tune.voices:
        reader = _VoiceReader(key.fifths if key else 0, pitched=name not in unpitched)
        bars = [
            (number, events)
            for number, bar in enumerate(tune.bars)
            if name in bar and _sounds(events := reader.bar(bar[name].music, unit))
        ]
        if not bars:
            continue
        if first is None and reader.pitched:
            first = next(pitches[0] for _, events in bars for pitches, _, _ in events if pitches)
        from_first = first if first is not None and reader.pitched else 0
        voices.append(
            [
                (
                    number,
                    [(tuple(p - from_first for p in pitches), *rest) for pitches, *rest in bar],
                )
                for number, bar in bars
            ]
        )
    content = repr((len(tune.bars), voices))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def count_staves(tune: Tune) -> int:
    """Return how many staves a tune is written on: of `( 1 2 )` in `%%score`, both are on one."""
    score = next((line for line in tune.header if line.startswith(("%%score", "%%staves"))), "")
    voices = set(tune.voices)
    for group in _STAFF.findall(score):
        voices.difference_update(group.split()[1:])
    return len(voices)


def instruments(tune: Tune) -> tuple[str, ...]:
    """Return the names of a tune's parts, each once, in their order."""
    names = (_NAME.search(line) for line in tune.header if line.startswith("V:"))
    return tuple(dict.fromkeys(found[1].strip() for found in names if found and found[1].strip()))


class _VoiceReader:
    """Reads the pitches of one voice, bar after bar, under its keys, accidentals and ties."""

    def __init__(self, fifths: int, *, pitched: bool) -> None:
        self.pitched = pitched
        self._fifths = fifths
        self._in_bar: dict[_Place, int] = {}
        self._tied: dict[_Place, int] = {}
        """Alterations that reach the event being read from the one before."""
        self._tying: dict[_Place, int] = {}
        """Alterations that reach out from it to the next."""

    def bar(self, music: str, unit: Fraction) -> list[_Event]:
        """Return the events of one bar's music."""
        self._in_bar.clear()
        events: list[_Event] = []
        pitches: dict[_Place, tuple[int, int]] = {}
        durations = event_durations(music)
        in_chord = in_grace = False
        for kind, text in tokens(music):
            if kind == "field":
                self._field(text)
            elif kind == "barline":
                self._in_bar.clear()
            elif kind in ("grace_open", "grace_close"):
                in_grace = kind == "grace_open"
            elif in_grace:
                if kind == "note":
                    events.append(((self._note(text, grace=True)[2],), False, "grace"))
            elif kind in ("note", "rest", "chord_open") and not in_chord:
                self._tied, self._tying, pitches = self._tying, {}, {}
                in_chord = kind == "chord_open"
                length = next(durations, None)
                if length is not None and unit != 1:
                    length *= unit
                events.append(((), False, str(length)))
                if kind == "rest" and text[0] in "ZX":
                    for _ in range(int(text[1:5] or 1) - 1 if text[1:].isdigit() else 0):
                        next(durations, None)
            if kind == "note" and not in_grace:
                place, alteration, pitch = self._note(text, grace=False)
                pitches[place] = alteration, pitch
                events[-1] = (tuple(sorted(p for _, p in pitches.values())), *events[-1][1:])
            elif kind == "chord_close":
                in_chord = False
            elif kind == "tie" and not in_grace and pitches:
                last = next(reversed(pitches))
                held = [last] if in_chord else list(pitches)
                self._tying.update({place: pitches[place][0] for place in held})
                events[-1] = (events[-1][0], True, events[-1][2])
        return events

    def _note(self, text: str, *, grace: bool) -> tuple[_Place, int, int]:
        """Return a note's place, alteration and pitch in semitones."""
        place, sign, natural = _read_note(text)
        if not self.pitched:
            return place, 0, natural
        if sign is not None:
            alteration = self._in_bar[place] = sign
        elif place in self._tied and not grace:
            alteration = self._tied[place]
        elif place in self._in_bar:
            alteration = self._in_bar[place]
        else:
            alteration = signature_alteration(self._fifths, place[0])
        return place, alteration, natural + alteration

    def _field(self, text: str) -> None:
        match = FIELD.fullmatch(text)
        if match and match["name"] == "K":
            key = parse_key(match["value"])
            if key is not None or match["value"].strip().startswith("none"):
                self._fifths = key.fifths if key else 0
                self._in_bar.clear()


@lru_cache(maxsize=4096)
def _read_note(text: str) -> tuple[_Place, int | None, int]:
    """Return a note's place, the alteration that its sign gives, and its pitch without it."""
    match = NOTE.fullmatch(text)
    if match is None:
        raise NotationError(f"found {text!r}, wanted a note")
    letter = match["letter"].upper()
    octave = match["octave"].count("'") - match["octave"].count(",") + match["letter"].islower()
    sign = match["accidental"]
    place = letter, octave
    return place, None if sign is None else _SIGNS[sign], 12 * octave + _SEMITONES[letter]


def _sounds(events: list[_Event]) -> bool:
    return any(pitches for pitches, _, _ in events)


def _unpitched_voices(header: tuple[str, ...]) -> set[str]:
    lines = (line[2:].split() for line in header if line.startswith("V:"))
    return {words[0] for words in lines if {"perc", "clef=perc"} & set(words)}
