"""The voices of a part as ABC needs them: one thing at a time, each at home on one staff.

MusicXML may let notes of one voice overlap, or use one voice number on two staves at once; such
voices are taken apart. A voice of which nothing is printed is left out. A voice that wanders
between staves in turn stays one voice.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from notagen.foundation.errors import ConversionError
from notagen.notation.musicxml.timeline import Event, Measure

_MAX_VOICES = 250
_Key = tuple[str, int, int]
"""Voice of the source, staff (0: any) and a number among those that overlap."""


@dataclass
class Voice:
    """A voice of ABC: its events, bar by bar."""

    source: str
    """The voice's name in the source."""
    staff: int
    """Where most of its notes stand."""
    bars: dict[int, list[Event]] = field(default_factory=dict)
    """Events in order of time; bars without any are missing."""

    def sounding(self, bar: int, at: int) -> Event | None:
        """Return the event of the voice that begins before this moment of a bar and ends after."""
        events = self.bars.get(bar, ())
        place = bisect_left(events, at, key=lambda e: e.onset)
        return events[place - 1] if place and events[place - 1].end > at else None


def part_voices(measures: list[Measure]) -> list[Voice]:
    """Return the voices of a part in the order in which they first appear; at least one.

    Raises:
        ConversionError: If there are more than any part has.
    """
    divided = _divided_voices(measures)
    bars: dict[_Key, dict[int, list[Event]]] = {}
    for number, measure in enumerate(measures):
        ends: dict[_Key, int] = {}
        for event in sorted(measure.events, key=lambda e: e.onset):
            staff = event.staff if event.voice in divided else 0
            key = (event.voice, staff, 0)
            while ends.get(key, 0) > event.onset and key[2] < _MAX_VOICES:
                key = (event.voice, staff, key[2] + 1)
            ends[key] = max(event.end, ends.get(key, 0))
            bars.setdefault(key, {}).setdefault(number, []).append(event)
    if len(bars) > _MAX_VOICES:
        raise ConversionError(f"found {len(bars)} voices in a part, wanted {_MAX_VOICES} at most")
    voices = [
        Voice(key[0], _home(found), found) for key, found in bars.items() if _is_printed(found)
    ]
    _fill_staves(voices)
    return voices or [Voice("1", 1)]


def _fill_staves(voices: list[Voice]) -> None:
    """Give a staff on which no voice is at home one that stands there now and then.

    A staff exists by its voices: without one, a piano whose left hand rests would lose its upper
    staff.
    """
    for staff in sorted({e.staff for v in voices for bar in v.bars.values() for e in bar}):
        homes = Counter(voice.staff for voice in voices)
        if staff in homes:
            continue
        visits = {
            place: sum(event.staff == staff for bar in voice.bars.values() for event in bar)
            for place, voice in enumerate(voices)
            if homes[voice.staff] > 1
        }
        if visits and max(visits.values()):
            voices[max(visits, key=lambda place: (visits[place], -place))].staff = staff


def _divided_voices(measures: list[Measure]) -> set[str]:
    """Return the voices that somewhere have notes on two staves at the same time."""
    divided: set[str] = set()
    for measure in measures:
        voices: dict[str, list[Event]] = {}
        for event in measure.events:
            voices.setdefault(event.voice, []).append(event)
        for voice, events in voices.items():
            if len({event.staff for event in events}) == 1:
                continue
            end, staff = 0, 0
            for event in sorted(events, key=lambda e: e.onset):
                if event.onset < end and event.staff != staff:
                    divided.add(voice)
                if event.end > end:
                    end, staff = event.end, event.staff
    return divided


def _is_printed(bars: dict[int, list[Event]]) -> bool:
    return any(event.pitches or not event.hidden for events in bars.values() for event in events)


def _home(bars: dict[int, list[Event]]) -> int:
    """Return the staff that most notes stand on; without notes, most rests."""
    staves: Counter[int] = Counter()
    for events in bars.values():
        for event in events:
            staves[event.staff] += 1000 if event.pitches else 1
    return staves.most_common(1)[0][0]
