"""How long music text lasts, in exact fractions of a whole note."""

import re
from collections.abc import Iterator
from fractions import Fraction

from notagen.foundation.errors import NotationError
from notagen.notation.lexer import NOTE, REST, TUPLET, tokens

UNIT = Fraction(1, 8)
"""Unit note length of the corpus: `L:1/8`."""

_LENGTH = re.compile(r"(\d*)(/*)(\d*)")
_TUPLET_TIME = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}
_MAX_NUMBER = 100_000


def parse_length(text: str) -> Fraction:
    """Return the factor that a note's length stands for: `3/2` is 3/2, `//` is 1/4, empty is 1.

    Raises:
        NotationError: If it is zero, divides by zero or is absurdly large.
    """
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise NotationError(f"found length {text!r}, wanted one such as 2, 3/2 or /")
    numerator, slashes, denominator = match.groups()
    top = int(numerator[:9] or 1)
    bottom = int(denominator[:9]) if denominator else 2 ** min(len(slashes), 20)
    if not (0 < top < _MAX_NUMBER and 0 < bottom < _MAX_NUMBER * 20):
        raise NotationError(f"found length {text!r}, wanted a positive number of usual size")
    return Fraction(top, bottom)


def format_length(factor: Fraction) -> str:
    """Return the shortest text of a length factor; undoes `parse_length`: 1/2 gives `/`."""
    top = "" if factor.numerator == 1 else str(factor.numerator)
    if factor.denominator == 1:
        return top
    return f"{top}/" if factor.denominator == 2 else f"{top}/{factor.denominator}"


def parse_metre(value: str) -> Fraction | None:
    """Return the bar length that an `M:` field's value asks for; None if it asks for none.

    `3/4` gives 3/4, `C` gives 1, `2+3/8` gives 5/8, `none` gives None.
    """
    value = value.strip()
    if value in ("C", "C|"):
        return Fraction(1)
    match = re.fullmatch(r"\(?(\d{1,3}(?:\+\d{1,3})*)\)?/(\d{1,3})", value)
    if match is None or int(match[2]) == 0:
        return None
    return Fraction(sum(map(int, match[1].split("+"))), int(match[2]))


def bar_duration(
    music: str, *, unit: Fraction = UNIT, metre: Fraction | None = None
) -> Fraction | None:
    """Return how long the music text of one voice's bar lasts, in whole notes.

    Counted are notes, chords (by their first note), rests, tuplets (nested ones too) and broken
    rhythm; graces take no time. `c2 (3def z/` lasts 9/16 at a unit of 1/8.

    Args:
        music: Text without voice mark; barlines in it are passed over.
        unit: Unit note length.
        metre: Length of a `Z` or `X` rest, which fills bars; unknown if None.

    Returns:
        The duration, or None if it cannot be known (a bar rest without `metre`).

    Raises:
        NotationError: If a length or a chord cannot be read.
    """
    total = Fraction(0)
    for duration in event_durations(music):
        if duration is not None:
            total += duration * unit
        elif metre is None:
            return None
        else:
            total += metre
    return total


def event_durations(music: str) -> Iterator[Fraction | None]:
    """Yield the duration of each note, chord and rest in unit note lengths, in order.

    A bar rest (`Z`, `X`) gives one None a bar.

    Raises:
        NotationError: If a length or a chord cannot be read.
    """
    clock = _Clock()
    in_grace = False
    chord: Fraction | None = None
    in_chord = False
    for kind, text in tokens(music):
        if kind == "grace_open":
            in_grace = True
        elif kind == "grace_close":
            in_grace = False
        elif in_grace:
            continue
        elif kind == "chord_open":
            in_chord, chord = True, None
        elif kind == "chord_close":
            if not in_chord or chord is None:
                raise NotationError(f"{music!r}: found `]`, wanted notes of a chord before it")
            in_chord = False
            clock.add(chord * parse_length(text[1:]))
        elif kind in ("note", "rest"):
            match = (NOTE if kind == "note" else REST).fullmatch(text)
            if match is None:
                raise NotationError(f"{music!r}: cannot read {text!r}")
            length = match["length"]
            if in_chord:
                chord = parse_length(length) if chord is None else chord
            elif text[0] in "ZX":
                clock.add_bars(int(length[:4] or 1) if length.isdigit() or not length else 1)
            else:
                clock.add(parse_length(length))
        elif kind == "tuplet":
            clock.open_tuplet(text)
        elif kind == "broken":
            clock.break_rhythm(text)
    if in_chord:
        raise NotationError(f"{music!r}: found `[` without `]`")
    yield from clock.events


class _Clock:
    """Collects durations under tuplets and broken rhythm."""

    def __init__(self) -> None:
        self.events: list[Fraction | None] = []
        self._tuplets: list[tuple[Fraction, int]] = []
        self._next_factor = Fraction(1)

    def add(self, duration: Fraction) -> None:
        for factor, _ in self._tuplets:
            duration *= factor
        self._tuplets = [(factor, left - 1) for factor, left in self._tuplets if left > 1]
        self.events.append(duration * self._next_factor)
        self._next_factor = Fraction(1)

    def add_bars(self, bars: int) -> None:
        self.events += [None] * bars

    def open_tuplet(self, text: str) -> None:
        match = TUPLET.fullmatch(text)
        if match is None or int(match["p"]) == 0:
            raise NotationError(f"found tuplet {text!r}, wanted one such as (3 or (3:2:3")
        p = int(match["p"])
        q = int(match["q"] or 0) or _TUPLET_TIME.get(p, 2)
        r = int(match["r"] or 0) or p
        self._tuplets.append((Fraction(q, p), r))

    def break_rhythm(self, text: str) -> None:
        short = Fraction(1, 2 ** min(len(text), 4))
        first, second = (2 - short, short) if text[0] == ">" else (short, 2 - short)
        if self.events and (last := self.events[-1]) is not None:
            self.events[-1] = last * first
            self._next_factor = second
