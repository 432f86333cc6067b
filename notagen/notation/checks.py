"""Findings about a tune: they are returned, not raised."""

from dataclasses import dataclass
from fractions import Fraction

from notagen.foundation.errors import NotationError
from notagen.notation.durations import bar_duration, parse_metre
from notagen.notation.interleave import parse_interleaved


@dataclass(frozen=True)
class AlignmentReport:
    """Whether the voices of a tune keep together."""

    problems: tuple[str, ...]
    """One line a bar that is at fault, such as `bar 3: V:2 lasts 5/8, V:1 lasts 1/2`."""
    n_bars: int
    """Bars that were looked at."""

    @property
    def ok(self) -> bool:
        """True if nothing is wrong."""
        return not self.problems


def check_alignment(interleaved_abc: str) -> AlignmentReport:
    """Check that in each bar all written voices last equally long.

    Voices that are missing from a bar (the reduced form) rest, and are always right. A text that
    is no interleaved tune is reported as a problem.
    """
    try:
        tune = parse_interleaved(interleaved_abc)
    except NotationError as error:
        return AlignmentReport((str(error),), 0)
    metre = parse_metre(tune.field("M") or "")
    problems = []
    for number, bar in enumerate(tune.bars, start=1):
        durations: dict[str, Fraction] = {}
        try:
            for voice, cell in bar.items():
                duration = bar_duration(cell.music, metre=metre)
                if duration is not None:
                    durations[voice] = duration
        except NotationError as error:
            problems.append(f"bar {number}: {error}")
            continue
        if len(set(durations.values())) > 1:
            first, length = next(iter(durations.items()))
            other, unlike = next(item for item in durations.items() if item[1] != length)
            problems.append(f"bar {number}: V:{other} lasts {unlike}, V:{first} lasts {length}")
    return AlignmentReport(tuple(problems), len(tune.bars))
