"""A MusicXML part read into bars of timed events: notes, rests, graces, and signs between them.

Times and lengths are whole ticks; the caller chooses so many to a quarter note that every
`<divisions>` of the score divides it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple
from xml.etree.ElementTree import Element

from notagen.foundation.errors import ConversionError
from notagen.notation.musicxml.barlines import BarlineReader
from notagen.notation.musicxml.directions import DirectionReader, Sign, harmony_text
from notagen.notation.musicxml.marks import HIDDEN_NOTE, NOTE_MARKS, NOTE_TYPES, TRILL_LINE

_MARKS = dict(NOTE_MARKS)
_MARK_ORDER = {path: place for place, (path, _) in enumerate(NOTE_MARKS)}
_MARK_GROUPS = {"articulations", "ornaments", "technical"}
_MAX_IN_MEASURE = 10_000
"""Notes and signs of a measure; the longest cadenza has a tenth of them."""
_DURATION = re.compile(r"\s*-?\d{1,12}(\.\d{0,9})?\s*", re.ASCII)


class Pitch(NamedTuple):
    """A written pitch, or the place of an unpitched note on its staff."""

    step: str
    alter: int
    octave: int
    tied: bool
    """A tie begins here."""
    shown: bool
    """The source shows an accidental."""


class Tuplet(NamedTuple):
    """The beginning of a tuplet's bracket."""

    number: str
    actual: int
    """0 where the source does not say."""
    normal: int


class Event:
    """A note, chord, rest or group of graces of one voice."""

    __slots__ = (
        "beam", "drift", "graces", "hidden", "marks", "onset", "pitches", "ratio", "slash",
        "slurs_begun", "slurs_ended", "staff", "ticks", "tuplets_begun", "tuplets_ended", "voice",
        "written",
    )  # fmt: skip

    def __init__(self, onset: int, ticks: int, staff: int, voice: str) -> None:
        self.onset, self.ticks, self.staff, self.voice = onset, ticks, staff, voice
        self.pitches: list[Pitch] = []
        """Empty for a rest."""
        self.graces: list[Event] = []
        """The notes and chords of a group of graces, which takes no time; empty for all else."""
        self.hidden = self.slash = False
        """Hidden: nothing is printed. Slash: a grace with a stroke through its stem."""
        self.ratio: tuple[int, int] | None = None
        """Of a tuplet: actual notes in the time of normal ones."""
        self.written: Fraction | None = None
        """Written length in quarters, where type and dots say it more exactly than `ticks`."""
        self.drift: Fraction | int = 0
        """Ticks that it lasts longer by that length."""
        self.tuplets_begun: list[Tuplet] = []
        self.tuplets_ended: list[str] = []
        self.marks: list[tuple[int, str]] = []
        self.slurs_begun = self.slurs_ended = 0
        self.beam = ""

    @property
    def end(self) -> int:
        """The tick at which it is over."""
        return self.onset + self.ticks


@dataclass
class Measure:
    """One `<measure>` of a part."""

    events: list[Event] = field(default_factory=list)
    """In the order of the document."""
    signs: list[Sign] = field(default_factory=list)
    barlines: BarlineReader = field(default_factory=BarlineReader)
    ticks: int = 0
    """Where its last note, rest or forward ends."""


class PartReader:
    """Reads the measures of one part.

    Args:
        ticks_per_quarter: A multiple of every `<divisions>` of the part.
    """

    def __init__(self, ticks_per_quarter: int) -> None:
        self._quarter = ticks_per_quarter
        self._scale = ticks_per_quarter
        self._directions = DirectionReader()

    def read(self, part: Element) -> Iterator[Measure]:
        """Yield the part's measures.

        Raises:
            ConversionError: If a number cannot be read or a pitch has no sign in ABC; the message
                begins with the measure.
        """
        for place, element in enumerate(part.iterfind("measure"), start=1):
            try:
                yield self._read_measure(element)
            except (ValueError, TypeError, ArithmeticError) as error:
                number = element.get("number", str(place))
                where = f"part {part.get('id', ''):.20}, measure {number:.20}"
                raise ConversionError(f"{where}: {error!s:.200}") from error

    def _read_measure(self, element: Element) -> Measure:
        measure = Measure()
        events, signs = measure.events, measure.signs
        now = 0
        drift = Fraction(0)
        last: Event | None = None
        graces: dict[str, Event] = {}
        for child in element:
            tag = child.tag
            if tag == "note":
                event, is_chord, is_grace = self._read_note(child, now, signs)
                if is_chord and last is not None:
                    event.ticks = event.ticks or last.ticks
                    if is_grace or (event.ticks, event.hidden) == (last.ticks, last.hidden):
                        _join_chord(last, event)
                        continue
                    event.onset = last.onset  # unlike the others: a voice of its own
                    events.append(event)
                elif is_grace or (event.ticks == 0 and event.pitches):
                    group = graces.get(event.voice)
                    if group is None or group.onset != now:
                        group = graces[event.voice] = Event(now, 0, event.staff, event.voice)
                        group.slash = event.slash
                        events.append(group)
                    group.graces.append(event)
                    last = event
                elif event.ticks > 0:
                    graces.pop(event.voice, None)
                    events.append(event)
                    now = event.end
                    drift += event.drift
                    last = event
            elif tag == "backup":
                now -= self._ticks(child.findtext("duration"))
                if now < self._quarter // 50:  # rounded another way than what it goes back over
                    now = 0
                drift = Fraction(0)
                last = None
            elif tag == "forward":
                now += self._ticks(child.findtext("duration"))
                last = None
            elif tag == "direction":
                signs += self._directions.read(child, now, self._ticks)
            elif tag == "attributes":
                divisions = child.findtext("divisions")
                if divisions is not None:
                    self._scale = self._quarter // int(divisions)
                signs += self._directions.read_attributes(child, now)
            elif tag == "barline":
                measure.barlines.read(child)
            elif tag == "harmony":
                staff = int(child.findtext("staff") or 1)
                at = now + self._ticks(child.findtext("offset"))
                signs.append(Sign(max(0, at), staff, None, "text", harmony_text(child)))
            elif tag == "sound":
                signs += self._directions.read_sound(child, now)
            if now + drift > measure.ticks:
                measure.ticks = round(now + drift)
        if len(events) + len(signs) > _MAX_IN_MEASURE:
            raise ConversionError(f"found more than {_MAX_IN_MEASURE} notes and signs")
        measure.signs = self._directions.settle(signs)
        return measure

    def _ticks(self, duration: str | None) -> int:
        if duration is None:
            return 0
        match = _DURATION.fullmatch(duration)
        if match is None:
            raise ConversionError(f"found a duration of {duration!r:.20}, wanted a number")
        if match[1]:
            return round(Fraction(duration.strip()) * self._scale)
        return int(duration) * self._scale

    def _read_note(self, note: Element, now: int, signs: list[Sign]) -> tuple[Event, bool, bool]:
        """Return the event of one `<note>`, and whether it belongs to a chord or is a grace."""
        event = Event(now, 0, 1, "1")
        is_chord = is_grace = tied = shown = False
        pitch: Element | None = None
        kind, dots, tremolo = "", 0, False
        event.hidden = note.get("print-object") == "no"
        for child in note:
            tag = child.tag
            if tag == "pitch" or tag == "unpitched":
                pitch = child
            elif tag == "duration":
                event.ticks = self._ticks(child.text)
            elif tag == "voice":
                event.voice = (child.text or "1").strip()
            elif tag == "type":
                kind = (child.text or "").strip()
            elif tag == "staff":
                event.staff = int(child.text or 1)
            elif tag == "beam":
                if child.get("number", "1") == "1":
                    event.beam = child.text or ""
            elif tag == "notations":
                tremolo_here, tied_here = self._read_notations(child, event, signs)
                tremolo, tied = tremolo or tremolo_here, tied or tied_here
            elif tag == "accidental":
                shown = True
            elif tag == "chord":
                is_chord = True
            elif tag == "dot":
                dots += 1
            elif tag == "time-modification":
                event.ratio = _ratio(child)
            elif tag == "tie":
                tied = tied or child.get("type") == "start"
            elif tag == "grace":
                is_grace = True
                event.slash = child.get("slash") == "yes"
        if pitch is not None:
            event.pitches.append(_read_pitch(pitch, tied, shown))
            if event.hidden:
                event.marks.append((-2, HIDDEN_NOTE))
        if event.ratio is not None:
            self._settle_ratio(event, event.ratio, NOTE_TYPES.get(kind), dots, tremolo)
        return event, is_chord, is_grace

    def _settle_ratio(
        self, event: Event, ratio: tuple[int, int], kind: Fraction | None, dots: int, tremolo: bool
    ) -> None:
        """Take a tremolo's 2:1 out of the ratio, and see whether the type says the length."""
        actual, normal = ratio
        if tremolo:
            halved = Fraction(actual, 2 * normal)
            actual, normal = halved.numerator, halved.denominator
        event.ratio = (actual, normal) if actual != normal else None
        if kind is None or event.ratio is None:
            return
        kind *= (2 - Fraction(1, 2**dots)) / (2 if tremolo else 1)
        for times in (1, Fraction(1, 2), Fraction(1, 4), 2, 4):  # some sources err by a beam or two
            wanted = kind * times * normal * self._quarter / actual
            if abs(wanted - event.ticks) < self._scale:
                if wanted != event.ticks:
                    event.written, event.drift = kind * times, wanted - event.ticks
                return

    def _read_notations(
        self, notations: Element, event: Event, signs: list[Sign]
    ) -> tuple[bool, bool]:
        """Add what stands at a note; return whether a two-note tremolo and a tie are among it."""
        tremolo = tied = False
        for child in notations:
            tag = child.tag
            if tag == "slur":
                kind = child.get("type")
                event.slurs_begun += kind == "start"
                event.slurs_ended += kind == "stop"
            elif tag == "tied":
                tied = tied or child.get("type") == "start"
            elif tag == "tuplet":
                if child.get("type") == "start":
                    event.tuplets_begun.append(_read_tuplet(child))
                else:
                    event.tuplets_ended.append(child.get("number", "1"))
            elif tag in _MARK_GROUPS:
                for mark in child:
                    if mark.tag == "tremolo":
                        kind = mark.get("type", "single")
                        tremolo = tremolo or kind in ("start", "stop")
                        strokes = "/" * _strokes(mark)
                        if strokes and kind != "stop":
                            text = f"!{strokes}{'-' if kind == 'start' else ''}!"
                            event.marks.append((-1, text))
                    elif mark.tag == "fingering":
                        if re.fullmatch(r"[0-5]", mark.text or ""):
                            event.marks.append((len(_MARK_ORDER), f"!{mark.text}!"))
                    elif mark.tag == "wavy-line":
                        line = TRILL_LINE.get(mark.get("type", ""))
                        event.marks += [(len(_MARK_ORDER), line)] if line else []
                    else:
                        _add_mark(event, f"{tag}/{mark.tag}")
            elif tag == "dynamics":
                signs += self._directions.read_dynamics(
                    child, event.onset, event.staff, event.voice
                )
            else:
                _add_mark(event, tag)
        return tremolo, tied


def _add_mark(event: Event, path: str) -> None:
    text = _MARKS.get(path)
    if text is not None:
        event.marks.append((_MARK_ORDER[path], text))


def _join_chord(chord: Event, note: Event) -> None:
    """Add a note to the chord it belongs to."""
    chord.pitches += note.pitches
    chord.slurs_begun += note.slurs_begun
    chord.slurs_ended += note.slurs_ended
    chord.marks += [mark for mark in note.marks if mark not in chord.marks]
    chord.tuplets_begun += note.tuplets_begun
    chord.tuplets_ended += note.tuplets_ended


def _read_pitch(pitch: Element, tied: bool, shown: bool) -> Pitch:
    prefix = "display-" if pitch.tag == "unpitched" else ""
    step = (pitch.findtext(f"{prefix}step") or ("E" if prefix else "")).strip()
    if len(step) != 1 or step not in "ABCDEFG":
        raise ConversionError(f"found step {step!r:.20}, wanted one of A to G")
    octave = int(pitch.findtext(f"{prefix}octave") or (4 if prefix else ""))
    alter = 0 if prefix else _read_alter(pitch.findtext("alter"))
    if abs(alter) > 2:  # there is no sign for it: the note's neighbour sounds the same
        step, alter, octave = _respelled(step, alter, octave)
    if not -2 <= octave <= 12:
        raise ConversionError(f"found octave {octave}, wanted 0 to 9")
    return Pitch(step, alter, octave, tied, shown and not prefix)


def _read_alter(text: str | None) -> int:
    if not text:
        return 0
    alter = float(text)
    if not (alter.is_integer() and -4 <= alter <= 4):
        raise ConversionError(
            f"found a note altered by {text.strip():.20} semitones, wanted a whole number"
        )
    return int(alter)


def _respelled(step: str, alter: int, octave: int) -> tuple[str, int, int]:
    """Return the next step up or down with fewer signs: B with three flats is A flat."""
    way = 1 if alter > 0 else -1
    place = 7 * octave + "CDEFGAB".index(step) + way
    semitones = 1 if {step, "CDEFGAB"[place % 7]} in ({"E", "F"}, {"B", "C"}) else 2
    return "CDEFGAB"[place % 7], alter - way * semitones, place // 7


def _ratio(modification: Element) -> tuple[int, int] | None:
    actual = int(modification.findtext("actual-notes") or 1)
    normal = int(modification.findtext("normal-notes") or 1)
    if not (0 < actual < 1000 and 0 < normal < 1000):
        raise ConversionError(f"found a tuplet {actual}:{normal}, wanted one of usual size")
    return (actual, normal) if actual != normal else None


def _read_tuplet(tuplet: Element) -> Tuplet:
    actual = int(tuplet.findtext("tuplet-actual/tuplet-number") or 0)
    normal = int(tuplet.findtext("tuplet-normal/tuplet-number") or 0)
    if not (0 < actual < 1000 and 0 < normal < 1000):
        actual = normal = 0
    return Tuplet(tuplet.get("number", "1"), actual, normal)


def _strokes(tremolo: Element) -> int:
    text = (tremolo.text or "").strip()
    return min(int(text), 8) if text.isascii() and text.isdigit() else 3
