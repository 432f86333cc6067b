"""One voice's bar as it is read from a body line, whole or still being written."""

import re
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from notagen.foundation.errors import NotationError
from notagen.notation.barlines import parse_bar
from notagen.notation.durations import bar_duration, parse_metre
from notagen.notation.lexer import FIELD, VOICE_MARK, tokens

_BROKEN_OFF = re.compile(r"\[(?:[A-Za-z](?::[^\[\]]*)?)?$")
"""A mark or field that is not complete, or a chord."""
_ENDING = re.compile(r"\[?\d[\d,-]*$")
"""The number of the ending that begins at a barline."""


class Cell(NamedTuple):
    """One voice's bar."""

    duration: Fraction
    """In whole notes; 0 where there is nothing, or nothing that can be read."""
    left: str
    """Barlines before the music."""
    barline: str
    """The one after it, without the number of an ending: one voice of a part says that for all."""
    fields: tuple[tuple[str, str], ...]
    """Name and value of each."""
    has_fermata: bool
    problem: str
    """Why it cannot be read; empty if it can."""

    @property
    def begins_section(self) -> bool:
        """Whether a section's barline stands before it."""
        return _is_section(self.left)

    @property
    def ends_section(self) -> bool:
        """Whether a section's barline stands after it."""
        return _is_section(self.barline)

    def metre(self, before: Fraction | None) -> Fraction | None:
        """Return the metre that it changes to, or the one there was."""
        metres = [parse_metre(value) for name, value in self.fields if name == "M"]
        return metres[-1] if metres else before


class Place(NamedTuple):
    """A cell as it stands in a body line."""

    voice: str
    offset: int
    """Of its mark in the line."""
    start: int
    """Of its text, behind the mark."""
    text: str


def split_cells(line: str) -> list[Place]:
    """Return the cells of a body line, its last one perhaps not complete."""
    marks = list(VOICE_MARK.finditer(line))
    ends = [*(mark.start() for mark in marks[1:]), len(line.removesuffix("\n"))]
    return [
        Place(mark[1], mark.start(), mark.end(), line[mark.end() : end])
        for mark, end in zip(marks, ends, strict=False)  # without marks there is one end more
    ]


# a line is judged anew with every patch, though its first cells stay the same
@lru_cache(maxsize=4096)
def read_cell(text: str, unit: Fraction) -> Cell:
    """Read a cell's text; what cannot be read is its `problem`."""
    bar = parse_bar(text)
    fields = tuple((match["name"], match["value"].strip()) for match in FIELD.finditer(text))
    left = "".join(token for kind, token in tokens(bar.left) if kind == "barline")
    duration, problem = None, ""
    try:
        duration = bar_duration(bar.music, unit=unit)
    except NotationError as error:
        problem = f"cannot be read: {error}"
    else:
        if duration is None:
            problem = "rests for whole bars, wanted the rest's length"
        elif not duration and bar.barline:
            problem = "has no note and no rest"
        else:
            problem = _odd_part(bar.music, fields)
    return Cell(
        duration=duration or Fraction(0),
        left=left,
        barline=_ENDING.sub("", bar.barline),
        fields=fields,
        has_fermata="!fermata!" in text,
        problem=problem,
    )


def before_last_event(text: str) -> str:
    """Return a cell's text up to its last note, chord or rest, which may still get longer."""
    end = position = 0
    in_chord = in_grace = False
    for kind, token in tokens(_BROKEN_OFF.sub("", text)):
        if kind == "other":  # words or a decoration without their end
            break
        if kind in ("grace_open", "grace_close"):
            in_grace = kind == "grace_open"
        elif not in_grace and not in_chord and kind in ("note", "rest", "chord_open"):
            end = position
        if kind in ("chord_open", "chord_close"):
            in_chord = kind == "chord_open"
        position += len(token)
    return text[:end]


def longest_fitting(text: str, limit: Fraction, unit: Fraction) -> tuple[int, bool]:
    """Return how much of a cell's text lasts no longer than a limit, and whether it lasts as long.

    It ends with an event and the ends of slurs and ties after it; 0 where no event fits.
    """
    ends: list[int] = []
    position = 0
    in_chord = in_grace = after_event = False
    for kind, token in tokens(text):
        position += len(token)
        in_chord = kind == "chord_open" or (in_chord and kind != "chord_close")
        in_grace = kind == "grace_open" or (in_grace and kind != "grace_close")
        if kind in ("note", "rest", "chord_close") and not in_chord and not in_grace:
            ends.append(position)
            after_event = True
        elif after_event and (kind == "tie" or token in (")", ".)")):
            ends[-1] = position
        else:
            after_event = False
    for end in reversed(ends):
        try:
            duration = bar_duration(text[:end], unit=unit)
        except NotationError:
            continue
        if duration is not None and duration <= limit:
            return end, duration == limit
    return 0, False


def _odd_part(music: str, fields: Iterable[tuple[str, str]]) -> str:
    """Return what a bar has in it and should not; empty if all is well."""
    for kind, text in tokens(music):
        if kind in ("barline", "ending"):
            return "has a barline inside its bar"
        if kind == "other":
            return f"has a stray `{text}`"
    return next((f"has [{name}:{value}] in its bar" for name, value in fields if name in "Lr"), "")


def _is_section(barline: str) -> bool:
    """Tell whether a section ends or begins at a barline."""
    return barline not in ("", "|", ".|")
