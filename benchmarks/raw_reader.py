"""A reader of raw MusicXML for judging the converters; it shares no code with them.

A document becomes counts of what stands where: notes, grace notes, ties, slurs, dynamics and other
marks, signatures and barlines. Two such records are compared place by place.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from anyascii import anyascii

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NO_ALTER = Fraction(0)

MARKS = (
    *("graces", "ties", "slurs", "whole slurs", "dynamics", "wedges", "words", "tempi"),
    *("articulations", "ornaments", "technical", "fermatas", "arpeggios", "glissandi"),
    *("pedals", "octave shifts", "signs", "harmonies", "rests"),
    *("keys", "times", "clefs", "barlines", "hidden barlines"),
)
"""Kinds of marks that a record counts."""


class Note(NamedTuple):
    """A note with a duration; invisible notes and cue notes are notes."""

    part: int
    bar: int
    onset: Fraction
    """In quarters from the start of the bar."""
    duration: Fraction
    midi: Fraction
    """As written, with its alteration; of unpitched notes the place on the staff."""
    alter: Fraction
    staff: int
    symbol: str
    """Note head value and dots, such as `quarter.`; empty if the file does not say."""
    pitched: bool


class Mark(NamedTuple):
    """Anything else that stands at a place; what it is, is its kind and its name."""

    part: int
    bar: int
    onset: Fraction
    name: str


@dataclass
class Record:
    """What a document holds."""

    notes: list[Note] = field(default_factory=list)
    marks: dict[str, list[Mark]] = field(default_factory=lambda: {kind: [] for kind in MARKS})
    bars: list[int] = field(default_factory=list)
    """Number of bars of each part."""
    alters: list[Fraction] = field(default_factory=list)
    """Alterations of all notes, grace notes among them."""


def read_file(path: Path) -> Record:
    """Return the record of a MusicXML file, plain or compressed."""
    return read_document(document_of(path))


def document_of(path: Path) -> bytes:
    """Return the MusicXML document of a file, taken out of its archive if it is one."""
    content = path.read_bytes()
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        container = ElementTree.fromstring(archive.read("META-INF/container.xml"))
        rootfile = next(e for e in container.iter() if e.tag.endswith("rootfile"))
        return archive.read(rootfile.attrib["full-path"])


def read_document(document: bytes | str) -> Record:
    """Return the record of a partwise MusicXML document."""
    root = ElementTree.fromstring(document)
    if "}" in root.tag:
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    record = Record()
    barlines: set[Mark] = set()
    for number, part in enumerate(root.findall("part")):
        reader = _PartReader(number, record)
        reader.read(part)
        barlines |= reader.barlines
    # a barline belongs to the whole score: some programs write it in the first part alone
    for mark in sorted(barlines):
        kind = "hidden barlines" if mark.name == "none" else "barlines"
        record.marks[kind].append(mark)
    return record


def fold(text: str) -> str:
    """Return text as it may stand in ABC: ASCII, no double quotes, single spaces."""
    folded = re.sub(r"[\x00-\x1f\x7f]", " ", anyascii(text))
    return " ".join(folded.replace('"', "'").split())


class _PartReader:
    """Reads one part; the state is what holds from one bar to the next."""

    def __init__(self, part: int, record: Record) -> None:
        self.part = part
        self.record = record
        self.barlines: set[Mark] = set()
        self._divisions = Fraction(1)
        self._staves = 1
        self._bar = 0
        self._cursor = self._onset = self._end = Fraction(0)
        self._named: set[str] = set()
        self._slurs: list[tuple[str, str, int, Fraction]] = []
        self._signatures: list[tuple[str, int, int, Fraction, str]] = []
        """Kind, staff, bar, onset, name."""
        self._bar_signatures: list[tuple[str, int, Fraction, str]] = []

    def read(self, part: Element) -> None:
        bars = part.findall("measure")
        self.record.bars.append(len(bars))
        for self._bar, measure in enumerate(bars):
            self._cursor = self._onset = self._end = Fraction(0)
            for element in measure:
                self._read_element(element)
            self._end_bar()
        self._pair_slurs()
        self._keep_changes()

    def _read_element(self, element: Element) -> None:
        match element.tag:
            case "note":
                self._note(element)
            case "backup":
                self._cursor = max(self._cursor - self._duration(element), Fraction(0))
            case "forward":
                self._cursor += self._duration(element)
                self._end = max(self._end, self._cursor)
            case "attributes":
                self._attributes(element)
            case "direction":
                self._direction(element)
            case "harmony":
                self._harmony(element)
            case "barline":
                self._barline(element)

    def _duration(self, element: Element) -> Fraction:
        return _number(element.findtext("duration", "0")) / self._divisions

    def _mark(self, kind: str, name: str, onset: Fraction | None = None) -> None:
        where = self._cursor if onset is None else onset
        self.record.marks[kind].append(Mark(self.part, self._bar, where, name))

    def _note(self, note: Element) -> None:
        grace = note.find("grace") is not None
        duration = Fraction(0) if grace else self._duration(note)
        if note.find("chord") is None:
            self._onset = self._cursor
            self._cursor += duration
            self._end = max(self._end, self._cursor)
            self._named = set()
        pitch = note.find("pitch")
        if pitch is None:
            pitch = note.find("unpitched")
        pitched = pitch is not None and pitch.tag == "pitch"
        if pitch is None:
            if note.get("print-object") != "no":
                self._mark("rests", "", self._onset)
        else:
            midi, alter = _midi(pitch)
            self.record.alters.append(alter)
            if grace:
                self._mark("graces", str(midi), self._onset)
            else:
                dots = "." * len(note.findall("dot"))
                symbol = note.findtext("type", "") + dots
                staff = int(note.findtext("staff", "1"))
                self.record.notes.append(
                    Note(
                        self.part,
                        self._bar,
                        self._onset,
                        duration,
                        midi,
                        alter,
                        staff,
                        symbol,
                        pitched,
                    )
                )
            if _ties(note):
                self._mark("ties", str(midi), self._onset)
        for notations in note.findall("notations"):
            for element in notations:
                self._notation(element)

    def _notation(self, element: Element) -> None:
        match element.tag:
            case "slur":
                type_ = element.get("type", "")
                if type_ == "start":
                    self._mark("slurs", "", self._onset)
                if type_ in ("start", "stop"):
                    number = element.get("number", "1")
                    self._slurs.append((number, type_, self._bar, self._onset))
            case "dynamics":
                self._dynamics(element, self._onset)
            case "articulations" | "ornaments" | "technical":
                for child in element:
                    self._note_mark(element.tag, _notation_name(child))
            case "fermata":
                self._note_mark("fermatas", element.tag)
            case "arpeggiate" | "non-arpeggiate":
                self._note_mark("arpeggios", element.tag)
            case "glissando" | "slide":
                if element.get("type") == "start":
                    self._note_mark("glissandi", element.tag)

    def _note_mark(self, kind: str, name: str) -> None:
        """Count a mark once a chord: some programs repeat it on every note."""
        if f"{kind} {name}" not in self._named:
            self._named.add(f"{kind} {name}")
            self._mark(kind, name, self._onset)

    def _dynamics(self, dynamics: Element, onset: Fraction) -> None:
        for sign in dynamics:
            name = sign.tag
            if name == "other-dynamics":
                name = fold(sign.text or "")
            self._mark("dynamics", name, onset)

    def _direction(self, direction: Element) -> None:
        onset = self._cursor + _number(direction.findtext("offset", "0")) / self._divisions
        for element in direction.iterfind("direction-type/*"):
            type_ = element.get("type", "")
            match element.tag:
                case "dynamics":
                    self._dynamics(element, onset)
                case "words":
                    # word by word: it does not matter how a text is cut into elements
                    for word in fold(element.text or "").split():
                        self._mark("words", word, onset)
                case "wedge" if type_ != "continue":
                    self._mark("wedges", type_, onset)
                case "metronome":
                    texts = (child.text or child.tag for child in element)
                    self._mark("tempi", " ".join(fold(text) for text in texts), onset)
                case "pedal" if type_ == "change":
                    self._mark("pedals", "stop", onset)
                    self._mark("pedals", "start", onset)
                case "pedal" if type_ != "continue":
                    down = type_ in ("start", "resume", "sostenuto")
                    self._mark("pedals", "start" if down else "stop", onset)
                case "octave-shift" if type_ != "continue":
                    name = type_ if type_ == "stop" else f"{type_} {element.get('size', '8')}"
                    self._mark("octave shifts", name, onset)
                case "segno" | "coda":
                    self._mark("signs", element.tag, onset)

    def _harmony(self, harmony: Element) -> None:
        onset = self._cursor + _number(harmony.findtext("offset", "0")) / self._divisions
        root = harmony.findtext("root/root-step", "") + harmony.findtext("root/root-alter", "")
        bass = harmony.findtext("bass/bass-step", "") + harmony.findtext("bass/bass-alter", "")
        self._mark("harmonies", f"{root} {harmony.findtext('kind', '')} {bass}", onset)

    def _attributes(self, attributes: Element) -> None:
        self._divisions = _number(attributes.findtext("divisions", str(self._divisions)))
        self._staves = int(attributes.findtext("staves", str(self._staves)))
        for key in attributes.findall("key"):
            mode = key.findtext("mode", "")
            name = "none" if mode == "none" else key.findtext("fifths", "free").strip()
            for staff in self._staves_of(key):
                self._bar_signatures.append(("keys", staff, self._cursor, name))
        for time in attributes.findall("time"):
            beats = [child.text or "" for child in time if child.tag in ("beats", "beat-type")]
            name = "/".join(beats).replace(" ", "") or "free"
            self._bar_signatures.append(("times", 1, self._cursor, name))
        for clef in attributes.findall("clef"):
            sign = clef.findtext("sign", "") + clef.findtext("line", "")
            name = f"{sign} {clef.findtext('clef-octave-change', '0')}"
            self._bar_signatures.append(("clefs", int(clef.get("number", "1")), self._cursor, name))

    def _staves_of(self, key: Element) -> range:
        number = key.get("number")
        return range(int(number), int(number) + 1) if number else range(1, self._staves + 1)

    def _end_bar(self) -> None:
        for kind, staff, onset, name in self._bar_signatures:
            # what stands at the end of a bar holds from the next one
            if onset and onset >= self._end:
                self._signatures.append((kind, staff, self._bar + 1, Fraction(0), name))
            else:
                self._signatures.append((kind, staff, self._bar, onset, name))
        self._bar_signatures = []

    def _keep_changes(self) -> None:
        """Keep the signatures that change something; programs differ in repeating them."""
        held: dict[tuple[str, int], str] = {}
        for kind, staff, bar, onset, name in sorted(self._signatures, key=lambda s: s[2:4]):
            if held.get((kind, staff)) != name:
                held[kind, staff] = name
                mark = Mark(self.part, bar, onset, f"staff {staff}: {name}")
                self.record.marks[kind].append(mark)

    def _barline(self, barline: Element) -> None:
        location = barline.get("location", "right")
        place = self._bar + (location == "right")  # number of bars to its left
        onset = self._cursor if location == "middle" else Fraction(0)
        for name in _barline_names(barline):
            self.barlines.add(Mark(0, place, onset, name))

    def _pair_slurs(self) -> None:
        """Count slurs with both ends: in the order of the document, then what is left over."""
        starts: dict[str, list[tuple[int, Fraction]]] = {}
        stops: dict[str, list[tuple[int, Fraction]]] = {}
        pairs: list[tuple[tuple[int, Fraction], tuple[int, Fraction]]] = []
        for number, type_, bar, onset in self._slurs:
            if type_ == "start":
                starts.setdefault(number, []).append((bar, onset))
            elif starts.get(number):
                pairs.append((starts[number].pop(), (bar, onset)))
            else:
                stops.setdefault(number, []).append((bar, onset))
        for number, left in stops.items():
            # a slur from a lower voice to an upper one is stopped before it starts
            pairs += zip(starts.get(number, []), left, strict=False)
        for (bar, onset), (end, _) in pairs:
            mark = Mark(self.part, bar, onset, f"to bar {end + 1}")
            self.record.marks["whole slurs"].append(mark)


@lru_cache(maxsize=4096)
def _number(text: str) -> Fraction:
    return Fraction(text.strip() or "0")


def _midi(pitch: Element) -> tuple[Fraction, Fraction]:
    display = "display-" if pitch.tag == "unpitched" else ""
    step = pitch.findtext(f"{display}step", "B").strip()
    octave = int(pitch.findtext(f"{display}octave", "4"))
    alter = _number(pitch.findtext("alter", "0"))
    return _STEPS[step] + 12 * (octave + 1) + alter, alter


def _ties(note: Element) -> bool:
    ties = [*note.findall("tie"), *note.findall("notations/tied")]
    return any(tie.get("type") == "start" for tie in ties)


def _notation_name(element: Element) -> str:
    if element.tag == "tremolo":
        return f"tremolo {element.get('type', 'single')} {(element.text or '').strip()}"
    if element.tag == "fingering":
        return f"fingering {(element.text or '').strip()}"
    if element.tag == "wavy-line":
        return f"wavy-line {element.get('type')}"
    return element.tag


def _barline_names(barline: Element) -> Iterator[str]:
    repeat, ending = barline.find("repeat"), barline.find("ending")
    style = barline.findtext("bar-style", "regular")
    if repeat is not None:
        yield f"repeat {repeat.get('direction')}"
        if int(repeat.get("times", "2")) > 2:
            yield f"played {repeat.get('times')} times"
    elif style != "regular":
        yield style
    if ending is not None:
        type_ = "start" if ending.get("type") == "start" else "end"
        numbers = ending.get("number", "").replace(" ", "")
        yield f"ending {type_} {numbers}"
    if barline.find("fermata") is not None:
        yield "fermata"
