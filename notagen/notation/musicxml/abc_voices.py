"""A voice's bars of ABC read into events, directions and changes, each at its time.

Accidentals are read as `notation.transpose` does: they hold for letter and octave to the end of
the bar; a tie carries the pitch to the next event and leaves no accidental in the bar.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from math import lcm

from notagen.foundation.errors import NotationError
from notagen.notation.barlines import Bar
from notagen.notation.durations import parse_length
from notagen.notation.keys import ALTERATIONS, Place
from notagen.notation.lexer import NOTE, REST, tokens
from notagen.notation.musicxml.abc_grouping import Tuplets, beam
from notagen.notation.musicxml.abc_items import (
    End,
    Event,
    Note,
    VoiceBar,
    VoiceMusic,
    Written,
)
from notagen.notation.musicxml.abc_marks import HIDDEN, TRILL_ENDS
from notagen.notation.musicxml.abc_signs import Clef
from notagen.notation.musicxml.abc_voice_signs import Reading, SignReader

_MAX_GRAIN = 1 << 40
_MAX_SLURS = 16
_MAX_NUMBER = 16
_OF_EVENTS = (HIDDEN, *TRILL_ENDS)
"""Marks of a chord as a whole, wherever in it they stand."""
_ONE = Fraction(1)
_NO_TIME = Fraction(0)


class VoiceReader(SignReader):
    """Reads one voice.

    Args:
        reading: What the voices share.
        name: The voice's id, for messages.
        number: Its number in the part, from 1.
        staff: Its staff.
        n_staves: Staves of its part.
        clef: Its opening clef.
    """

    def __init__(
        self, reading: Reading, name: str, number: int, staff: int, n_staves: int, clef: Clef
    ) -> None:
        super().__init__(reading, number, staff, n_staves, clef)
        self._name = name
        self._tied: dict[Place, Note] = {}
        """Reaching the event being read from the one before."""
        self._tying: dict[Place, Note] = {}
        """Reaching out from the event read last."""
        self._last: Event | None = None
        self._timed: Event | None = None
        """The last one that is no grace."""
        self._trill = False
        """Whether the line after a trill is open."""
        self._slurs_open: list[bool] = []
        """Those that begin at the next event; true for dotted ones."""
        self._takers: dict[str, Callable[[str], None]] = {
            "note": self._note,
            "rest": self._rest,
            "space": self._space,
            "chord_open": self._open_chord,
            "chord_close": self._close_chord,
            "grace_open": self._open_grace,
            "grace_close": self._close_grace,
            "slur": self._slur,
            "tie": self._tie,
            "broken": self._break_rhythm,
            "tuplet": self._tuplet,
            "shorthand": self._shorthand,
            "decoration": self._decoration,
            "string": self._string,
            "field": self._field,
            "barline": lambda _: self._in_bar.clear(),
            "ending": self._ending,
            "other": _refuse,
        }

    def read(self, bars: Iterable[Bar]) -> VoiceMusic:
        """Return the voice's music.

        Raises:
            NotationError: If it cannot be read; the message names bar and voice.
        """
        for number, cell in enumerate(bars):
            try:
                self._read_bar(number, cell)
            except NotationError as error:
                message = f"bar {number + 1}, V:{self._name:.20}: {error}"
                raise NotationError(message[:300]) from error
        if self._trill and self._timed is not None:
            self._trill_line(self._timed)
        return self._music

    def _read_bar(self, number: int, cell: Bar) -> None:
        bar = VoiceBar(right=cell.barline)
        self._begin_bar(number, bar)
        self._music.bars.append(bar)
        self._held_marks: list[str] = []
        """Those that stood before a grace group or chord."""
        self._grace = ""
        self._chord: list[Note] | None = None
        self._chord_length: Fraction | None = None
        self._joined = False
        self._broken = _ONE
        self._tuplets = Tuplets()
        self._tremolo: tuple[Event, str] | None = None
        """First note of one on two notes."""
        self._events: list[Event] = []
        self._grace_events: list[list[Event]] = []
        takers = self._takers
        if cell.left:
            for kind, text in tokens(cell.left):
                if kind == "barline":
                    bar.left += text
                elif kind in takers:
                    takers[kind](text)
        for kind, text in tokens(cell.music):
            if kind in takers:
                takers[kind](text)
        if self._chord is not None:
            raise NotationError("found `[` without `]`")
        if self._grace:
            raise NotationError("found `{` without `}`")
        self._close_bar(bar)

    def _close_bar(self, bar: VoiceBar) -> None:
        bar.fermata = "fermata" in self._marks
        bar.length = self._at
        bar.n_events = len(self._events)
        self._tuplets.close()
        if self._tremolo is not None:  # its second note is missing
            event, strokes = self._tremolo
            event.marks.append(f'ornaments/tremolo type="single"={strokes}')
        beam(self._events)
        for group in self._grace_events:
            beam(group)
        self._merge_jumps(bar)

    def _note(self, text: str) -> None:
        written = self._known.get(text)
        if written is None:
            written = self._known[text] = self._read_note(text)
        place, sign, length = written
        if self._chord is not None:
            self._reading.next_serial()
            self._chord.append(self._pitch(place, sign))
            if self._marks:
                self._chord_marks += [mark for mark in self._marks if mark in _OF_EVENTS]
                self._chord[-1].marks = [mark for mark in self._marks if mark not in _OF_EVENTS]
                self._marks = []
            if self._chord_length is None:
                self._chord_length = length
        elif self._grace:
            self._add([self._pitch(place, sign)], length)
        else:
            self._begin_event()
            self._add([self._pitch(place, sign)], length)

    def _read_note(self, text: str) -> Written:
        match = NOTE.fullmatch(text)
        if match is None:
            raise NotationError(f"found {text[:40]!r}, wanted a note")
        letter = match["letter"]
        octave = match["octave"].count("'") - match["octave"].count(",") + letter.islower()
        length = parse_length(match["length"]) * self._unit
        return (letter.upper(), octave), match["accidental"], length

    def _pitch(self, place: Place, sign: str | None) -> Note:
        tied = None if self._grace else self._tied.get(place)
        octave = 4 + place[1] + self._octaves
        if not 0 <= octave <= 9:
            raise NotationError(f"found a note in octave {octave}, wanted one in 0 to 9")
        if self._unpitched:
            alter, sign = 0, None
        elif sign is not None:
            alter = self._in_bar[place] = ALTERATIONS[sign]
        elif tied is not None:
            alter = tied.alter
        else:
            in_bar = self._in_bar.get(place)
            alter = self._signature[place[0]] if in_bar is None else in_bar
        note = Note(place, octave, alter, sign)
        if tied is not None and tied.alter == alter and tied.octave == octave:
            note.ends_tie = tied.tie_met = True
        return note

    def _begin_event(self) -> None:
        """What the event before tied reaches this one, and no further."""
        if self._tied or self._tying:
            self._tied, self._tying = self._tying, {}

    def _add(self, notes: list[Note], written: Fraction, *, rest: str = "") -> Event:
        """Add an event that takes the marks and slurs that were waiting for it."""
        length = _NO_TIME
        fills_bar = rest in ("Z", "X")
        if fills_bar:
            length = written
        elif not self._grace:
            if self._broken is not _ONE:
                written, self._broken = written * self._broken, _ONE
            length = written * self._tuplets.factor if self._tuplets.open else written
        event = Event(
            self._bar_number,
            self._at,
            self._voice,
            self._reading.next_serial(),
            self._staff,
            length,
            written,
            notes,
            pitched=not self._unpitched,
            hidden=rest in ("x", "X"),
            fills_bar=fills_bar,
            grace=self._grace,
            joined=self._joined,
        )
        self._joined = bool(notes)
        if self._marks:
            self._give_marks(event)
        if self._slurs_open:
            self._music.slurs += [End(True, event, dotted) for dotted in self._slurs_open]
            self._slurs_open = []
        self._bar.items.append(event)
        self._last = event
        if self._grace:
            self._grace_events[-1].append(event)
            return event
        if self._tuplets.open and not fills_bar:
            self._tuplets.take(event)
        if notes and (self._strokes or self._pair or self._tremolo):
            self._add_tremolo(event)
        self._events.append(event)
        self._timed = event
        self._at += length
        if self._bar.grain % length.denominator:
            self._grow_grain(length)
        return event

    def _give_marks(self, event: Event) -> None:
        marks, self._marks = self._marks, []
        for mark in marks:
            if mark == HIDDEN:
                event.hidden = True
            elif mark not in TRILL_ENDS:
                event.marks.append(mark)
            elif (mark == TRILL_ENDS[True]) != self._trill:
                self._trill_line(event)

    def _trill_line(self, event: Event) -> None:
        """Begin or end the line after a trill at a note."""
        self._trill = not self._trill
        end, number = "start" if self._trill else "stop", min(self._voice, _MAX_NUMBER)
        event.marks.append(f'ornaments/wavy-line type="{end}" number="{number}"')

    def _grow_grain(self, length: Fraction) -> None:
        self._bar.grain = lcm(self._bar.grain, length.denominator)
        if self._bar.grain > _MAX_GRAIN:
            raise NotationError("found lengths too unlike for one bar, wanted a common fraction")

    def _add_tremolo(self, event: Event) -> None:
        if self._tremolo is not None:
            first, strokes = self._tremolo
            self._tremolo = None
            for member, end in ((first, "start"), (event, "stop")):
                # both are drawn with the length of the two together
                member.written *= 2
                member.actual *= 2
                member.marks.append(f'ornaments/tremolo type="{end}"={strokes}')
        if self._pair:
            self._tremolo, self._pair = (event, self._pair), ""
        if self._strokes:
            event.marks.append(f'ornaments/tremolo type="single"={self._strokes}')
            self._strokes = ""

    def _rest(self, text: str) -> None:
        match = REST.fullmatch(text)
        if match is None or self._grace:
            return
        kind, length = match["kind"], match["length"]
        if kind in "zx":
            written = parse_length(length) * self._unit
        else:
            bars = int(length or 1) if len(length) < 4 and "/" not in length else 0
            if not bars:
                raise NotationError(f"found {text[:20]!r}, wanted bars to rest, such as Z or Z4")
            metre = self._metre.length if self._metre is not None else None
            written = (metre or _ONE) * bars
        if self._chord is not None:
            self._chord_length = self._chord_length or written
            return
        self._begin_event()
        self._add([], written, rest=kind)

    def _space(self, text: str) -> None:
        if text.strip("`\\$"):
            self._joined = False

    def _open_chord(self, _: str) -> None:
        if self._chord is not None:
            raise NotationError("found `[` inside a chord")
        if not self._grace:
            self._begin_event()
        self._chord, self._chord_length = [], None
        self._chord_marks, self._marks = self._marks, []
        self._chord_ties: list[Note] = []
        self._chord_closes: list[bool] = []

    def _close_chord(self, text: str) -> None:
        if self._chord is None or self._chord_length is None:
            raise NotationError("found `]`, wanted notes of a chord before it")
        notes, self._chord = self._chord, None
        self._marks = self._chord_marks + self._marks
        factor = parse_length(text[1:])
        event = self._add(notes, self._chord_length * factor)
        self._music.ties += [(note, event) for note in self._chord_ties]
        for dotted in self._chord_closes:
            self._music.slurs.append(End(False, event, dotted))

    def _open_grace(self, text: str) -> None:
        if self._grace or self._chord is not None:
            raise NotationError("found `{` inside a chord or grace group")
        self._grace = '<grace slash="yes"/>' if text == "{/" else "<grace/>"
        self._held_marks, self._marks = self._marks, []
        self._held_joined, self._joined = self._joined, False
        self._grace_events.append([])

    def _close_grace(self, _: str) -> None:
        if not self._grace or self._chord is not None:
            raise NotationError("found `}` without `{`")
        self._grace = ""
        self._marks = self._held_marks
        self._joined = self._held_joined

    def _slur(self, text: str) -> None:
        dotted = text[0] == "."
        if text[-1] == "(":
            if len(self._slurs_open) < _MAX_SLURS:
                self._slurs_open.append(dotted)
        elif self._chord is not None:
            self._chord_closes.append(dotted)
        elif self._last is not None:
            self._music.slurs.append(End(False, self._last, dotted))

    def _tie(self, _: str) -> None:
        if self._chord is not None:
            ends = [note for note in self._chord[-1:] if not note.ties]
            self._chord_ties += ends
        else:
            event = self._last if self._grace else self._timed
            if event is None:
                return
            ends = [note for note in event.notes if not note.ties]
            self._music.ties += [(note, event) for note in ends]
        for note in ends:
            note.ties = True
            self._tying[note.place] = note

    def _break_rhythm(self, text: str) -> None:
        if self._grace or self._chord is not None or not self._events:
            return
        short = Fraction(1, 2 ** min(len(text), 4))
        first, second = (2 - short, short) if text[0] == ">" else (short, 2 - short)
        last = self._events[-1]
        if last.fills_bar:
            return
        self._at += last.length * first - last.length
        last.length *= first
        last.written *= first
        self._broken = second
        self._grow_grain(last.length)

    def _tuplet(self, text: str) -> None:
        if not self._grace and self._chord is None:
            self._tuplets.begin(text)


def _refuse(text: str) -> None:
    """Refuse what would make other music of what follows; other strays mean nothing."""
    if text == '"':
        raise NotationError("found a quote that is never closed")
    if text == "&":
        raise NotationError("found `&`, wanted one voice")
