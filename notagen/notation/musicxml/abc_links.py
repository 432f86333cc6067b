"""What reaches from one note to another in a part: ties, slurs, hairpins, pedals, octave lines.

Each is looked for in its own voice first. What stays open there may end in another voice of the
part: a melody that moves from hand to hand.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TypeVar

from notagen.notation.keys import SEMITONES
from notagen.notation.musicxml.abc_items import (
    End,
    Event,
    Item,
    Note,
    SpanEnd,
    VoiceMusic,
)
from notagen.notation.musicxml.abc_marks import PEDAL
from notagen.notation.musicxml.marks import SPANS

_MAX_NUMBER = 16


T = TypeVar("T", bound=Item)


def link(voices: Sequence[VoiceMusic], bar_starts: Sequence[Fraction]) -> None:
    """Find both ends of everything in a part, and number them.

    Args:
        voices: The part's voices in the order they are written.
        bar_starts: When each bar begins, in whole notes.
    """
    _link_ties(voices, bar_starts)
    _link_slurs(voices)
    _link_spans(voices)


def _link_ties(voices: Sequence[VoiceMusic], bar_starts: Sequence[Fraction]) -> None:
    waiting = [(note, event) for voice in voices for note, event in voice.ties if not note.tie_met]
    if not waiting:
        return
    wanted = {(bar_starts[e.bar] + e.at + e.length, _pitch(n)) for n, e in waiting}
    times = {time for time, _ in wanted}
    free: dict[tuple[Fraction, int], list[Note]] = {}
    for voice in voices:
        for number, bar in enumerate(voice.bars):
            for item in bar.items:
                if type(item) is Event and item.notes and not item.grace:
                    time = bar_starts[number] + item.at
                    if time in times:
                        for note in item.notes:
                            if not note.ends_tie and (time, _pitch(note)) in wanted:
                                free.setdefault((time, _pitch(note)), []).append(note)
    for note, event in waiting:
        ends = free.get((bar_starts[event.bar] + event.at + event.length, _pitch(note)))
        if ends:
            note.tie_met = True
            ends.pop().ends_tie = True


def _pitch(note: Note) -> int:
    """Return what a note sounds like in semitones: F sharp may be tied to G flat."""
    return 12 * note.octave + SEMITONES[note.place[0]] + note.alter


def _link_slurs(voices: Sequence[VoiceMusic]) -> None:
    pairs, _ = _paired([voice.slurs for voice in voices])
    for number, start, end in _numbered(pairs):
        dotted = ' line-type="dotted"' if start.dotted else ""
        start.item.notations.append(f'<slur type="start" number="{number}"{dotted}/>')
        end.item.notations.insert(0, f'<slur type="stop" number="{number}"/>')


def _link_spans(voices: Sequence[VoiceMusic]) -> None:
    pairs: dict[str, list[tuple[End[SpanEnd], End[SpanEnd]]]] = {}
    for kind in sorted({end.item.kind for voice in voices for end in voice.spans}):
        found, left = _paired(
            [[end for end in voice.spans if end.item.kind == kind] for voice in voices]
        )
        if kind == PEDAL:
            found += _pressed_anew(voices, left)
        else:
            found += [(start, _end_of_tune(voices[start.item.voice - 1], start)) for start in left]
        # numbers tell the spans of one element apart: both kinds of hairpin are wedges
        pairs.setdefault(SPANS[kind][0].split()[0], []).extend(found)
    for spans in pairs.values():
        for number, start, end in _numbered(spans):
            start.item.number = end.item.number = number


def _time(end: End[SpanEnd]) -> tuple[int, Fraction]:
    return end.item.bar, end.item.at


def _pressed_anew(
    voices: Sequence[VoiceMusic], left: Sequence[End[SpanEnd]]
) -> list[tuple[End[SpanEnd], End[SpanEnd]]]:
    """Return pedals without an end with one: where the pedal is next pressed, it was let go."""
    presses = [end for voice in voices for end in voice.spans if end.opens]
    presses = sorted((end for end in presses if end.item.kind == PEDAL), key=_time)
    times = [_time(press) for press in presses]
    pairs: list[tuple[End[SpanEnd], End[SpanEnd]]] = []
    ends: dict[int, list[Item]] = {}  # by the identity of the press that they stand before
    bars: dict[tuple[int, int], list[Item]] = {}
    for start in left:
        place = bisect_right(times, _time(start))
        if place == len(presses):
            pairs.append((start, _end_of_tune(voices[start.item.voice - 1], start)))
            continue
        at = presses[place].item
        end = SpanEnd(at.bar, at.at, at.voice, at.serial - 1, start.item.staff, at.kind, False)
        pairs.append((start, End(False, end)))
        ends.setdefault(id(at), []).append(end)
        bars[at.voice, at.bar] = voices[at.voice - 1].bars[at.bar].items
    for items in bars.values():
        items[:] = [new for item in items for new in (*ends.get(id(item), ()), item)]
    return pairs


def _end_of_tune(voice: VoiceMusic, start: End[SpanEnd]) -> End[SpanEnd]:
    number = len(voice.bars) - 1
    bar = voice.bars[number]
    serial = bar.items[-1].serial + 1 if bar.items else start.item.serial + 1
    item = SpanEnd(
        number, bar.length, start.item.voice, serial, start.item.staff, start.item.kind, False
    )
    bar.items.append(item)
    return End(False, item)


def _paired(voices: Iterable[Sequence[End[T]]]) -> tuple[list[tuple[End[T], End[T]]], list[End[T]]]:
    """Return each beginning with its end, and the beginnings without one.

    In one voice an end belongs to the beginning before it that is nearest, but not to one at the
    same note: of `(c d (e) f)` the first slur ends where the second begins. What is left pairs up
    across the voices in the same way, by time.
    """
    pairs: list[tuple[End[T], End[T]]] = []
    left: list[End[T]] = []
    for ends in voices:
        waiting: list[End[T]] = []
        for end in ends:
            if end.opens:
                waiting.append(end)
                continue
            place = len(waiting) - 1
            while place >= 0 and waiting[place].item is end.item:
                place -= 1
            if place >= 0:
                pairs.append((waiting.pop(place), end))
            else:
                left.append(end)
        left += waiting
    waiting = []
    for end in sorted(left, key=lambda end: (end.item.bar, end.item.at, end.opens)):
        if end.opens:
            waiting.append(end)
        elif waiting:
            pairs.append((waiting.pop(), end))
    return pairs, waiting


def _numbered(
    pairs: Iterable[tuple[End[T], End[T]]],
) -> Iterator[tuple[int, End[T], End[T]]]:
    """Yield the pairs with a number that no other one has while it is open.

    Open in the order of the document, which readers follow, and if possible in time as well. Where
    more than 16 are open at once, those that are too many are left out.
    """
    ends = [_START] * _MAX_NUMBER
    times = [_TIME] * _MAX_NUMBER
    for start, end in sorted(pairs, key=lambda pair: min(_where(pair[0]), _where(pair[1]))):
        first, last = sorted((_where(start), _where(end)))
        begins = (start.item.bar, start.item.at)
        free = [place for place in range(_MAX_NUMBER) if ends[place] < first]
        if not free:
            continue
        place = next((place for place in free if times[place] <= begins), free[0])
        ends[place] = last
        times[place] = max(times[place], (end.item.bar, end.item.at))
        yield place + 1, start, end


def _where(end: End[T]) -> tuple[int, int, int]:
    """Return an end's place in the document: bars, in each its voices, in each their music."""
    return end.item.bar, end.item.voice, end.item.serial


_START = (-1, 0, 0)
_TIME = (-1, Fraction(0))
