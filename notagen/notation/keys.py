"""The 15 written keys, keys with modes, and spelled pitches on the line of fifths."""

import re
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
_NOT_A_KEY = re.compile(r"none|treble|bass|alto|tenor|perc|clef|HP|Hp|middle|stafflines|octave")


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
        raise NotationError(f"K:{value}: found no key, wanted one such as Eb or F#min")
    letter, sign, mode = match[1].upper(), match[2].lower(), match[3] or ""
    fifths = fifths_of(letter, {"#": 1, "b": -1, "": 0}[sign]) + _mode_shift(mode)
    if not -7 <= fifths <= 7:
        raise NotationError(f"K:{value}: found {abs(fifths)} accidentals, wanted at most 7")
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
