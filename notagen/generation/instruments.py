"""Instruments that can be asked for, and the header lines that a score for them begins with."""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from notagen.foundation.errors import InputError
from notagen.notation.musicxml.grouping import Group, Staves, format_score, format_voice


class Instrument(NamedTuple):
    """What a score says about an instrument."""

    name: str
    """As parts are called, in English; a number may follow: `Violin 2`."""
    abbreviation: str
    clefs: tuple[str, ...]
    """Of each staff, as ABC names them."""
    transposition: int = 0
    """Semitones from the written pitch to the sounding one."""
    other_names: tuple[str, ...] = ()
    """By which it may be asked for, in small letters."""


_SECTIONS: dict[str, tuple[Instrument, ...]] = {
    "winds": (
        Instrument("Piccolo", "Picc.", ("treble",), 12, ("piccolo flute",)),
        Instrument("Flute", "Fl.", ("treble",)),
        Instrument("Recorder", "Rec.", ("treble",)),
        Instrument("Oboe", "Ob.", ("treble",)),
        Instrument("English Horn", "E. H.", ("treble",), -7, ("cor anglais",)),
        Instrument("Bb Clarinet", "Bb Cl.", ("treble",), -2, ("clarinet",)),
        Instrument("A Clarinet", "A Cl.", ("treble",), -3),
        Instrument("Bass Clarinet", "B. Cl.", ("treble",), -14),
        Instrument("Bassoon", "Bsn.", ("bass",)),
        Instrument("Contrabassoon", "Cbsn.", ("bass",), -12),
        Instrument("Soprano Saxophone", "S. Sax.", ("treble",), -2),
        Instrument("Alto Saxophone", "A. Sax.", ("treble",), -9, ("saxophone",)),
        Instrument("Tenor Saxophone", "T. Sax.", ("treble",), -14),
        Instrument("Baritone Saxophone", "Bar. Sax.", ("treble",), -21),
    ),
    "brass": (
        Instrument("F Horn", "F Hn.", ("treble",), -7, ("horn", "french horn")),
        Instrument("C Trumpet", "C Tpt.", ("treble",)),
        Instrument("Bb Trumpet", "Bb Tpt.", ("treble",), -2, ("trumpet",)),
        Instrument("Trombone", "Tbn.", ("bass",)),
        Instrument("Tuba", "Tba.", ("bass",)),
    ),
    "percussion": (
        Instrument("Timpani", "Timp.", ("bass",), 0, ("kettledrums",)),
        Instrument("Vibraphone", "Vib.", ("treble",)),
        Instrument("Xylophone", "Xyl.", ("treble",), 12),
    ),
    "plucked": (
        Instrument("Harp", "Hrp.", ("treble", "bass")),
        Instrument("Guitar", "Gtr.", ("treble-8",), 0, ("classical guitar",)),
    ),
    "keyboard": (
        Instrument("Piano", "Pno.", ("treble", "bass"), 0, ("pianoforte", "fortepiano")),
        Instrument("Harpsichord", "Hch.", ("treble", "bass"), 0, ("cembalo",)),
        Instrument("Organ", "Org.", ("treble", "bass")),
        Instrument("Celesta", "Cel.", ("treble", "bass"), 12),
    ),
    "voices": (
        Instrument("Voice", "Vo.", ("treble",), 0, ("vocal",)),
        Instrument("Soprano", "S.", ("treble",)),
        Instrument("Mezzo-soprano", "M-S.", ("treble",)),
        Instrument("Alto", "A.", ("treble",)),
        Instrument("Tenor", "T.", ("treble-8",)),
        Instrument("Baritone", "Bar.", ("bass",)),
        Instrument("Bass", "B.", ("bass",)),
    ),
    "strings": (
        Instrument("Violin", "Vln.", ("treble",)),
        Instrument("Viola", "Vla.", ("alto",)),
        Instrument("Violoncello", "Vc.", ("bass",), 0, ("cello",)),
        Instrument("Contrabass", "Cb.", ("bass",), -12, ("double bass",)),
    ),
}
"""In the order of a full score. Names and abbreviations are those of common notation programs."""

_BRACKETED = ("winds", "brass", "voices", "strings")
_SECTION_OF = {one: section for section, members in _SECTIONS.items() for one in members}


def _plain(name: str) -> str:
    """Return a name as names are compared: small letters, `clarinet in a` as `a clarinet`."""
    words = " ".join(re.sub(r"[.\-]", " ", name.lower()).split())
    return re.sub(r"^(.+) in (\S+)$", r"\2 \1", words)


_BY_NAME = {_plain(name): one for one in _SECTION_OF for name in (one.name, *one.other_names)}
_ROMAN = {"i": "1", "ii": "2", "iii": "3", "iv": "4"}
_NUMBERED = re.compile(r"(.+?)(?:\s+(\d{1,2}|i{1,3}|iv))?", re.IGNORECASE)


def find_instrument(name: str) -> tuple[Instrument, str]:
    """Return the instrument of a name, and the number of the part, if any, as digits.

    Letter case does not matter: `violin II` gives the violin and `2`, `Clarinet in A` the A
    clarinet and an empty text.

    Raises:
        InputError: If no such instrument is known; the message lists those with similar names.
    """
    match = _NUMBERED.fullmatch(name.strip())
    found = _BY_NAME.get(_plain(match[1])) if match else None
    if match is None or found is None:
        near = difflib.get_close_matches(_plain(name), _BY_NAME, n=4, cutoff=0.5)
        names = list(dict.fromkeys(_BY_NAME[word].name for word in near))
        near_ones = f"{' or '.join(names)} perhaps, or another of" if names else "one of"
        known = ", ".join(one.name for one in _SECTION_OF)
        raise InputError(f"instruments: found {name.strip()!r:.60}, wanted {near_ones} {known}")
    number = (match[2] or "").lower()
    return found, _ROMAN.get(number, number)


def score_lines(names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the `%%score` line (empty for one voice alone) and the `V:` lines of a score.

    A staff has one voice, an instrument of two staves a brace; neighbours among the winds, brass,
    voices or strings stand in a bracket. Instruments that are named more than once are numbered.
    `Voice` and `Piano` give `%%score 1 { 2 | 3 }` and three lines, from `V:1 treble nm="Voice"` on.

    Args:
        names: Of the instruments, from top to bottom.

    Raises:
        InputError: If an instrument is not known.
    """
    players = [find_instrument(name) for name in names]
    totals = Counter(one for one, _ in players)
    seen: Counter[Instrument] = Counter()
    parts: list[Staves] = []
    lines: list[str] = []
    for one, number in players:
        seen[one] += 1
        if not number and totals[one] > 1:
            number = str(seen[one])
        first = len(lines) + 1
        parts.append([[str(first + staff)] for staff in range(len(one.clefs))])
        for staff, clef in enumerate(one.clefs):
            lines.append(
                format_voice(
                    str(first + staff),
                    clef,
                    transposition=one.transposition,
                    name=f"{one.name} {number}".strip() if staff == 0 else None,
                    abbreviation=f"{one.abbreviation} {number}".strip() if staff == 0 else None,
                )
            )
    return format_score(parts, _brackets([one for one, _ in players])), tuple(lines)


def _brackets(instruments: Sequence[Instrument]) -> list[Group]:
    brackets = []
    place = 0
    for section, members in groupby(instruments, key=_SECTION_OF.__getitem__):
        last = place + len(list(members)) - 1
        if section in _BRACKETED and last > place:
            brackets.append(Group(place, last, "[]", barlines=True))
        place = last + 1
    return brackets
