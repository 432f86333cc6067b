"""What makes a bar sound: found while it is written, and mended where nothing else helps."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from notagen.foundation.errors import NotationError, ScoreError
from notagen.generation.bar_lengths import BarLengths
from notagen.generation.cells import (
    Cell,
    Place,
    before_last_event,
    longest_fitting,
    read_cell,
    split_cells,
)
from notagen.notation.durations import UNIT, bar_duration, format_length, parse_metre
from notagen.notation.keys import parse_key
from notagen.notation.lexer import COUNTER
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
_PASSED_OVER = re.compile(r"[{ZX]|\[[KM]:|[,']{3}|\d{3}|/\d\d")
"""What `bar_duration` says little of: graces, fields, octaves, uncommon fractions."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a body line."""

    what: str
    """One line, such as `V:2 lasts 5/8, V:1 lasts 1/2`."""
    offset: int
    """Where the line must be written again: at the faulty voice's `[V:`; 0 for all of it."""
    keep: int | None = None
    """Where a voice lasts too long or not long enough: how much of the line may stay."""
    is_full: bool = False
    """Whether what may stay fills the voice's bar, so that a barline is to follow."""
    loop: bool = False
    """The bar is sound by itself, but the newest bars are the same ones over and over."""


class BarRules:
    """What each body line must keep to, given the header and the lines before it.

    In a sound bar each voice stands once at most, and none that the header does not define; every
    voice can be read, all last as long as `BarLengths` allows, and end with one barline, the same
    for all.

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
        self._lengths = BarLengths(parse_metre(fields.get("M", "")))
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
        names = {cell.voice for cell in split_cells(line)}
        left = {voice[0] for voice in self._voices if voice not in names}
        return "".join(sorted(left)) if self._voices else None

    def accept(self, line: str) -> None:
        """Go on after a finished line that stays, sound or not."""
        cells = [read_cell(cell.text, self._unit) for cell in split_cells(line)]
        if cells:
            self._lengths = self._lengths.after(cells)
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
        for cell in split_cells(line):
            longer = f"{mended}[V:{cell.voice}]{cell.text}"
            if self._own_fault(f"{longer}\n", closed=True) is None:
                mended = longer
        if mended == start:
            rest = format_length((self._lengths.metre or Fraction(1)) / self._unit)
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
        cells = split_cells(line)
        stray = COUNTER.sub("", line[: cells[0].offset] if cells else line, count=1)
        begun = not finished and not cells and _BEGINNING.fullmatch(line)
        if not begun and (stray or not cells):
            return Fault(f"found {stray[:20]!r}, wanted a voice `[V:1]`", 0)
        if not line.isprintable():
            return Fault("found a control character", 0)
        first: tuple[str, Cell] | None = None
        seen: list[str] = []
        for number, cell in enumerate(cells, start=1):
            named = f"V:{cell.voice}"
            if cell.voice in seen:
                return Fault(f"{named} stands twice", cell.offset)
            if self._voices and cell.voice not in self._voices:
                return Fault(f"{named} is not in the header", cell.offset)
            seen.append(cell.voice)
            whole = finished or number < len(cells)
            if not whole and not (closed and cell.text.count('"') % 2 == 0):
                return self._overlong(cell, first)
            bar = read_cell(cell.text, self._unit)
            if not whole and not bar.duration and not bar.problem:
                return None
            if what := bar.problem or self._changed_field(cell.voice, bar):
                return Fault(f"{named} {what}", cell.offset)
            if what := self._wrong_length(bar, first, whole=whole):
                limit = first[1].duration if first else bar.metre(self._lengths.metre)
                return self._length_fault(what, cell, limit)
            if whole and (what := _wrong_barline(bar, first)):
                return Fault(f"{named} {what}", cell.offset)
            first = first or (cell.voice, bar)
        problem = self._conversion_problem(line, seen) if finished else ""
        if not problem:
            return None
        faulty = (cell.offset for cell in cells if problem.startswith(f"V:{cell.voice}:"))
        return Fault(problem, next(faulty, 0))

    def _overlong(self, cell: Place, first: tuple[str, Cell] | None) -> Fault | None:
        """Return the fault of a cell that lasts too long already, though it is not complete."""
        part = before_last_event(cell.text)
        try:
            duration = bar_duration(part, unit=self._unit)
        except NotationError:
            return None
        metre = read_cell(part, self._unit).metre(self._lengths.metre)
        limit = first[1].duration if first else metre
        if not part or limit is None or duration is None or duration < limit:
            return None
        return self._length_fault(f"lasts longer than {limit}", cell, limit)

    def _length_fault(self, what: str, cell: Place, limit: Fraction | None) -> Fault:
        """Return a fault, with how much of the cell may stay if it is to last up to the limit."""
        fault = Fault(f"V:{cell.voice} {what}", cell.offset)
        if limit is None:
            return fault
        length, is_full = longest_fitting(cell.text, limit, self._unit)
        return replace(fault, keep=cell.start + length, is_full=is_full)

    def _changed_field(self, voice: str, cell: Cell) -> str:
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

    def _wrong_length(self, cell: Cell, first: tuple[str, Cell] | None, *, whole: bool) -> str:
        if not cell.duration:
            return "has no note and no rest"
        if first is None:
            return self._lengths.find_fault(cell, whole=whole)
        voice, other = first
        if cell.duration != other.duration:
            return f"lasts {cell.duration}, V:{voice} lasts {other.duration}"
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


def _music(line: str) -> str:
    return COUNTER.sub("", line.strip(), count=1)


def _wrong_barline(cell: Cell, first: tuple[str, Cell] | None) -> str:
    if not cell.barline:
        return "has no barline at its end"
    if first is None:
        return ""
    voice, other = first
    found, wanted = f"{cell.left} {cell.barline}", f"{other.left} {other.barline}"
    return f"has barlines `{found}`, V:{voice} `{wanted}`" if found != wanted else ""


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
