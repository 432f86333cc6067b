"""The 15 written keys, keys with modes, spelled pitches, and moves along the line of fifths."""

import re
from functools import lru_cache
from typing import NamedTuple

from notagen.foundation.errors import NotationError

KEYS = (
    "C#", "F#", "B", "E", "A", "D", "G", "C", "F", "Bb", "Eb", "Ab", "Db", "Gb", "Cb",
)  # fmt: skip
"""The 15 major keys that can be written, from seven sharps to seven flats."""

_LINE = "FCGDAEB"
_MODES = {
    "maj": 0, "ion": 0, "mix": -1, "dor": -2, "min": -3, "m": -3, "aeo": -3, "phr": -4,
    "loc": -5, "lyd": 1,
}  # fmt: skip
_KEY = re.compile(
    r"([A-G])([#b]?)(?:\s*((?:maj|ion|mix|dor|min|aeo|phr|loc|lyd)[a-z]*|m(?![a-z])))?(?![a-z])",
    re.I,
)
_NOT_A_KEY = re.compile(r"none|treble|bass|alto|tenor|perc|tab|clef|HP|Hp|middle|stafflines|octave")
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
"""Semitones from C up to each letter."""

CHORD_SYMBOL = re.compile(
    r"(?P<root>[A-G])(?P<sign>##?|bb?)?"
    r"(?P<kind>(?:[mM]aj|min|dim|aug|sus|add|alt|omit|no|[mMo+()^,]|[#b-]?\d+(?!\d))*)"
    r"(?:/(?P<bass>[A-G])(?P<bass_sign>##?|bb?)?)?"
)
"""The words of a chord symbol, such as `C#m7/G#`; other words are directions.

Words can be cut into its parts in one way only, so matching takes no longer than reading them.
"""

ALTERATIONS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
"""What the accidentals of ABC do to a letter, in semitones."""

Place = tuple[str, int]
"""A letter and an octave (the octave of middle C is 0); accidentals act on it within a bar."""


class Key(NamedTuple):
    """A key: its signature and the words that name it."""

    fifths: int
    """Sharps of the signature, flats counted negative: -7 to 7."""
    mode: str
    """As written: empty for major, `min`, `dor`, ..."""
    rest: str
    """What follows on the field, such as a clef."""

    @property
    def signature(self) -> str:
        """Name of the major key with the same signature; one of `KEYS`."""
        return KEYS[7 - self.fifths]

    @property
    def text(self) -> str:
        """The field's value: `F#min`, `Eb`, `C clef=bass`."""
        return spell(self.fifths - _mode_shift(self.mode)) + self.mode + self.rest


class Move:
    """What moving a tune does under one of its key signatures.

    Args:
        key: The signature, in fifths.
        shift: The tune's move along the line of fifths; up or down, whichever is nearer. A
            signature that would need more than seven accidentals is respelled.
    """

    def __init__(self, key: int, shift: int) -> None:
        self.key = key + shift
        """The new signature."""
        while not -7 <= self.key <= 7:
            self.key += 12 if self.key < 0 else -12
        self.shift = self.key - key
        self._semitones = _semitones(shift)

    def pitch(self, place: Place, alteration: int) -> tuple[Place, int]:
        """Return a pitch moved, respelled if it would get a triple accidental."""
        return _moved(place, alteration, self.shift, self._semitones)

    def respells(self, place: Place, alteration: int) -> bool:
        """Tell whether a pitch is respelled."""
        return abs(spelled(fifths_of(place[0], alteration) + self.shift)[1]) > 2

    def chord_symbol(self, words: str) -> str:
        """Return a chord symbol moved: two fifths up, `Am7/E` becomes `Bm7/F#`."""
        match = CHORD_SYMBOL.fullmatch(words)
        if match is None:
            return words
        root = _moved_name(match["root"], match["sign"], self.shift)
        if not match["bass"]:
            return root + match["kind"]
        return f"{root}{match['kind']}/{_moved_name(match['bass'], match['bass_sign'], self.shift)}"


def parse_key(value: str) -> Key | None:
    """Return the key of a `K:` field's value, or None if it names none (`none`, only a clef).

    `F#min` has 3 sharps: `Key(3, "min", "")`.

    Raises:
        NotationError: If the key has more than seven sharps or flats, or cannot be read.
    """
    value = value.strip()
    if not value or _NOT_A_KEY.match(value):
        return None
    match = _KEY.match(value)
    if match is None:
        raise NotationError(f"K:{value[:40]}: found no key, wanted one such as Eb or F#min")
    letter, sign, mode = match[1].upper(), match[2].lower(), match[3] or ""
    fifths = fifths_of(letter, {"#": 1, "b": -1, "": 0}[sign]) + _mode_shift(mode)
    if not -7 <= fifths <= 7:
        raise NotationError(f"K:{value[:40]}: found {abs(fifths)} accidentals, wanted at most 7")
    return Key(fifths, mode, value[match.end() :])


def key_fifths(name: str) -> int:
    """Return the sharps (flats negative) of one of the 15 written keys: `Eb` gives -3.

    Raises:
        NotationError: If `name` is not one of `KEYS`.
    """
    if name not in KEYS:
        raise NotationError(f"found key {name!r}, wanted one of {' '.join(KEYS)}")
    return 7 - KEYS.index(name)


def fifths_of(letter: str, alteration: int) -> int:
    """Return a spelled pitch class's place on the line of fifths: F -1, C 0, G 1, F sharp 6."""
    return _LINE.index(letter) - 1 + 7 * alteration


def spelled(fifths: int) -> tuple[str, int]:
    """Return letter and alteration of a place on the line of fifths; undoes `fifths_of`."""
    alteration, place = divmod(fifths + 1, 7)
    return _LINE[place], alteration


def spell(fifths: int) -> str:
    """Return the name of a place on the line of fifths: 6 gives `F#`, -9 gives `Bbb`."""
    letter, alteration = spelled(fifths)
    return letter + ("#" * alteration if alteration > 0 else "b" * -alteration)


def signature_alteration(fifths: int, letter: str) -> int:
    """Return what a key signature does to a letter: -1, 0 or 1."""
    return (fifths - _LINE.index(letter) + 6) // 7


def _mode_shift(mode: str) -> int:
    word = mode.lower()[:3]
    return _MODES["m" if word == "m" else word] if word else 0


@lru_cache(maxsize=2**14)
def _moved(place: Place, alteration: int, shift: int, semitones: int) -> tuple[Place, int]:
    letter, octave = place
    pitch = 12 * octave + SEMITONES[letter] + alteration + semitones
    fifths = fifths_of(letter, alteration) + shift
    new_letter, new_alteration = spelled(fifths)
    while abs(new_alteration) > 2:  # a triple accidental cannot be written
        fifths -= 12 if new_alteration > 0 else -12
        new_letter, new_alteration = spelled(fifths)
    new_octave = (pitch - SEMITONES[new_letter] - new_alteration) // 12
    return (new_letter, new_octave), new_alteration


def _semitones(shift: int) -> int:
    """Return how far a move along the line of fifths goes up, in semitones, -6 to 6.

    To the nearest octave; a tritone goes up with sharps and down with flats, so that the way back
    undoes it. Keys that are respelled on the way move just as far.
    """
    nearest = (7 * shift + 6) % 12 - 6
    return 6 if nearest == -6 and shift > 0 else nearest


def _moved_name(letter: str, sign: str | None, shift: int) -> str:
    signs = sign or ""
    fifths = fifths_of(letter, signs.count("#") - signs.count("b")) + shift
    while not -8 <= fifths <= 12:  # Fb to E#: names that readers know
        fifths += 12 if fifths < 0 else -12
    return spell(fifths)
