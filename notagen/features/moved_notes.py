"""Single notes of a voice moved by semitones; every other note keeps its sound.

Notes that are tied together are one sound and move together. A voice is read once, sounds are
moved, and it is written anew note by note: accidentals that a moved note had left behind for
others are written at those others.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from notagen.notation.accidentals import (
    BARLINE,
    EVENT,
    SIGN_OF,
    TIE,
    TIE_ALL,
    Accidentals,
    format_place,
    read_pitch,
)
from notagen.notation.barlines import Bar
from notagen.notation.keys import SEMITONES, Place, parse_key, spelled
from notagen.notation.lexer import FIELD, Token, tokens
from notagen.notation.tune import Tune, voice_lines


class _Note(NamedTuple):
    """A note as it is written."""

    bar: int
    token: int
    """Its place among the bar's tokens."""
    signed: bool
    place: Place
    alteration: int
    pitch: int
    """In semitones from middle C, as written."""
    key: int
    """Signature over it, in fifths."""
    is_grace: bool
    event: int
    sound: int


class _Moved(NamedTuple):
    """Where a sound stands now."""

    place: Place
    alteration: int
    pitch: int


class MovableVoice:
    """One voice whose sounds can be moved. They are numbered as they begin.

    Args:
        bars: Each bar of the tune, or None where the voice is left out because it rests.
        key: Its first signature, in fifths.
        pitched: False for a percussion voice, of which nothing moves.

    Raises:
        NotationError: If a key in it cannot be read.
    """

    def __init__(self, bars: list[Bar | None], key: int, *, pitched: bool) -> None:
        self._key = key
        self._pitched = pitched
        self._bars: dict[int, list[Token]] = {}
        self._happenings: list[int] = []
        self._notes: list[_Note] = []
        self._first = [0]
        """Of each event, the number of its first note."""
        self._sounds: list[list[int]] = []
        """Numbers of the notes of each sound."""
        self._reached: dict[int, set[int]] = defaultdict(set)
        """Events that the ties of a sound reach."""
        self._reaching: dict[int, set[int]] = defaultdict(set)
        """Sounds whose ties reach an event."""
        self._moved: dict[int, _Moved] = {}
        self._page = Accidentals()
        for number, bar in enumerate(bars):
            if bar is not None:
                self._read(number, bar)
            else:
                self._happens(EVENT)  # a rest: no tie reaches over it
        self._first += [len(self._notes)] * 2  # a last tie reaches an event that is not there

    @property
    def sounds(self) -> range:
        """Numbers of all sounds that have a pitch."""
        return range(len(self._sounds) if self._pitched else 0)

    def move(self, sound: int, semitones: int) -> None:
        """Move a sound."""
        self._moved[sound] = self._after(sound, semitones)

    def can_move(self, sound: int, semitones: int) -> bool:
        """Tell whether a sound stands apart from those that begin or end with it, and still will.

        Those on its line, or of its pitch, would take its accidentals or ties for theirs, as in
        the unison `[CC]-`. A grace, which may be tied to its note, does not move alone.
        """
        notes = [self._notes[number] for number in self._sounds[sound]]
        if any(note.is_grace for note in notes):
            return False
        stands = (self._moved.get(sound, notes[0]), self._after(sound, semitones))
        for event in {note.event for note in notes} | self._reached.get(sound, set()):
            beside = self._notes[self._first[event] : self._first[event + 1]]
            ending = (self._notes[self._sounds[n][-1]] for n in self._reaching.get(event, ()))
            for note in (*beside, *ending):
                other = self._moved.get(note.sound, note)
                if note.sound != sound and any(
                    other.pitch == own.pitch or other.place == own.place for own in stands
                ):
                    return False
        return True

    def written(self) -> dict[int, str]:
        """Return the music of the bars that have changed, by their number from 0."""
        page = Accidentals()
        changed: dict[int, list[str]] = {}
        for what in self._happenings:
            if what < 0:
                page.happens(what)
                continue
            note = self._notes[what]
            moved = self._moved.get(note.sound)
            place, alteration = (moved or note).place, (moved or note).alteration
            implied = page.implied(place, note.key, grace=note.is_grace)
            signed = alteration != implied or (note.signed and not moved)
            page.note(place, alteration, note.sound, signed=signed)
            if moved or signed != note.signed:
                if note.bar not in changed:
                    changed[note.bar] = [text for _, text in self._bars[note.bar]]
                texts = changed[note.bar]
                length = texts[note.token][read_pitch(texts[note.token])[2] :]
                sign = SIGN_OF[alteration] if signed else ""
                texts[note.token] = sign + format_place(place) + length
        return {number: "".join(texts) for number, texts in changed.items()}

    def _after(self, sound: int, semitones: int) -> _Moved:
        first = self._notes[self._sounds[sound][0]]
        pitch = self._moved.get(sound, first).pitch + semitones
        # as the key spells it: nearest to it on the line of fifths, where the scale lies from one
        # below the tonic to five above; in C major C sharp, E flat, F sharp, A flat, B flat
        centre = first.key + 2
        letter, alteration = spelled(centre + (7 * pitch - centre + 6) % 12 - 6)
        octave = (pitch - SEMITONES[letter] - alteration) // 12
        return _Moved((letter, octave), alteration, pitch)

    def _happens(self, what: int) -> None:
        self._happenings.append(what)
        if what == EVENT:
            self._first.append(len(self._notes))
        for _, (_, sound) in self._page.happens(what):
            self._reached[sound].add(len(self._first))
            self._reaching[len(self._first)].add(sound)

    def _read(self, number: int, bar: Bar) -> None:
        self._happens(BARLINE)
        if bar.left:
            for field in FIELD.finditer(bar.left):
                self._read_field(field[0])
        self._bars[number] = tokens(bar.music)
        in_chord = in_grace = False
        for place, (kind, text) in enumerate(self._bars[number]):
            if kind in ("note", "rest", "chord_open") and not in_chord and not in_grace:
                self._happens(EVENT)
                in_chord = kind == "chord_open"
            if kind == "note":
                self._read_note(text, number, place, is_grace=in_grace)
            elif kind == "chord_close" and not in_grace:
                in_chord = False
            elif kind in ("grace_open", "grace_close"):
                in_grace = kind == "grace_open"
            elif kind == "tie":
                self._happens(TIE if in_chord or in_grace else TIE_ALL)
            elif kind == "field":
                self._read_field(text)

    def _read_note(self, text: str, bar: int, token: int, *, is_grace: bool) -> None:
        sign, place, _ = read_pitch(text)
        signed = sign is not None
        implied = self._page.implied(place, self._key, grace=is_grace)
        alteration = implied if sign is None else sign
        pitch = 12 * place[1] + SEMITONES[place[0]] + alteration
        sound = self._ending(pitch) if self._page.tied and not is_grace else None
        if sound is None:
            sound = len(self._sounds)
            self._sounds.append([])
        number, event = len(self._notes), len(self._first) - 1
        self._sounds[sound].append(number)
        self._happenings.append(number)
        self._page.note(place, alteration, sound, signed=signed)
        # as for tokens: a call of `_Note` would take twice the time
        note = bar, token, signed, place, alteration, pitch, self._key, is_grace, event, sound
        self._notes.append(tuple.__new__(_Note, note))

    def _ending(self, pitch: int) -> int | None:
        """Return the sound of that pitch, however spelled, whose tie ends here."""
        for _, sound in self._page.tied.values():
            last = self._notes[self._sounds[sound][-1]]
            if last.pitch == pitch and last.event != len(self._first) - 1:
                return sound
        return None

    def _read_field(self, text: str) -> None:
        match = FIELD.fullmatch(text)
        if match is None or match["name"] != "K":
            return
        value = match["value"].strip()
        key = parse_key(value)
        if key is not None or value.startswith("none"):
            self._key = key.fifths if key else 0
            self._happens(BARLINE)
        if "perc" in value:
            self._pitched = False


def movable_voices(tune: Tune, names: Iterable[str]) -> dict[str, MovableVoice]:
    """Return voices of an interleaved tune, ready for their sounds to be moved.

    Args:
        tune: Voices may be missing from bars in which they rest.
        names: Which voices, by their ids.

    Raises:
        NotationError: If a key in one of them cannot be read.
    """
    header_key = tune.field("K") or ""
    key = parse_key(header_key)
    # names are in quotes
    lines = {
        voice: re.sub(r'"[^"]*"', "", line) for voice, line in voice_lines(tune.header).items()
    }
    return {
        voice: MovableVoice(
            [bar.get(voice) for bar in tune.bars],
            key.fifths if key else 0,
            pitched="perc" not in header_key + lines.get(voice, ""),
        )
        for voice in names
    }


def with_moved(tune: Tune, voices: dict[str, MovableVoice]) -> Tune:
    """Return the tune with what has been moved in its voices.

    A note raised by a semitone: `FGFA` under `K:C` becomes `^FG=FA`.
    """
    bars = [dict(bar) for bar in tune.bars]
    for voice, movable in voices.items():
        for number, music in movable.written().items():
            bars[number][voice] = bars[number][voice]._replace(music=music)
    return Tune(tune.header, tuple(bars))
