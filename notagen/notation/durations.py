"""How long music text lasts, in exact fractions of a whole note."""

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import repeat
from math import lcm

from notagen.foundation.errors import NotationError
from notagen.notation.lexer import TUPLET, tokens

UNIT = Fraction(1, 8)
"""Unit note length of the corpus: `L:1/8`."""
MAX_TUPLETS = 8
"""Tuplets that may be open at once; printed music has three at most."""
TUPLET_TIME = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}
"""In the time of how many notes a tuplet's notes are played, if it does not say; else 2."""

_LENGTH = re.compile(r"(\d*)(/*)(\d*)")
_LONGEST_LENGTH = 16
_MAX_NUMBER = 100_000
_MAX_DENOMINATOR = 10**15
"""Of a bar's length; sums beyond it come from no music and would only get slower."""
_LONGEST_KEPT = 200
"""Characters of a bar whose duration is kept in memory."""
_MAX_BARS = 9999
_PITCH = "^_=ABCDEFGabcdefg,'zxZX"

_Ratio = tuple[int, int]
"""A fraction while it is added up; the class Fraction would take most of the time."""


def parse_length(text: str) -> Fraction:
    """Return the factor that a note's length stands for: `3/2` is 3/2, `//` is 1/4, empty is 1.

    Raises:
        NotationError: If it is zero, divides by zero or is absurdly large.
    """
    return Fraction(*_length(text))


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
    match = re.fullmatch(r"\(?(\d{1,3}(?:\+\d{1,3})*)\)?/(\d{1,3})", value, re.ASCII)
    if match is None or int(match[2]) == 0:
        return None
    return Fraction(sum(map(int, match[1].split("+"))), int(match[2])) or None


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
        NotationError: If a length, a chord, a tuplet, a grace or words cannot be read.
    """
    read = _total if len(music) > _LONGEST_KEPT else _kept_total
    top, bottom, bars = read(music)
    if bars and metre is None:
        return None
    duration = Fraction(top * unit.numerator, bottom * unit.denominator)
    return duration + bars * metre if bars and metre is not None else duration


def event_durations(music: str) -> Iterator[Fraction | None]:
    """Yield the duration of each note, chord and rest in unit note lengths, in order.

    A bar rest (`Z`, `X`) gives one None a bar.

    Raises:
        NotationError: If a length, a chord, a tuplet, a grace or words cannot be read.
    """
    for event in _events(music):
        yield None if event is None else Fraction(*event)


def _total(music: str) -> tuple[int, int, int]:
    """Return the sum of a bar's events as a fraction, and the bars that its bar rests fill."""
    top, bottom, bars = 0, 1, 0
    for event in _events(music):
        if event is None:
            bars += 1
            continue
        numerator, denominator = event
        if denominator != bottom:
            common = lcm(bottom, denominator)
            if common > _MAX_DENOMINATOR:
                raise NotationError("found lengths that add up to no usual fraction")
            top *= common // bottom
            numerator *= common // denominator
            bottom = common
        top += numerator
    return top, bottom, bars


# rests are omitted, put back and checked by what the same bars last
_kept_total = lru_cache(maxsize=2**14)(_total)


def _events(music: str) -> Iterator[_Ratio | None]:
    tuplets: list[list[int]] = []  # q, p and the notes that are left, outermost first
    waiting: _Ratio | None = None  # the last event: a `>` after it would still change it
    factor: _Ratio | None = None  # what that `>` does to the next event
    in_grace = in_chord = False
    chord: _Ratio | None = None
    rested = 0
    for kind, text in tokens(music):
        if kind in ("note", "rest"):
            if in_grace:
                continue
            if in_chord:
                chord = chord or _length(text.lstrip(_PITCH))
                continue
            if text[0] in "ZX":
                if waiting:
                    yield waiting
                    waiting = None
                bars = _bars(text)
                rested += bars
                if rested > _MAX_BARS:
                    raise _error(music, f"found rests for more than {_MAX_BARS} bars")
                yield from repeat(None, bars)
                continue
            top, bottom = _length(text.lstrip(_PITCH))
        elif kind == "grace_open":
            if in_grace:
                raise _error(music, "found `{` inside a grace")
            in_grace = True
            continue
        elif kind == "grace_close":
            if not in_grace:
                raise _error(music, "found `}` without `{`")
            in_grace = False
            continue
        elif kind == "other":
            if text == '"':
                raise _error(music, "found a quote that is never closed")
            if text == "&":
                raise _error(music, "found `&`, wanted one voice")
            continue
        elif in_grace:
            continue
        elif kind == "chord_open":
            if in_chord:
                raise _error(music, "found `[` inside a chord")
            in_chord, chord = True, None
            continue
        elif kind == "chord_close":
            if not in_chord or chord is None:
                raise _error(music, "found `]`, wanted notes of a chord before it")
            in_chord = False
            top, bottom = _length(text[1:])
            top, bottom = top * chord[0], bottom * chord[1]
        elif kind == "tuplet":
            tuplets.append(_tuplet(text))
            if len(tuplets) > MAX_TUPLETS:
                raise _error(music, f"found more than {MAX_TUPLETS} tuplets inside one another")
            continue
        elif kind == "broken" and waiting:
            short = 2 ** min(len(text), 4)
            dotted, cut = (2 * short - 1, short), (1, short)
            first, factor = (dotted, cut) if text[0] == ">" else (cut, dotted)
            waiting = waiting[0] * first[0], waiting[1] * first[1]
            if waiting[1] > _MAX_DENOMINATOR:
                raise _error(music, "found broken rhythm that never ends")
            continue
        else:
            continue
        for tuplet in tuplets:
            top, bottom = top * tuplet[0], bottom * tuplet[1]
            tuplet[2] -= 1
        if tuplets:
            tuplets = [tuplet for tuplet in tuplets if tuplet[2] > 0]
        if factor:
            top, bottom = top * factor[0], bottom * factor[1]
            factor = None
        if waiting:
            yield waiting
        waiting = top, bottom
    if in_chord or in_grace:
        bracket, end = "[]" if in_chord else "{}"
        raise _error(music, f"found `{bracket}` without `{end}`")
    if waiting:
        yield waiting


def _length(text: str) -> _Ratio:
    if len(text) > _LONGEST_LENGTH:  # not kept in memory either
        raise NotationError(f"found length {text[:20]!r}, wanted a positive number of usual size")
    return _short_length(text)


@lru_cache(maxsize=4096)
def _short_length(text: str) -> _Ratio:
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise NotationError(f"found length {text!r}, wanted one such as 2, 3/2 or /")
    numerator, slashes, denominator = match.groups()
    top = int(numerator or 1)
    bottom = int(denominator) if denominator else 1 << len(slashes)
    if not (0 < top < _MAX_NUMBER and 0 < bottom < _MAX_NUMBER * 20):
        raise NotationError(f"found length {text!r}, wanted a positive number of usual size")
    return top, bottom


def _bars(text: str) -> int:
    """Return the bars that a rest such as `Z4` fills."""
    length = text[1:]
    if length and not (length.isdigit() and len(length) < 5 and int(length)):
        raise NotationError(f"found {text[:20]!r}, wanted bars to rest, such as Z or Z4")
    return int(length or 1)


def _tuplet(text: str) -> list[int]:
    match = TUPLET.fullmatch(text)
    p, q, r = (int(number or 0) for number in match.groups()) if match else (0, 0, 0)
    if p == 0 or (p == 1 and q == 0):
        raise NotationError(f"found tuplet {text!r}, wanted one such as (3 or (3:2:3")
    return [q or TUPLET_TIME.get(p, 2), p, r or p]


def _error(music: str, problem: str) -> NotationError:
    shown = music if len(music) <= 60 else f"{music[:57]}..."
    return NotationError(f"{shown!r}: {problem}")
