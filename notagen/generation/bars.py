"""What makes a bar sound: found while it is written, and mended where nothing else helps."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from notagen.foundation.errors import NotationError, ScoreError
from notagen.notation.barlines import parse_bar
from notagen.notation.durations import UNIT, bar_duration, format_length, parse_metre
from notagen.notation.keys import parse_key
from notagen.notation.lexer import COUNTER, FIELD, VOICE_MARK, tokens
from notagen.notation.musicxml import abc_to_musicxml
from notagen.notation.musicxml.abc_layout import read_voice_lines
from notagen.notation.tune import voice_lines

LONGEST_PATTERN = 8
"""Bars of the longest pattern whose repetitions are counted."""

_COUNTS = re.compile(r"\[r:(\d{1,6})/(\d{1,6})\]")
_BEGINNING = re.compile(
    r"\[(?:r(?::[^\[\]]*)?)?"  # of a counter; a whole one and the beginning of a voice mark
    rf"|(?:{COUNTER.pattern})?(?:\[(?:V(?::[^\[\]]*)?)?)?"
)
_BROKEN_OFF = re.compile(r"\[(?:[A-Za-z](?::[^\[\]]*)?)?$")
"""A mark or field that is not complete, or a chord."""
_ENDING = re.compile(r"\[?\d[\d,-]*$")
"""The number of the ending that begins at a barline."""
_PASSED_OVER = re.compile(r"[{ZX]|\[[KM]:|[,']{3}|\d{3}|/\d\d")
"""What `bar_duration` says little of: graces, fields, octaves, uncommon fractions."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a body line."""

    what: str
    """One line, such as `V:2 lasts 5/8, V:1 lasts 1/2`."""
    offset: int
    """Where the line must be written again: at the faulty voice's `[V:`; 0 for all of it."""
    loop: bool = False
    """The bar is sound by itself, but the newest bars are the same ones over and over."""


class _Cell(NamedTuple):
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


class BarRules:
    """What each body line must keep to, given the header and the lines before it.

    In a sound bar each voice stands once at most, and none that the header does not define; every
    voice can be read, all last equally long and end with one barline, the same for all. They last
    as long as the metre says. Shorter ones may be the tune's first bar and those beside a
    section's barline (`||`, `|]`, `|:`, `:|`, `::`): upbeats, and bars that an upbeat completes. A
    chorale cuts bars in two at its fermatas: the first may be short, and the next its remainder.

    The rules go on with the tune: `accept` tells them of each line that stays. `copy.copy` keeps
    the state of a moment.

    Args:
        header: The text above the body, prompt lines among it.
        fixed: Letters of the fields, of `KMQ`, that no bar may change. To say again what the
            header says is no change, nor is its key as a transposing voice writes it.
        max_repeats: How often in a row the same 1 to `LONGEST_PATTERN` bars may stand; None for
            no limit.
    """

    def __init__(self, header: str, *, fixed: str = "", max_repeats: int | None = None) -> None:
        lines = header.splitlines()
        self._fixed = fixed
        self._max_repeats = max_repeats
        self._voices = voice_lines(lines)
        self._transpositions = {
            voice: line.transpose for voice, line in read_voice_lines(lines).items()
        }
        # of a field that stands twice the first counts
        fields = {line[0]: line[2:].split("%")[0] for line in lines[::-1] if line[1:2] == ":"}
        self._meanings = {name: _meaning(name, fields[name]) for name in fixed if name in fields}
        self._unit = parse_metre(fields.get("L", "")) or UNIT
        self._metre = parse_metre(fields.get("M", ""))
        self._section_begins = True
        self._remainder: Fraction | None = None
        """What a short bar with a fermata left of the metre."""
        self._counts: tuple[int, int] | None = None
        """The newest counter."""
        self.num_bars: int | None = None
        """Bars of the whole tune as the counter of its first line says; None where it says none."""
        self._newest: tuple[str, ...] = ()
        self._repeated = (0,) * LONGEST_PATTERN
        """For 1, 2, ... bars: how many newest lines are equal to the line that many before."""

    def find_fault(self, line: str, *, closed: bool) -> Fault | None:
        r"""Return the first fault of a body line as far as it is written, or None.

        Of a line without its `\n` only what is certain already is judged.

        Args:
            line: With or without its counter.
            closed: Whether the last voice's music is complete; its barline may still be to come.
        """
        fault = self._own_fault(line, closed=closed)
        return fault or (self.find_loop(line) if line.endswith("\n") else None)

    def find_loop(self, line: str) -> Fault | None:
        """Return the fault of a finished line that repeats the newest bars too often, or None."""
        if self._max_repeats is None:
            return None
        for period, count in enumerate(self._count_repeated(_music(line)), start=1):
            times = count // period + 1
            if times > self._max_repeats:
                bars = "bar" if period == 1 else f"{period} bars"
                return Fault(f"the same {bars} {times} times in a row", 0, loop=True)
        return None

    def voices_left(self, line: str) -> str | None:
        """Return the first characters of the voices that a begun line lacks; None if any may."""
        names = {voice for voice, _, _ in _cells(line)}
        left = {voice[0] for voice in self._voices if voice not in names}
        return "".join(sorted(left)) if self._voices else None

    def accept(self, line: str) -> None:
        """Go on after a finished line that stays, sound or not."""
        cells = [_read_cell(text, self._unit) for _, _, text in _cells(line)]
        for cell in cells:
            self._metre = _metre_in(cell, self._metre)
        if cells:
            first = cells[0]
            self._section_begins = _is_section(first.barline)
            cut = first.has_fermata
            self._remainder = self._metre - first.duration if cut and self._metre else None
        if counter := _COUNTS.match(line):
            self._counts = done, to_come = int(counter[1]), int(counter[2])
            self.num_bars = self.num_bars if done else to_come + 1
        music = _music(line)
        self._repeated = self._count_repeated(music)
        self._newest = (music, *self._newest[: LONGEST_PATTERN - 1])

    def mended(self, line: str) -> str:
        r"""Return a line, counter and `\n` with it, without what is at fault in it.

        Voices that are sound together stay, the others are left out, so that they rest. Where
        none is sound, the first voice rests for the bar. A counter that is missing is made from the
        one before. The line may still be one of a loop.
        """
        counter = COUNTER.match(line)
        start = mended = counter[0] if counter else self._next_counter()
        for voice, _, text in _cells(line):
            longer = f"{mended}[V:{voice}]{text}"
            if self._own_fault(f"{longer}\n", closed=True) is None:
                mended = longer
        if mended == start:
            rest = format_length((self._metre or Fraction(1)) / self._unit)
            mended += f"[V:{next(iter(self._voices), '1')}]z{rest}|"
        return f"{mended}\n"

    def _next_counter(self) -> str:
        if self._counts is None:
            return ""
        done, to_come = self._counts
        return f"[r:{done + 1}/{max(to_come - 1, 0)}]"

    def _own_fault(self, line: str, *, closed: bool) -> Fault | None:
        """Return the first fault that the line has whatever the lines before it are."""
        finished = line.endswith("\n")
        line = line.removesuffix("\n")
        cells = _cells(line)
        stray = COUNTER.sub("", line[: cells[0][1]] if cells else line, count=1)
        begun = not finished and not cells and _BEGINNING.fullmatch(line)
        if not begun and (stray or not cells):
            return Fault(f"found {stray[:20]!r}, wanted a voice `[V:1]`", 0)
        if not line.isprintable():
            return Fault("found a control character", 0)
        metre = self._metre
        first: tuple[str, _Cell] | None = None
        seen: list[str] = []
        for place, (voice, offset, text) in enumerate(cells):
            if voice in seen:
                return Fault(f"V:{voice} stands twice", offset)
            if self._voices and voice not in self._voices:
                return Fault(f"V:{voice} is not in the header", offset)
            seen.append(voice)
            whole = finished or place + 1 < len(cells)
            if not whole and not (closed and text.count('"') % 2 == 0):
                return self._overlong(voice, offset, text, metre, first)
            cell = _read_cell(text, self._unit)
            metre = _metre_in(cell, metre)
            if not whole and not cell.duration and not cell.problem:
                return None
            what = (
                cell.problem
                or self._changed_field(voice, cell)
                or _wrong_length(cell, metre, first)
                or (whole and self._wrong_barline(cell, metre, first))
            )
            if what:
                return Fault(f"V:{voice} {what}", offset)
            first = first or (voice, cell)
        problem = self._conversion_problem(line, seen) if finished else ""
        if not problem:
            return None
        named = (offset for voice, offset, _ in cells if problem.startswith(f"V:{voice}:"))
        return Fault(problem, next(named, 0))

    def _overlong(
        self,
        voice: str,
        offset: int,
        text: str,
        metre: Fraction | None,
        first: tuple[str, _Cell] | None,
    ) -> Fault | None:
        """Return the fault of a cell that lasts too long already, though it is not complete."""
        part = _before_last_event(text)
        try:
            duration = bar_duration(part, unit=self._unit)
        except NotationError:
            return None
        limit = first[1].duration if first else _metre_in(_read_cell(part, self._unit), metre)
        if not part or limit is None or duration is None or duration < limit:
            return None
        return Fault(f"V:{voice} lasts longer than {limit}", offset)

    def _changed_field(self, voice: str, cell: _Cell) -> str:
        for name, value in cell.fields:
            if name in self._fixed and not self._says_the_same(voice, name, value):
                return f"has [{name}:{value}], wanted no change"
        return ""

    def _says_the_same(self, voice: str, name: str, value: str) -> bool:
        meaning, wanted = _meaning(name, value), self._meanings.get(name)
        if not isinstance(meaning, int) or not isinstance(wanted, int):
            return meaning in (None, wanted)
        semitones = self._transpositions.get(voice, 0)
        # a semitone is seven fifths, and twelve fifths lead to the same key in other spelling
        return meaning == wanted if not semitones else (meaning - wanted + 7 * semitones) % 12 == 0

    def _wrong_barline(
        self, cell: _Cell, metre: Fraction | None, first: tuple[str, _Cell] | None
    ) -> str:
        if not cell.barline:
            return "has no barline at its end"
        if first is not None:
            voice, other = first
            found, wanted = f"{cell.left} {cell.barline}", f"{other.left} {other.barline}"
            return f"has barlines `{found}`, V:{voice} `{wanted}`" if found != wanted else ""
        may_be_short = (
            self._section_begins
            or _is_section(cell.left)
            or _is_section(cell.barline)
            or cell.has_fermata
            or cell.duration == self._remainder
        )
        if metre is not None and cell.duration < metre and not may_be_short:
            return f"lasts {cell.duration}, the metre is {metre}"
        return ""

    def _conversion_problem(self, line: str, voices: Iterable[str]) -> str:
        """Return why the line, read by itself, could not be converted; empty if it could.

        Its durations are known to be right, and lines with no more to them are not converted.
        """
        if not _PASSED_OVER.search(_music(line)):
            return ""
        lines = [self._voices.get(voice, f"V:{voice}") for voice in voices]
        # with a voice that rests, as those do that are not written
        header = [f"L:{self._unit}", "K:C", *lines, "V:resting"]
        try:
            abc_to_musicxml("\n".join([*header, line, ""]))
        except ScoreError as error:
            return str(error).removeprefix("bar 1, ")
        return ""

    def _count_repeated(self, music: str) -> tuple[int, ...]:
        same = [music == old for old in self._newest] + [False] * LONGEST_PATTERN
        return tuple(
            count + 1 if equal else 0
            for count, equal in zip(self._repeated, same[:LONGEST_PATTERN], strict=True)
        )


def _cells(line: str) -> list[tuple[str, int, str]]:
    """Return each cell's voice, the offset of its mark, and its text."""
    marks = list(VOICE_MARK.finditer(line))
    ends = [*(mark.start() for mark in marks[1:]), len(line.removesuffix("\n"))]
    return [
        (mark[1], mark.start(), line[mark.end() : end])
        for mark, end in zip(marks, ends, strict=False)  # without marks there is one end more
    ]


def _music(line: str) -> str:
    return COUNTER.sub("", line.strip(), count=1)


# a line is judged anew with every patch, though its first cells stay the same
@lru_cache(maxsize=4096)
def _read_cell(text: str, unit: Fraction) -> _Cell:
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
    barline = _ENDING.sub("", bar.barline)
    return _Cell(duration or Fraction(0), left, barline, fields, "!fermata!" in text, problem)


def _odd_part(music: str, fields: Iterable[tuple[str, str]]) -> str:
    """Return what a bar has in it and should not; empty if all is well."""
    for kind, text in tokens(music):
        if kind in ("barline", "ending"):
            return "has a barline inside its bar"
        if kind == "other":
            return f"has a stray `{text}`"
    return next((f"has [{name}:{value}] in its bar" for name, value in fields if name in "Lr"), "")


def _metre_in(cell: _Cell, metre: Fraction | None) -> Fraction | None:
    """Return the metre that the cell changes to, or the one there was."""
    for name, value in cell.fields:
        if name == "M":
            metre = parse_metre(value)
    return metre


def _wrong_length(cell: _Cell, metre: Fraction | None, first: tuple[str, _Cell] | None) -> str:
    if not cell.duration:
        return "has no note and no rest"
    if first is not None:
        voice, other = first
        if cell.duration != other.duration:
            return f"lasts {cell.duration}, V:{voice} lasts {other.duration}"
    elif metre is not None and cell.duration > metre:
        return f"lasts {cell.duration}, the metre is {metre}"
    return ""


def _before_last_event(text: str) -> str:
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


def _is_section(barline: str) -> bool:
    """Tell whether a section ends or begins at a barline."""
    return barline not in ("", "|", ".|")


def _meaning(name: str, value: str) -> int | str | None:
    """Return what is the same where fields say the same: of a key its fifths, None for a clef."""
    value = "".join(value.split())
    if name == "K":
        try:
            key = parse_key(value)
        except NotationError:
            return value
        return key.fifths if key else (0 if value.startswith("none") else None)
    return {"C": "4/4", "C|": "2/2"}.get(value, value) if name == "M" else value
