"""Notes, rests and directions of a voice as MusicXML elements."""

from collections.abc import Sequence

from notagen.notation.musicxml.abc_items import Direction, Event, Note, SpanEnd
from notagen.notation.musicxml.abc_signs import VALUES
from notagen.notation.musicxml.marks import SPANS

_ACCIDENTALS = {
    "^^": "<accidental>double-sharp</accidental>",
    "^": "<accidental>sharp</accidental>",
    "=": "<accidental>natural</accidental>",
    "_": "<accidental>flat</accidental>",
    "__": "<accidental>flat-flat</accidental>",
    None: "",
}
_GROUPS = ("ornaments", "technical", "articulations")
_TYPES = {
    length: f"<type>{value.name}</type>" + "<dot/>" * value.dots for length, value in VALUES.items()
}


class VoiceWriter:
    """Writes what stands in one voice.

    Args:
        number: Number of the voice in its part.
        with_staff: Whether the part has several staves.
    """

    def __init__(self, number: int, *, with_staff: bool) -> None:
        self._voice = f"<voice>{number}</voice>"
        self._with_staff = with_staff

    def event(self, event: Event, ticks: int, *, fills_bar: bool, out: list[str]) -> None:
        """Write a note, a chord's notes or a rest.

        Args:
            event: Which.
            ticks: Its length in divisions.
            fills_bar: Whether it is all there is in the bar.
            out: Receives the elements.
        """
        duration = "" if event.grace else f"<duration>{ticks}</duration>"
        modification = ""
        if event.actual != event.normal:
            modification = (
                f"<time-modification><actual-notes>{event.actual}</actual-notes>"
                f"<normal-notes>{event.normal}</normal-notes></time-modification>"
            )
        value = _TYPES.get(event.written, "")
        tail = f"<staff>{event.staff}</staff>" if self._with_staff else ""
        opening = '<note print-object="no">' if event.hidden else "<note>"
        if not event.notes:
            whole = event.fills_bar or fills_bar
            rest = '<rest measure="yes"/>' if whole else "<rest/>"
            if whole:
                value = modification = ""
            elif event.hidden and not value and not event.marks and not event.notations:
                # no rest looks like this one: leave the gap open
                out.append(f"<forward>{duration}{self._voice}{tail}</forward>\n")
                return
            notations = _notations(event.notations, event.marks)
            out.append(
                f"{opening}{rest}{duration}{self._voice}{value}{modification}{tail}{notations}</note>\n"
            )
            return
        for place, note in enumerate(event.notes):
            ties = ""
            own: list[str] = []
            if note.ends_tie:
                ties = '<tie type="stop"/>'
                own.append('<tied type="stop"/>')
            if note.ties:
                ties += '<tie type="start"/>'
                own.append('<tied type="start"/>')
            marks = note.marks
            if not place:
                own += event.notations
                marks = event.marks + marks
            elif "arpeggiate" in event.marks:
                marks = ["arpeggiate", *marks]
            notations = _notations(own, marks) if own or marks else ""
            out.append(
                f"{opening}{event.grace}{'<chord/>' if place else ''}{_pitch(note, event.pitched)}"
                f"{duration}{ties}{self._voice}{value}{_ACCIDENTALS[note.sign]}{modification}"
                f"{tail}{'' if place else event.beams}{notations}</note>\n"
            )

    def direction(self, direction: Direction) -> str:
        """Return a direction, a chord symbol, or nothing."""
        staff = f"<staff>{direction.staff}</staff>" if self._with_staff else ""
        if direction.harmony:
            return f"<harmony>{direction.content}{staff}</harmony>\n"
        if not direction.content:
            return ""
        placement = f' placement="{direction.placement}"' if direction.placement else ""
        return (
            f"<direction{placement}>{direction.content}{self._voice}{staff}{direction.sound}"
            "</direction>\n"
        )

    def span(self, end: SpanEnd) -> str:
        """Return an end of a hairpin, a pedal or an octave line, or nothing."""
        if not end.number:
            return ""
        element, kind, *size = SPANS[end.kind][0].split()
        attributes = f'type="{kind if end.opens else "stop"}" number="{end.number}"'
        if element == "octave-shift":
            attributes += f' size="{size[0] if size else 8}"'
        staff = f"<staff>{end.staff}</staff>" if self._with_staff else ""
        return (
            f"<direction><direction-type><{element} {attributes}/></direction-type>"
            f"{self._voice}{staff}</direction>\n"
        )


def _pitch(note: Note, pitched: bool) -> str:
    step = note.place[0]
    if not pitched:
        return (
            f"<unpitched><display-step>{step}</display-step>"
            f"<display-octave>{note.octave}</display-octave></unpitched>"
        )
    alter = f"<alter>{note.alter}</alter>" if note.alter else ""
    return f"<pitch><step>{step}</step>{alter}<octave>{note.octave}</octave></pitch>"


def _notations(written: Sequence[str], marks: Sequence[str]) -> str:
    """Return `<notations>`: elements written out already, and marks by their paths."""
    if not written and not marks:
        return ""
    groups: dict[str, str] = {}
    single = ""
    for mark in dict.fromkeys(marks):
        path, _, text = mark.rpartition("=") if mark[-1].isdigit() else (mark, "", "")
        group, _, element = path.rpartition("/")
        if group:
            name = element.split()[0]
            groups[group] = groups.get(group, "") + (
                f"<{element}>{text}</{name}>" if text else f"<{element}/>"
            )
        elif path == "fermata inverted":
            single += '<fermata type="inverted"/>'
        else:
            single += f"<{path}/>"
    inside = "".join(f"<{name}>{groups[name]}</{name}>" for name in _GROUPS if name in groups)
    return f"<notations>{''.join(written)}{inside}{single}</notations>"
