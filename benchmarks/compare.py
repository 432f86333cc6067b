"""Two records of the raw reader compared: what was kept, what is missing, what is new."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

from benchmarks.raw_reader import MARKS, Mark, Note, Record

TOLERANCE = Fraction(1, 50)
"""In quarters; programs round the lengths of tuplets."""

Item = TypeVar("Item", Note, Mark)

Difference = tuple[str, Mark | Note | None, Mark | Note | None]
"""Kind, wanted, found; one of the two may be missing."""


@dataclass
class Comparison:
    """What became of one document on its way through ABC."""

    notes: tuple[int, int, int]
    """Wanted, found, and those that agree."""
    marks: dict[str, tuple[int, int, int, int]]
    """By kind: wanted, found, agreeing by part, bar and name, and those at the same onset too."""
    staves: int
    """Agreeing notes on the right staff."""
    symbols: int
    """Agreeing notes written as the same note value."""
    bars: tuple[list[int], list[int]]
    differences: list[Difference] = field(default_factory=list)

    @property
    def perfect(self) -> bool:
        """Whether every note is there and no other."""
        return self.notes[0] == self.notes[1] == self.notes[2]

    def as_json(self) -> dict[str, Any]:
        """Return the counts, without the differences."""
        return {
            "notes": self.notes,
            "marks": self.marks,
            "staves": self.staves,
            "symbols": self.symbols,
            "bars": self.bars,
            "perfect": self.perfect,
        }


def compare(wanted: Record, found: Record) -> Comparison:
    """Compare the record of a document with that of its source."""
    pairs, missing, new = match(
        wanted.notes,
        found.notes,
        bucket=lambda note: (note.part, note.bar, note.midi),
        place=lambda note: (note.onset, note.duration),
    )
    differences = _paired("note", missing, new)
    marks = {}
    for kind in MARKS:
        ours, theirs = wanted.marks[kind], found.marks[kind]
        loose = sum(
            (
                Counter((mark.part, mark.bar, mark.name) for mark in ours)
                & Counter((mark.part, mark.bar, mark.name) for mark in theirs)
            ).values()
        )
        same, lost, more = match(
            ours,
            theirs,
            bucket=lambda mark: (mark.part, mark.bar, mark.name),
            place=lambda mark: (mark.onset,),
        )
        marks[kind] = (len(ours), len(theirs), loose, len(same))
        differences += _paired(kind, lost, more)
    differences.sort(key=place_of)
    return Comparison(
        notes=(len(wanted.notes), len(found.notes), len(pairs)),
        marks=marks,
        staves=sum(a.staff == b.staff for a, b in pairs),
        symbols=sum(a.symbol == b.symbol or not a.symbol for a, b in pairs),
        bars=(wanted.bars, found.bars),
        differences=differences,
    )


def match(
    wanted: Iterable[Item],
    found: Iterable[Item],
    *,
    bucket: Callable[[Item], Hashable],
    place: Callable[[Item], tuple[Fraction, ...]],
) -> tuple[list[tuple[Item, Item]], list[Item], list[Item]]:
    """Pair what is the same: first the exactly same place, then the nearest within the tolerance.

    Returns:
        The pairs, what is wanted and not found, and what is found and not wanted.
    """
    pairs: list[tuple[Item, Item]] = []
    exact: dict[Hashable, list[Item]] = defaultdict(list)
    for item in found:
        exact[bucket(item), place(item)].append(item)
    left: list[Item] = []
    for item in wanted:
        same = exact.get((bucket(item), place(item)))
        if same:
            pairs.append((item, same.pop()))
        else:
            left.append(item)
    near: dict[Hashable, list[Item]] = defaultdict(list)
    for rest in exact.values():
        for item in rest:
            near[bucket(item)].append(item)
    missing = []
    for item in left:
        choice = near.get(bucket(item), [])
        here = place(item)

        distances = [_distance(here, place(other)) for other in choice]
        if distances and min(distances) <= TOLERANCE:
            pairs.append((item, choice.pop(distances.index(min(distances)))))
        else:
            missing.append(item)
    return pairs, missing, [item for rest in near.values() for item in rest]


def _distance(one: tuple[Fraction, ...], other: tuple[Fraction, ...]) -> Fraction:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _paired(kind: str, missing: list[Item], new: list[Item]) -> list[Difference]:
    """Put what is missing beside what is new in the same bar, so that a reader sees the change."""
    found: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in new:
        found[item.part, item.bar].append(item)
    rows: list[Difference] = []
    for item in missing:
        choice = found[item.part, item.bar]
        distances = [abs(other.onset - item.onset) for other in choice]
        best = choice.pop(distances.index(min(distances))) if choice else None
        rows.append((kind, item, best))
    return rows + [(kind, None, item) for rest in found.values() for item in rest]


def place_of(row: Difference) -> tuple[int, int, Fraction]:
    """Return bar, part and onset of a difference."""
    item = row[1] or row[2]
    assert item is not None  # noqa: S101 -- a difference has at least one side
    return item.bar, item.part, item.onset


def differing_notes(wanted: Iterable[Note], found: Iterable[Note]) -> list[Note]:
    """Return the notes that only one side has: of the same part, bar, pitch, onset and length."""

    def bucket(note: Note) -> tuple[int, int, Fraction]:
        return note.part, note.bar, note.midi

    def place(note: Note) -> tuple[Fraction, Fraction]:
        return note.onset, note.duration

    _, lost, new = match(wanted, found, bucket=bucket, place=place)
    return [*lost, *new]
