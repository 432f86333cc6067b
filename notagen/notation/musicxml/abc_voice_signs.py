"""What stands between the notes of an ABC voice: decorations, words and inline fields."""

import re
from fractions import Fraction

from notagen.foundation.errors import NotationError
from notagen.notation.keys import Place, signature_alteration
from notagen.notation.lexer import FIELD
from notagen.notation.musicxml.abc_items import (
    Change,
    Direction,
    End,
    SpanEnd,
    VoiceBar,
    VoiceMusic,
    Written,
)
from notagen.notation.musicxml.abc_marks import (
    Mark,
    read_decoration,
    read_shorthand,
    read_words,
    sound_words,
)
from notagen.notation.musicxml.abc_signs import (
    Clef,
    KeySign,
    Metre,
    read_key,
    read_metre,
    read_tempo,
    read_unit,
)

_STAFF = re.compile(r"staff\s+([+-]?)(\d{1,2})\s*")
MAX_ITEMS = 500_000
"""Notes and marks of a tune; the longest symphony movements have a fifth of them."""
_MAX_MARKS = 32


class Reading:
    """What the voices of one tune share while they are read.

    Args:
        key: The header's key.
        metre: The header's metre, if it has one.
        unit: The header's unit note length.
    """

    def __init__(self, key: KeySign, metre: Metre | None, unit: Fraction) -> None:
        self.key, self.metre, self.unit = key, metre, unit
        self.tempi: set[tuple[int, Fraction, str]] = set()
        """Written so far: voices repeat them."""
        self._items = 0
        self._written: dict[Fraction, dict[str, Written]] = {}

    def next_serial(self) -> int:
        """Return the number of the next thing read; refuse a tune larger than any score."""
        self._items += 1
        if self._items > MAX_ITEMS:
            raise NotationError(f"found more than {MAX_ITEMS} notes and marks, wanted fewer")
        return self._items

    def notes_in(self, unit: Fraction) -> dict[str, Written]:
        """Return what is known of written notes in a unit note length."""
        return self._written.setdefault(unit, {})


class SignReader:
    """Reads all but the notes of a voice, and keeps what is in force: key, clef, metre, staff.

    Args:
        reading: What the voices share.
        number: Number of the voice in its part, from 1.
        staff: Its staff.
        n_staves: Staves of its part.
        clef: Its opening clef.
    """

    def __init__(
        self, reading: Reading, number: int, staff: int, n_staves: int, clef: Clef
    ) -> None:
        self._reading, self._voice = reading, number
        self._home = self._staff = staff
        self._n_staves = n_staves
        self._metre = reading.metre
        self._set_unit(reading.unit)
        self._set_clef(clef)
        self._set_key(reading.key)
        self._music = VoiceMusic()
        self._begin_bar(0, VoiceBar())

    def _begin_bar(self, number: int, bar: VoiceBar) -> None:
        self._bar_number, self._bar = number, bar
        self._at = Fraction(0)
        self._in_bar: dict[Place, int] = {}
        """Accidentals in force."""
        self._marks: list[str] = []
        """Note marks that wait for their note."""
        self._strokes = self._pair = ""
        """Of a tremolo that waits for its note; `_pair` for two notes."""
        self._jumps: list[tuple[Direction, str]] = []

    def _shorthand(self, text: str) -> None:
        self._mark(read_shorthand(text))

    def _decoration(self, text: str) -> None:
        self._mark(read_decoration(text[1:-1]))

    def _mark(self, mark: Mark) -> None:
        kind, value = mark
        if kind == "note":
            if value == "articulations/staccato" and self._marks[-1:] == ["articulations/tenuto"]:
                self._marks[-1] = "articulations/detached-legato"
            elif len(self._marks) < _MAX_MARKS:
                self._marks.append(value)
        elif kind == "dynamics":
            self._direct(f"<direction-type><dynamics>{value}</dynamics></direction-type>", "below")
        elif kind == "jump":
            self._direct(f"<direction-type>{value}</direction-type>", "above")
        elif kind == "sound":
            target, words, _ = sound_words(value)
            content = f"<direction-type><words>{words}</words></direction-type>"
            sound = f'<sound {value}="{target}"/>'
            self._jumps.append((self._direct(content, "above", sound), value))
        elif kind in ("open", "close"):
            self._span(int(value), opens=kind == "open")
        elif kind == "tremolo":
            self._strokes = value
        elif kind == "pair":
            self._pair = value
        elif kind == "times":
            self._bar.times = int(value)

    def _direct(self, content: str, placement: str, sound: str = "") -> Direction:
        direction = Direction(
            self._bar_number,
            self._at,
            self._voice,
            self._reading.next_serial(),
            self._staff,
            content,
            placement,
            sound,
        )
        self._bar.items.append(direction)
        return direction

    def _span(self, kind: int, *, opens: bool) -> None:
        end = SpanEnd(
            self._bar_number,
            self._at,
            self._voice,
            self._reading.next_serial(),
            self._staff,
            kind,
            opens,
        )
        self._bar.items.append(end)
        self._music.spans.append(End(opens, end))

    def _string(self, text: str) -> None:
        words = read_words(text[1:-1])
        if words is None:
            return
        direction = self._direct(words.content, words.placement)
        direction.words, direction.harmony = words.text, words.harmony

    def _merge_jumps(self, bar: VoiceBar) -> None:
        """Let words such as "D.C. al Fine" stand for themselves: `!D.C.!` beside them is sound."""
        if not self._jumps:
            return
        said: dict[Fraction, list[Direction]] = {}
        for item in bar.items:
            if isinstance(item, Direction) and item.words and len(said.get(item.at, ())) < 8:
                said.setdefault(item.at, []).append(item)
        for jump, attribute in self._jumps:
            pattern = sound_words(attribute)[2]
            for item in said.get(jump.at, ()):
                if not item.sound and pattern.search(item.words):
                    item.sound, jump.content, jump.sound = jump.sound, "", ""
                    break

    def _ending(self, text: str) -> None:
        if not self._at:
            self._bar.left += f"|{text[1:]}"

    def _field(self, text: str) -> None:
        match = FIELD.fullmatch(text)
        if match is None:
            return
        name, value = match["name"], match["value"].strip()
        if name == "K":
            key, clef = read_key(value)
            if key is not None:
                self._set_key(key)
                self._in_bar.clear()
            if clef is not None:
                self._set_clef(clef)
            if key is not None or clef is not None:
                self._change(clef=clef, key=key)
        elif name == "M":
            self._metre = read_metre(value)
            self._change(metre=self._metre)
        elif name == "L":
            self._set_unit(read_unit(value))
        elif name == "Q":
            tempo = read_tempo(value)
            mark = (self._bar_number, self._at, tempo.content if tempo else "")
            if tempo is not None and mark not in self._reading.tempi:
                self._reading.tempi.add(mark)
                self._direct(tempo.content, "above", tempo.sound)
        elif name == "I" and (staff := _STAFF.fullmatch(value)):
            number = int(staff[1] + staff[2]) + (self._staff if staff[1] else 0)
            if 1 <= number <= self._n_staves:
                self._staff = number

    def _change(
        self, *, clef: Clef | None = None, key: KeySign | None = None, metre: Metre | None = None
    ) -> None:
        self._bar.items.append(
            Change(
                self._bar_number,
                self._at,
                self._voice,
                self._reading.next_serial(),
                self._home,
                clef,
                key,
                metre,
            )
        )

    def _set_unit(self, unit: Fraction) -> None:
        self._unit = unit
        self._known = self._reading.notes_in(unit)

    def _set_clef(self, clef: Clef) -> None:
        self._octaves = clef.octaves
        self._unpitched = clef.sign == "percussion"

    def _set_key(self, key: KeySign) -> None:
        self._signature = {step: signature_alteration(key.fifths, step) for step in "ABCDEFG"}
