"""Clefs, keys, metres, tempi and note values of ABC, and how MusicXML writes them."""

import re
from fractions import Fraction
from typing import NamedTuple
from xml.sax.saxutils import escape

from notagen.foundation.errors import NotationError
from notagen.notation.durations import parse_metre
from notagen.notation.keys import parse_key
from notagen.notation.musicxml.marks import CLEFS

_CLEF_SIGNS = {name: (sign, line) for sign, line, name in CLEFS} | {"none": ("none", 0)}
_CLEF = re.compile(
    rf"(?:clef=)?(?P<name>{'|'.join(_CLEF_SIGNS)})(?P<line>[1-5])?(?P<octaves>[+-](?:8|15))?"
)
_MODES = {
    "": "major", "m": "minor", "maj": "major", "min": "minor", "ion": "ionian", "dor": "dorian",
    "phr": "phrygian", "lyd": "lydian", "mix": "mixolydian", "aeo": "aeolian", "loc": "locrian",
}  # fmt: skip
_TEMPO = re.compile(
    r'\s*(?:"(?P<before>[^"]*)")?\s*'
    r"(?:(?:(?P<top>\d{1,3})/(?P<bottom>\d{1,4})\s*=\s*)?(?P<beats>\d{1,4}(?:\.\d{1,4})?))?"
    r'\s*(?:"(?P<after>[^"]*)")?\s*'
)
_LENGTH = re.compile(r"(\d{1,4})(?:/(\d{1,5}))?")
_TYPES = (
    *("1024th", "512th", "256th", "128th", "64th", "32nd", "16th"),
    *("eighth", "quarter", "half", "whole", "breve", "long", "maxima"),
)
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Value(NamedTuple):
    """How a note of some length is drawn."""

    name: str
    """Its type without dots: `eighth`."""
    dots: int
    flags: int
    """Number of its beams: 1 for an eighth."""


VALUES = {
    Fraction(2) ** (place - 10) * (2 - Fraction(1, 2**dots)): Value(name, dots, max(0, 8 - place))
    for place, name in enumerate(_TYPES)
    for dots in range(4)
}
"""Note values by their length in whole notes; other lengths have none."""


class Clef(NamedTuple):
    """A clef as MusicXML names it."""

    sign: str
    line: int
    octaves: int
    """By how many octaves the notes sound higher than they are written in ABC."""

    def xml(self, staff: int | None) -> str:
        """Return the `<clef>` of a staff; None if the part has just one."""
        number = f' number="{staff}"' if staff else ""
        line = f"<line>{self.line}</line>" if self.line else ""
        change = f"<clef-octave-change>{self.octaves}</clef-octave-change>" if self.octaves else ""
        return f"<clef{number}><sign>{self.sign}</sign>{line}{change}</clef>"


TREBLE = Clef("G", 2, 0)


class KeySign(NamedTuple):
    """A key signature."""

    fifths: int
    mode: str

    def xml(self, staff: int | None) -> str:
        """Return the `<key>` of a staff; None if it is that of all staves."""
        number = f' number="{staff}"' if staff else ""
        return f"<key{number}><fifths>{self.fifths}</fifths><mode>{self.mode}</mode></key>"


class Metre(NamedTuple):
    """A metre."""

    length: Fraction | None
    """Of a bar in whole notes; None if bars are free."""
    xml: str
    """Its `<time>`."""


class Tempo(NamedTuple):
    """A tempo as a direction."""

    content: str
    """Its `<direction-type>` elements."""
    sound: str
    """Its `<sound>`, or nothing if only words are given."""


def words_xml(text: str) -> str:
    r"""Return words as they stand inside an element; `\n` is a line break there."""
    return escape(_UNPRINTABLE.sub("", text.replace("\\n", "\n")))


def find_clef(words: str) -> Clef | None:
    """Return the first clef among words such as `bass nm=...` or `clef=treble-8`, or None."""
    for word in words.split():
        match = _CLEF.fullmatch(word)
        if match:
            sign, line = _CLEF_SIGNS[match["name"]]
            octaves = int(match["octaves"] or 0)
            if match["line"] and line:
                line = int(match["line"])
            return Clef(sign, line, abs(octaves) // 7 * (1 if octaves > 0 else -1))
    return None


def read_key(value: str) -> tuple[KeySign | None, Clef | None]:
    """Return what a `K:` field says: a key, a clef, or both.

    Raises:
        NotationError: If the key cannot be read.
    """
    words = value.split()
    if not words:
        return None, None
    if words[0].lower() == "none":
        return KeySign(0, "none"), find_clef(" ".join(words[1:]))
    if _CLEF.fullmatch(words[0]):
        return None, find_clef(words[0])
    key = parse_key(value)
    if key is None:
        return None, find_clef(value)
    mode = _MODES.get(key.mode.lower()[:3] if key.mode != "m" else "m", "major")
    return KeySign(key.fifths, mode), find_clef(key.rest)


def read_metre(value: str) -> Metre:
    """Return the metre of an `M:` field's value.

    Raises:
        NotationError: If it is no metre.
    """
    value = value.strip()
    if value in ("none", ""):
        return Metre(None, "<time><senza-misura/></time>")
    length = parse_metre(value)
    if not length:
        raise NotationError(f"found metre {value[:40]!r}, wanted one such as 3/4")
    symbol = {"C": ' symbol="common"', "C|": ' symbol="cut"'}.get(value, "")
    beats, _, beat = {"C": "4/4", "C|": "2/2"}.get(value, value).partition("/")
    beats = beats.strip("()")
    return Metre(
        length, f"<time{symbol}><beats>{beats}</beats><beat-type>{beat}</beat-type></time>"
    )


def read_tempo(value: str) -> Tempo | None:
    """Return the tempo of a `Q:` field's value, or None if it says none that can be written."""
    match = _TEMPO.fullmatch(value)
    if match is None:
        return None
    content = sound = ""
    for words in (match["before"], match["after"]):
        if words and words.strip():
            content += f"<direction-type><words>{words_xml(words)}</words></direction-type>"
    beat = Fraction(1, 4)
    if match["top"]:
        beat = Fraction(int(match["top"]), int(match["bottom"]) or 1)
    beats, unit = match["beats"], VALUES.get(beat)
    if beats and float(beats) > 0 and beat:
        if unit:
            dots = "<beat-unit-dot/>" * unit.dots
            content += (
                f"<direction-type><metronome><beat-unit>{unit.name}</beat-unit>{dots}"
                f"<per-minute>{beats}</per-minute></metronome></direction-type>"
            )
        quarters = float(Fraction(beats) * beat * 4)
        sound = f'<sound tempo="{f"{quarters:.4f}".rstrip("0").rstrip(".")}"/>'
    return Tempo(content, sound) if content else None


def read_unit(value: str) -> Fraction:
    """Return the unit note length of an `L:` field's value.

    Raises:
        NotationError: If it is no fraction.
    """
    match = _LENGTH.fullmatch(value.strip())
    if match is None or int(match[1]) == 0 or int(match[2] or 1) == 0:
        raise NotationError(f"found unit note length {value[:40]!r}, wanted one such as 1/8")
    return Fraction(int(match[1]), int(match[2] or 1))
