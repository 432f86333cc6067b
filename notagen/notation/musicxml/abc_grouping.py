"""Tuplets and beams of a bar."""

from collections.abc import Sequence
from fractions import Fraction

from notagen.foundation.errors import NotationError
from notagen.notation.durations import MAX_TUPLETS, TUPLET_TIME
from notagen.notation.lexer import TUPLET
from notagen.notation.musicxml.abc_items import Event
from notagen.notation.musicxml.abc_signs import VALUES


class _Tuplet:
    __slots__ = ("actual", "events", "factor", "left", "nested", "normal", "number")

    def __init__(self, actual: int, normal: int, left: int, number: int) -> None:
        self.actual, self.normal, self.left, self.number = actual, normal, left, number
        self.events: list[Event] = []
        self.factor = Fraction(1)
        """Of the tuplets around it and its own."""
        self.nested = False


class Tuplets:
    """The tuplets that are open in a bar."""

    def __init__(self) -> None:
        self.open: list[_Tuplet] = []
        self.factor = Fraction(1)
        """What the notes' lengths are multiplied by."""

    def begin(self, text: str) -> None:
        """Open a tuplet over the notes to come.

        Raises:
            NotationError: If it cannot be read, or nested too deep.
        """
        match = TUPLET.fullmatch(text)
        if match is None or int(match["p"]) < (1 if int(match["q"] or 0) else 2):
            raise NotationError(f"found tuplet {text[:20]!r}, wanted one such as (3 or (3:2:3")
        if len(self.open) == MAX_TUPLETS:
            raise NotationError(f"found tuplets nested deeper than {MAX_TUPLETS}")
        actual = int(match["p"])
        normal = int(match["q"] or 0) or TUPLET_TIME.get(actual, 2)
        taken = {tuplet.number for tuplet in self.open}
        number = next(n for n in range(1, MAX_TUPLETS + 1) if n not in taken)
        tuplet = _Tuplet(actual, normal, int(match["r"] or 0) or actual, number)
        self.factor *= Fraction(normal, actual)
        tuplet.factor = self.factor
        for outer in self.open:
            outer.nested = tuplet.nested = True
        self.open.append(tuplet)

    def take(self, event: Event) -> None:
        """Count an event in every open tuplet."""
        full = False
        for tuplet in self.open:
            event.actual *= tuplet.actual
            event.normal *= tuplet.normal
            tuplet.events.append(event)
            tuplet.left -= 1
            full = full or not tuplet.left
        if full:
            for tuplet in reversed(self.open):
                if not tuplet.left:
                    _write(tuplet)
            self._keep([tuplet for tuplet in self.open if tuplet.left])

    def close(self) -> None:
        """End the tuplets that a bar leaves open."""
        for tuplet in reversed(self.open):
            if tuplet.events:
                _write(tuplet)
        self._keep([])

    def _keep(self, tuplets: list[_Tuplet]) -> None:
        self.open = tuplets
        self.factor = Fraction(1)
        for tuplet in tuplets:
            self.factor *= Fraction(tuplet.normal, tuplet.actual)


def _write(tuplet: _Tuplet) -> None:
    inside = ""
    if tuplet.nested:
        total = sum((event.length for event in tuplet.events), Fraction(0))
        unit = VALUES.get(total / tuplet.factor / tuplet.actual)
        for element, count in (("actual", tuplet.actual), ("normal", tuplet.normal)):
            inside += f"<tuplet-{element}><tuplet-number>{count}</tuplet-number>"
            if unit is not None:
                inside += f"<tuplet-type>{unit.name}</tuplet-type>" + "<tuplet-dot/>" * unit.dots
            inside += f"</tuplet-{element}>"
    number = tuplet.number
    start = f'<tuplet type="start" number="{number}"'
    start += f">{inside}</tuplet>" if inside else "/>"
    tuplet.events[0].notations.insert(0, start)
    tuplet.events[-1].notations.append(f'<tuplet type="stop" number="{number}"/>')


def beam(events: Sequence[Event]) -> None:
    """Give notes their beams: neighbours without a space between them that have flags."""
    run: list[tuple[Event, int]] = []
    for event in events:
        value = VALUES.get(event.written) if event.notes else None
        flags = value.flags if value is not None else 0
        if not flags or (run and not event.joined):
            _write_beams(run)
            run = []
        if flags:
            run.append((event, flags))
    _write_beams(run)


def _write_beams(run: Sequence[tuple[Event, int]]) -> None:
    if len(run) < 2:
        return
    for place, (event, flags) in enumerate(run):
        before = run[place - 1][1] if place else 0
        after = run[place + 1][1] if place + 1 < len(run) else 0
        beams = []
        for level in range(1, flags + 1):
            if before >= level:
                state = "continue" if after >= level else "end"
            elif after >= level:
                state = "begin"
            else:
                state = "backward hook" if before else "forward hook"
            beams.append(f'<beam number="{level}">{state}</beam>')
        event.beams = "".join(beams)
