"""Bars of one voice written as ABC: notes with their accidentals, tuplets, graces, signs."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from notagen.foundation.errors import NotationError
from notagen.notation.durations import format_length, parse_length
from notagen.notation.keys import ALTERATIONS, Place, signature_alteration
from notagen.notation.musicxml.directions import Sign
from notagen.notation.musicxml.timeline import Event, Pitch

_MAX_IN_TUPLET = 999
_SIGNS = {alteration: sign for sign, alteration in ALTERATIONS.items()}
_Ratio = tuple[int, int]


class VoiceWriter:
    """Writes the bars of one voice in turn; what a bar means depends on those before.

    Accidentals hold for letter and octave to the end of the bar; a tie carries a pitch to the next
    note at its place and leaves no accidental in the bar.

    Args:
        ticks_per_quarter: Ticks of a quarter note.
        staff: Where the voice is at home.
        fifths: Sharps of the key at the beginning.
        octaves: By how many octaves the opening clef moves the notes.
    """

    def __init__(self, ticks_per_quarter: int, staff: int, fifths: int, octaves: int) -> None:
        self._quarter = ticks_per_quarter
        self._eighth = Fraction(ticks_per_quarter, 2)
        self._smallest = max(1, ticks_per_quarter // 50)
        self._home = self._staff = staff
        self._fifths, self._octaves = fifths, octaves
        self._in_bar: dict[Place, int] = {}
        self._tied: dict[Place, int] = {}
        self._beaming = False
        self._lengths: dict[tuple[int, _Ratio | None], str] = {}

    def write(self, events: Sequence[Event], signs: Sequence[Sign], ticks: int) -> str:
        """Return the bar's text.

        Args:
            events: In order of time, one after another.
            signs: In order of time; each stands before the first event that is not before it.
            ticks: Length of the bar; what is missing is filled with invisible rests.

        Raises:
            NotationError: If a length or a tuplet has numbers that ABC has no room for.
        """
        self._in_bar.clear()
        self._beaming = False
        openings = _tuplets(events) if any(event.ratio for event in events) else {}
        out: list[str] = []
        now, pending = 0, list(reversed(signs))
        drift = Fraction(0)  # by how much longer the notes last than their rounded ticks
        for place, event in enumerate(events):
            if event.onset - now >= self._smallest:
                self._fill(out, now + round(drift), event.onset, pending)
                now, drift = event.onset, Fraction(0)
            while pending and pending[-1].at <= event.onset:
                out.append(self._sign(pending.pop()))
            if event.graces:
                out.append(self._graces(event))
                continue
            if event.staff != self._staff:
                out.append(f"[I:staff {event.staff - self._staff:+d}]")
                self._staff = event.staff
            if self._begins_group(event):
                out.append(" ")
            out.append(openings.get(place, ""))
            out.append(self._event(event))
            now = event.end
            drift += event.drift
        self._fill(out, now + round(drift), ticks, pending)
        out += [self._sign(sign) for sign in reversed(pending)]
        return "".join(out).strip()

    def _fill(self, out: list[str], now: int, until: int, pending: list[Sign]) -> None:
        """Write invisible rests up to a time, with the signs that fall in between."""
        while until - now >= self._smallest:  # less is rounding of the source
            while pending and pending[-1].at < now + self._smallest:
                out.append(self._sign(pending.pop()))
            end = until
            if pending and pending[-1].at <= until - self._smallest:
                end = max(now + self._smallest, self._on_grid(pending[-1].at))
            out.append(f" x{self._length(end - now, None)}")
            self._tied = {}
            self._beaming = False
            now = end

    def _on_grid(self, at: int) -> int:
        """Return a time of a sign that nothing else begins at, moved to a length easily written."""
        step = max(1, self._quarter // 24)
        return round(at / step) * step

    def _sign(self, sign: Sign) -> str:
        if sign.kind == "text":
            return sign.text
        if sign.kind == "key":
            self._fifths = sign.number
            self._in_bar.clear()
            return f"[K:{sign.text}]"
        if sign.kind == "clef":
            self._octaves = sign.number
            return f"[K:{sign.text}]"
        return f"[{'M' if sign.kind == 'metre' else 'Q'}:{sign.text}]"

    def _begins_group(self, event: Event) -> bool:
        """Tell whether a space comes before the event: it does not go on with a beam."""
        if not event.pitches:
            return not self._beaming
        joined = event.beam in ("continue", "end")
        self._beaming = event.beam in ("begin", "continue")
        return not joined

    def _event(self, event: Event) -> str:
        before = "(" * event.slurs_begun + _marks_text(event)
        after = ")" * event.slurs_ended
        length = self._event_length(event)
        if not event.pitches:
            self._tied = {}
            return f"{before}{'x' if event.hidden else 'z'}{length}{after}"
        return f"{before}{self._pitches(event.pitches, length)}{after}"

    def _pitches(self, pitches: list[Pitch], length: str) -> str:
        tied, self._tied = self._tied, {}
        if len(pitches) == 1:
            name = self._note(pitches[0], tied)
            return f"{name}{length}-" if pitches[0].tied else f"{name}{length}"
        if all(pitch.tied for pitch in pitches):
            return f"[{''.join([self._note(p, tied) for p in pitches])}]{length}-"
        names = [self._note(p, tied) + ("-" if p.tied else "") for p in pitches]
        return f"[{''.join(names)}]{length}"

    def _note(self, pitch: Pitch, tied: dict[Place, int], *, grace: bool = False) -> str:
        """Return a note without its length, with a sign if its pitch is not understood."""
        step, alter, octave, ties, shown = pitch
        octave -= 4 + self._octaves
        place = (step, octave)
        if place in tied:
            implied = tied[place]
        elif place in self._in_bar:
            implied = self._in_bar[place]
        else:
            implied = signature_alteration(self._fifths, step)
        sign = ""
        if shown or alter != implied:
            sign = _SIGNS[alter]
            self._in_bar[place] = alter
        if ties and not grace:
            self._tied[place] = alter
        if octave > 0:
            return f"{sign}{step.lower()}" + "'" * (octave - 1)
        return f"{sign}{step}" + "," * -octave

    def _graces(self, group: Event) -> str:
        parts: list[str] = []
        before = ""
        for grace in group.graces:
            if not grace.pitches:
                continue
            marks = _marks_text(grace)
            if parts:
                marks = "(" * grace.slurs_begun + marks
            else:
                before = "(" * grace.slurs_begun
            names = [
                self._note(pitch, {}, grace=True) + ("-" if pitch.tied else "")
                for pitch in grace.pitches
            ]
            text = names[0] if len(names) == 1 else f"[{''.join(names)}]"
            parts.append(marks + text + ")" * grace.slurs_ended)
        return f"{before}{{{'/' if group.slash else ''}{''.join(parts)}}}" if parts else ""

    def _event_length(self, event: Event) -> str:
        if event.written is not None:
            return _length_text(event.written * 2)
        return self._length(event.ticks, event.ratio)

    def _length(self, ticks: int, ratio: _Ratio | None) -> str:
        known = self._lengths.get((ticks, ratio))
        if known is None:
            actual, normal = ratio or (1, 1)
            known = _length_text(Fraction(ticks * actual, normal) / self._eighth)
            self._lengths[ticks, ratio] = known
        return known


def _length_text(eighths: Fraction) -> str:
    text = format_length(eighths)
    parse_length(text)  # refuses what nobody could read back
    return text


def _marks_text(event: Event) -> str:
    if not event.marks:
        return ""
    return "".join(text for _, text in sorted(event.marks))


def _tuplets(events: Sequence[Event]) -> dict[int, str]:
    """Return the text that opens tuplets before an event, by the event's place."""
    openings: dict[int, str] = {}
    timed = [i for i, event in enumerate(events) if not event.graces]
    notes = [events[i] for i in timed]
    at = 0
    while at < len(notes):
        if notes[at].ratio is None:
            at += 1
            continue
        end = _bracket_end(notes, at)
        if end is None:
            end = _run_end(notes, at)
            text = _opening(Fraction(1), notes[at].ratio, end - at)
            openings[timed[at]] = text
        else:
            for place, text in _nested(notes, at, end):
                openings[timed[place]] = openings.get(timed[place], "") + text
        at = end
    return openings


def _run_end(notes: Sequence[Event], at: int, bracket: str = "") -> int:
    """Return where neighbours of one ratio end, or the bracket inside `bracket` that they are."""
    end = at + 1
    while (
        end < len(notes)
        and notes[end].ratio == notes[at].ratio
        and not notes[end].tuplets_begun
        and not set(notes[end - 1].tuplets_ended) - {bracket}
        and notes[end].onset <= notes[end - 1].end
        and end - at < _MAX_IN_TUPLET
    ):
        end += 1
    return end


def _bracket_end(notes: Sequence[Event], at: int) -> int | None:
    """Return where a bracket that begins here and holds others ends; None if there is none.

    Only a bracket that says its own ratio counts. Others are written flat, which sounds the same.
    """
    begun = notes[at].tuplets_begun
    if not begun:
        return None
    outer = min(begun, key=lambda tuplet: tuplet.number)
    end = at
    while outer.number not in notes[end].tuplets_ended:
        end += 1
        if end == len(notes) or notes[end].ratio is None or notes[end].onset > notes[end - 1].end:
            return None
    holds_others = len(begun) > 1 or any(note.tuplets_begun for note in notes[at + 1 : end + 1])
    return end + 1 if holds_others and outer.actual and outer.normal else None


def _nested(notes: Sequence[Event], at: int, end: int) -> Iterator[tuple[int, str]]:
    """Yield the openings of a bracket and of the ones in it, with their places."""
    outer = min(notes[at].tuplets_begun, key=lambda tuplet: tuplet.number)
    whole = Fraction(outer.actual, outer.normal)
    yield at, _opening(Fraction(1), (outer.actual, outer.normal), end - at)
    while at < end:
        ratio = notes[at].ratio
        stop = min(end, _run_end(notes, at, outer.number))
        if ratio is not None and Fraction(*ratio) != whole:
            yield at, _opening(whole, ratio, stop - at)
        at = stop


def _opening(outer: Fraction, ratio: _Ratio | None, count: int) -> str:
    """Return the text that opens a tuplet over so many notes: `(3`, `(5:4:5`."""
    actual, normal = ratio or (1, 1)
    if outer != 1:
        share = Fraction(actual, normal) / outer
        actual, normal = share.numerator, share.denominator
    if max(actual, normal, count) > _MAX_IN_TUPLET:
        raise NotationError(f"found a tuplet {actual}:{normal} of {count} notes, wanted fewer")
    return "(3" if (actual, normal, count) == (3, 2, 3) else f"({actual}:{normal}:{count}"
