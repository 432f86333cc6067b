"""What stands between the notes of a MusicXML part: keys, metres, clefs, tempo, words, dynamics."""

from collections.abc import Callable
from fractions import Fraction
from math import lcm
from typing import NamedTuple
from xml.etree.ElementTree import Element

from notagen.foundation.errors import ConversionError
from notagen.notation.durations import parse_metre
from notagen.notation.keys import Key
from notagen.notation.musicxml.marks import (
    CLEFS,
    DYNAMICS,
    HARMONIES,
    JUMPS,
    NOTE_TYPES,
    OTHER_DYNAMIC,
    SOUNDS,
    SPANS,
)

_SPANS = {element: (begin, end) for element, begin, end in SPANS}
_JUMPS = dict(JUMPS)
_HARMONIES = dict(HARMONIES)
_CLEFS = {(sign, line): name for sign, line, name in CLEFS}
_CLEF_NAMES = {"G": "treble", "F": "bass", "C": "alto", "percussion": "perc", "TAB": "tab"}
_MODES = {
    "minor": "min", "dorian": "dor", "phrygian": "phr", "lydian": "lyd", "mixolydian": "mix",
    "aeolian": "aeo", "locrian": "loc",
}  # fmt: skip
_SLOWEST, _FASTEST = 0.5, 1000
"""Beats a minute between which a tempo is written, as a whole number."""


class _Span(NamedTuple):
    """One end of a hairpin, a pedal or an octave line."""

    tag: str
    number: str
    kind: str
    """`stop`, or how it begins."""
    name: str
    """Its name in the table of spans, if it begins one."""

    @classmethod
    def read(cls, element: Element) -> "_Span":
        """Read a `<wedge>`, `<pedal>` or `<octave-shift>`."""
        tag, kind = element.tag, element.get("type", "")
        size = " 15" if element.get("size") == "15" else ""
        is_pedal = tag == "pedal" and kind in ("start", "change")
        name = "pedal start" if is_pedal else f"{tag} {kind}{size}"
        return cls(tag, element.get("number", "1"), kind, name)


class Sign(NamedTuple):
    """Something that stands at a time in a part."""

    at: int
    """Ticks from the beginning of the bar."""
    staff: int | None
    """None for the whole part."""
    voice: str | None
    """The voice that the source names, if any."""
    kind: str
    """`key`, `metre`, `clef`, `tempo` or `text`; `span` only until it is settled."""
    text: str
    """Its ABC: the value of a field, or text to stand before a note."""
    number: int = 0
    """A key's sharps, or the octaves a clef moves its notes by."""
    span: _Span | None = None
    """One end of a span whose text is not known yet; such a sign is of the kind `span`."""


class DirectionReader:
    """Reads the directions and attributes of one part; remembers which spans are open."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], str] = {}

    def read(self, direction: Element, now: int, ticks: Callable[[str | None], int]) -> list[Sign]:
        """Return the signs of a `<direction>`."""
        at = max(0, now + ticks(direction.findtext("offset")))
        staff = int(direction.findtext("staff") or 1)
        voice = direction.findtext("voice")
        place = "_" if direction.get("placement") == "below" else "^"
        sound = direction.find("sound")
        signs: list[Sign] = []
        texts: list[str | _Span] = []
        tempo = _tempo_of(sound)
        for group in direction.iterfind("direction-type"):
            for child in group:
                tag = child.tag
                if tag == "words" or tag == "rehearsal":
                    if words := _words(child.text):
                        texts.append(f'"{place}{words}"')
                elif tag == "dynamics":
                    texts += _dynamics(child)
                elif tag == "wedge" or tag == "pedal" or tag == "octave-shift":
                    texts.append(_Span.read(child))
                elif tag == "metronome":
                    tempo = _metronome(child) or tempo
                elif tag in _JUMPS:
                    texts.append(_JUMPS[tag])
        if tempo is not None:
            signs.append(Sign(at, staff, voice, "tempo", tempo))
        if sound is not None:
            texts += _jumps_of(sound)
        return signs + [
            Sign(at, staff, voice, "text", text)
            if isinstance(text, str)
            else Sign(at, staff, voice, "span", "", span=text)
            for text in texts
        ]

    def read_sound(self, sound: Element, now: int) -> list[Sign]:
        """Return the signs of a `<sound>` that stands alone."""
        tempo = _tempo_of(sound)
        signs = [] if tempo is None else [Sign(now, 1, None, "tempo", tempo)]
        return signs + [Sign(now, 1, None, "text", text) for text in _jumps_of(sound)]

    def read_dynamics(self, dynamics: Element, now: int, staff: int, voice: str) -> list[Sign]:
        """Return the signs of a `<dynamics>` among a note's notations."""
        return [Sign(now, staff, voice, "text", text) for text in _dynamics(dynamics)]

    def read_attributes(self, attributes: Element, now: int) -> list[Sign]:
        """Return the keys, metres and clefs of an `<attributes>`."""
        signs = []
        for child in attributes:
            tag = child.tag
            if tag == "key":
                staff = child.get("number")
                fifths, text = _key(child)
                signs.append(Sign(now, int(staff) if staff else None, None, "key", text, fifths))
            elif tag == "time":
                signs.append(Sign(now, None, None, "metre", _metre(child)))
            elif tag == "clef":
                text, octaves = _clef(child)
                signs.append(Sign(now, int(child.get("number", 1)), None, "clef", text, octaves))
        return signs

    def settle(self, signs: list[Sign]) -> list[Sign]:
        """Return a bar's signs in order of time, with both ends of spans as text.

        Which end belongs to which beginning follows from time: in the document a voice written
        later may begin what a voice before it ended.
        """
        ordered = sorted(
            enumerate(signs), key=lambda s: (s[1].at, s[1].span is None or s[1].span.kind != "stop")
        )
        settled: list[Sign] = []
        idle: dict[tuple[str, str, int], tuple[int, Sign]] = {}  # stops that ended nothing
        for place, sign in ordered:
            if sign.span is None:
                settled.append(sign)
                continue
            texts = self._ends(sign.span)
            settled += [sign._replace(kind="text", text=text, span=None) for text in texts]
            line = (sign.span.tag, sign.span.number, sign.at)
            if sign.span.kind == "stop":
                if not texts:
                    idle[line] = place, sign
            elif line in idle and idle[line][0] > place:  # begins and ends at the same moment
                _, stop = idle.pop(line)
                texts = self._ends(stop.span) if stop.span is not None else []
                settled += [stop._replace(kind="text", text=text, span=None) for text in texts]
        return settled

    def _ends(self, span: "_Span") -> list[str]:
        """Return the ABC of one end of a span, after that of an end that it brings about."""
        line = (span.tag, span.number)
        if span.kind == "stop":
            end = self._open.pop(line, None)
            return [] if end is None else [end]
        if span.name not in _SPANS:
            return []
        begin, end = _SPANS[span.name]
        texts = [self._open[line]] if line in self._open else []
        self._open[line] = end
        return [*texts, begin]


def harmony_text(harmony: Element) -> str:
    """Return the chord symbol of a `<harmony>`: `"C#m7/G"`; empty if it names no chord."""
    kind = harmony.findtext("kind") or ""
    root = harmony.find("root")
    if root is None or kind == "none":
        return ""
    symbol = _chord_note(root, "root") + _HARMONIES.get(kind, "")
    bass = harmony.find("bass")
    if bass is not None:
        symbol += f"/{_chord_note(bass, 'bass')}"
    return f'"{symbol}"'


def _chord_note(note: Element, name: str) -> str:
    alter = int(float(note.findtext(f"{name}-alter") or 0))
    step = (note.findtext(f"{name}-step") or "").strip()
    if len(step) != 1 or step not in "ABCDEFG":
        raise ConversionError(f"found a chord symbol of {step!r:.20}, wanted one of A to G")
    return step + {1: "#", -1: "b", 2: "##", -2: "bb"}.get(alter, "")


def _words(text: str | None) -> str:
    """Return words as ABC can hold them between quotes, on one line."""
    words = " ".join((text or "").replace('"', "'").replace("\\", " ").split())
    return words.replace("[V:", "[V ")  # only a voice mark may look like one


def _dynamics(dynamics: Element) -> list[str]:
    texts = []
    for child in dynamics:
        if child.tag in DYNAMICS:
            texts.append(f"!{child.tag}!")
        elif child.tag == "other-dynamics":
            words = _words(child.text)
            if OTHER_DYNAMIC.fullmatch(words):
                texts.append(f"!{words}!")
            elif words:
                texts.append(f'"@{words}"')
    return texts


def _jumps_of(sound: Element) -> list[str]:
    return [text for name, text in SOUNDS if sound.get(name, "no") not in ("", "no")]


def _tempo_of(sound: Element | None) -> str | None:
    """Return `1/4=92` for a sounding tempo; None for none, and for words in its place."""
    try:
        tempo = float((sound.get("tempo") if sound is not None else None) or 0)
    except ValueError:
        return None
    return f"1/4={tempo:.0f}" if _SLOWEST < tempo < _FASTEST else None


def _metronome(metronome: Element) -> str | None:
    """Return `3/8=60` for a metronome mark of a note and a number; None for other kinds."""
    unit = NOTE_TYPES.get((metronome.findtext("beat-unit") or "").strip())
    count = "".join(c for c in metronome.findtext("per-minute") or "" if c.isdigit() or c == ".")
    if unit is None or len(metronome.findall("beat-unit")) != 1:
        return None
    try:
        per_minute = float(count)
    except ValueError:
        return None
    dots = len(metronome.findall("beat-unit-dot"))
    unit *= (2 - Fraction(1, 2**dots)) / 4
    if not _SLOWEST < per_minute < _FASTEST:
        return None
    return f"{unit.numerator}/{unit.denominator}={per_minute:.0f}"


def _key(key: Element) -> tuple[int, str]:
    """Return the sharps of a key and its name; a key that ABC cannot name is C, without sharps."""
    fifths = int(key.findtext("fifths") or 0)
    if not -7 <= fifths <= 7:  # seen: 13 flats; the notes keep their own signs
        fifths = (fifths + 6) % 12 - 6
    mode = _MODES.get((key.findtext("mode") or "").strip(), "")
    return fifths, Key(fifths, mode, "").text


def _metre(time: Element) -> str:
    """Return the value of an `M:` field."""
    if time.find("senza-misura") is not None:
        return "none"
    beats = [(e.text or "").replace(" ", "") for e in time.iterfind("beats")]
    types = [(e.text or "").strip() for e in time.iterfind("beat-type")]
    if not beats or len(beats) != len(types):
        raise ConversionError("found a metre without beats, wanted beats and beat-type")
    for number in [*(b for beat in beats for b in beat.split("+")), *types]:
        if not (number.isascii() and number.isdigit() and 0 < int(number) <= 256):
            raise ConversionError(
                f"found metre {beats[0]:.20}/{types[0]:.20}, wanted whole numbers"
            )
    if len(set(types)) == 1:
        return f"{'+'.join(beats)}/{types[0]}"
    unit = lcm(*map(int, types))  # 3/4 and 3/8 together: 6+3/8
    counted = [
        sum(map(int, beat.split("+"))) * unit // int(kind)
        for beat, kind in zip(beats, types, strict=True)
    ]
    metre = f"{'+'.join(map(str, counted))}/{unit}"
    if parse_metre(metre) is None:
        raise ConversionError(f"found metre {metre:.40}, wanted one of usual size")
    return metre


def _clef(clef: Element) -> tuple[str, int]:
    """Return a clef's ABC name, and the octaves by which it moves its notes."""
    sign = (clef.findtext("sign") or "").strip()
    octaves = int(clef.findtext("clef-octave-change") or 0)
    line = (clef.findtext("line") or "").strip()
    if sign not in _CLEF_NAMES:
        return "none", 0
    if sign in ("percussion", "TAB"):
        return _CLEF_NAMES[sign], 0
    if not -2 <= octaves <= 2:
        raise ConversionError(f"found a clef {octaves} octaves off, wanted at most 2")
    line = line if line in ("1", "2", "3", "4", "5") else {"G": "2", "F": "4", "C": "3"}[sign]
    name = _CLEFS.get((sign, int(line)), f"{_CLEF_NAMES[sign]}{line}")
    suffix = {-2: "-15", -1: "-8", 1: "+8", 2: "+15"}.get(octaves, "")
    return name + suffix, octaves
