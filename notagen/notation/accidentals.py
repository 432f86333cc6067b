"""How a note is written, and which accidentals and ties are in force where it stands."""

from functools import cache, lru_cache

from notagen.foundation.errors import NotationError
from notagen.notation.keys import ALTERATIONS, Place, signature_alteration
from notagen.notation.lexer import NOTE

SIGN_OF = {alteration: sign for sign, alteration in ALTERATIONS.items()}
"""The accidental of each alteration, in semitones."""

EVENT, BARLINE, TIE, TIE_ALL = range(-4, 0)
"""What happens in a voice besides notes: a note, chord or rest begins; a bar ends, or another key
begins; the last note of the event is tied to the next event; all its notes are."""

_signature = cache(signature_alteration)

Tied = tuple[Place, tuple[int, int]]
"""A note that is tied on: its place; its alteration, and the number that `Accidentals.note` was
given with it."""


class Accidentals:
    """What is in force at a place in one voice, as it stands on the page."""

    def __init__(self) -> None:
        self._in_bar: dict[Place, int] = {}
        self.tied: dict[Place, tuple[int, int]] = {}
        """Alteration and number of what reaches the event being read from the one before."""
        self._tying: dict[Place, tuple[int, int]] = {}
        """Of what reaches out from it to the next."""
        self._event: list[Tied] = []

    def happens(self, what: int) -> list[Tied]:
        """Note what is no note: `EVENT`, `BARLINE`, `TIE` or `TIE_ALL`; return what it ties.

        What an event ties reaches the next one, and no further.
        """
        if what == EVENT:
            self._event = []
            if self._tying or self.tied:
                self.tied, self._tying = self._tying, {}
        elif what == BARLINE:
            if self._in_bar:
                self._in_bar = {}
        else:
            tied = self._event[-1:] if what == TIE else self._event
            self._tying.update(tied)
            return tied
        return []

    def implied(self, place: Place, key: int, *, grace: bool) -> int:
        """Return the alteration of a note without a sign; graces are never at the end of a tie.

        A note at the end of a tie sounds as it did before, and leaves no accidental in the bar.

        Args:
            place: Of the note.
            key: Signature over it, in fifths.
            grace: Whether it is a grace.
        """
        if place in self.tied and not grace:
            return self.tied[place][0]
        if place in self._in_bar:
            return self._in_bar[place]
        return _signature(key, place[0])

    def note(
        self, place: Place, alteration: int, number: int = 0, *, signed: bool, tieable: bool = True
    ) -> None:
        """A note stands here; its sign, if it has one, holds to the end of the bar.

        Args:
            place: Of the note.
            alteration: In semitones.
            number: What it is known by where it is tied on.
            signed: Whether its accidental is written.
            tieable: Whether a tie that follows may begin here.
        """
        if signed:
            self._in_bar[place] = alteration
        if tieable:
            self._event.append((place, (alteration, number)))


@lru_cache(maxsize=2**12)
def read_pitch(text: str) -> tuple[int | None, Place, int]:
    """Return a note's sign as an alteration, or None, its place, and where its length begins.

    Raises:
        NotationError: If the text is no note.
    """
    match = NOTE.fullmatch(text)
    if match is None:
        raise NotationError(f"found {text!r}, wanted a note")
    octave = match["octave"].count("'") - match["octave"].count(",") + match["letter"].islower()
    sign = ALTERATIONS[match["accidental"]] if match["accidental"] else None
    return sign, (match["letter"].upper(), octave), match.start("length")


def format_place(place: Place) -> str:
    """Return a note's letter and octave as ABC."""
    letter, octave = place
    return letter.lower() + "'" * (octave - 1) if octave > 0 else letter + "," * -octave
