"""MusicXML to MIDI: verovio plays the notes, names choose instruments, dynamics the velocities.

Verovio expands repeats and keeps tempo, ties and transposing instruments, but gives every note one
velocity and seldom names an instrument. Both are put right here, track by track: verovio writes a
track for each staff, in the order of the staves.
"""

import base64
import bisect
import dataclasses
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

import mido
import verovio

from notagen.foundation.limits import limited
from notagen.notation.part_names import read_part_names
from notagen.notation.toolkit import loaded

_MEI = "{http://www.music-encoding.org/ns/mei}"
_ID = "{http://www.w3.org/XML/1998/namespace}id"

_PROGRAMS = {
    **{"bassoon": 70, "contrabassoon": 70, "contrabass": 43, "viola da gamba": 42, "cello": 42},
    **{"viola d'amore": 41, "violin": 40, "viola": 41, "strings": 48, "piccolo": 72},
    **{"recorder": 74, "alto flute": 73, "bass flute": 73, "flute": 73, "English horn": 69},
    **{"oboe d'amore": 68, "oboe": 68, "basset horn": 71, "clarinet": 71},
    **{"bass clarinet": 71, "contrabass clarinet": 71},
    **{"soprano saxophone": 64, "alto saxophone": 65, "saxophone": 65, "tenor saxophone": 66},
    **{"baritone saxophone": 67, "bass trumpet": 56, "trumpet": 56, "cornet": 56, "trombone": 57},
    **{"Wagner tuba": 58, "tuba": 58, "horn": 60, "timpani": 47, "celesta": 8, "glockenspiel": 9},
    **{"vibraphone": 11, "marimba": 12, "xylophone": 13, "continuo": 6, "harpsichord": 6},
    **{"harp": 46, "harmonium": 20, "accordion": 21, "organ": 19, "piano": 0, "bass guitar": 33},
    **{"guitar": 24, "lute": 24, "choir": 52, "mezzo-soprano": 52, "soprano": 52, "alto": 52},
    **{"tenor": 52, "baritone": 52, "bass": 52, "voice": 53},
}
"""General MIDI programs, counted from 0."""
_DRUM_KEYS = {
    **{"bass drum": 36, "snare drum": 38, "cymbals": 49, "tam-tam": 52, "tambourine": 54},
    **{"wood block": 76, "triangle": 81, "castanets": 85, "percussion": None},
}
"""General MIDI keys of percussion; None for a kit written as it sounds."""
_SNARE = 38
_DRUM_CHANNEL = 9
_CHANNELS = tuple(channel for channel in range(16) if channel != _DRUM_CHANNEL)

_LEVELS = {
    **{"pppp": 16, "ppp": 24, "pp": 36, "p": 50, "mp": 64},
    **{"mf": 80, "f": 96, "ff": 112, "fff": 120, "ffff": 126},
    **{"pia": 50, "piano": 50, "for": 96, "forte": 96},
}
_ACCENTS = {"sf", "sfz", "fz", "sff", "sffz", "rf", "rfz"}
_SUDDEN = {"fp": (96, 50), "sfp": (112, 50), "sfpp": (112, 36), "ffp": (112, 50)}
_DEFAULT_VELOCITY = _LEVELS["mf"]
_ACCENT = 24
_GROWTH = 16
"""Change of velocity over a hairpin that leads to no written level."""
_REACH = 2.0
"""Quarters after its end within which a hairpin looks for the level it leads to."""
_OPEN_GROWTH = 16.0
"""Longest "cresc." or "dim." in quarters."""
_NEAR = 1 / 48
"""Quarters by which a note's time, counted in ticks, may miss a mark's."""


@dataclasses.dataclass(frozen=True)
class _Staff:
    number: str
    part: int
    """Staves of one instrument share it."""
    name: str
    drums: bool


@dataclasses.dataclass(frozen=True)
class _Mark:
    """One performed dynamic sign; times in quarters from the start."""

    start: float
    staff: str
    word: str
    """A key of the tables above, or `<` or `>`."""
    end: float | None = None
    """Of `<` and `>`, where it is written."""


@limited(60)
def musicxml_to_midi(musicxml: str) -> bytes:
    """Return the score as a standard MIDI file, format 1, repeats played.

    Each staff is a track. Its program follows from the part's name; a name that says nothing keeps
    the program the score itself asks for, else piano. Each track has a channel of its own; where
    there are more than 15, tracks with one program share one. Percussion is on channel 10.

    Velocities follow the dynamics of the part (both staves of a piano obey a sign at either):
    levels from pppp to ffff from their onset on, sf and its like on their onset, fp, hairpins and
    "cresc." or "dim." as a straight line toward the level they lead to. Accents over single notes,
    and words such as "morendo", are not covered.

    Args:
        musicxml: A partwise score.

    Raises:
        ConversionError: If the text is no partwise MusicXML, holds no note, or could not be
            played in a minute.
    """
    # MIDI files know seven sharps or flats at most; the notes carry their own accidentals
    musicxml = re.sub(r"<fifths>\s*(-?\d+)\s*</fifths>", _playable_signature, musicxml)
    toolkit = loaded(musicxml, {"breaks": "none"})
    mei = ET.fromstring(toolkit.getMEI())  # noqa: S314 -- written by verovio just now
    midi = mido.MidiFile(file=io.BytesIO(base64.b64decode(toolkit.renderToMIDI())), clip=True)
    staves = list(_read_staves(mei.find(f".//{_MEI}scoreDef/{_MEI}staffGrp"), 0))
    # the first track holds the tempo alone
    tracks = list(zip(staves, midi.tracks[1:], strict=True))
    _set_instruments(tracks)
    marks = list(_read_marks(mei, toolkit))
    for staff, track in tracks:
        numbers = {other.number for other in staves if other.part == staff.part}
        own = [mark for mark in marks if mark.staff in numbers]
        _set_velocities(track, _Loudness(own, staff.number), midi.ticks_per_beat)
    output = io.BytesIO()
    midi.save(file=output)
    return output.getvalue()


def _playable_signature(match: re.Match[str]) -> str:
    return f"<fifths>{max(-7, min(7, int(match[1])))}</fifths>"


def _read_staves(group: ET.Element | None, part: int) -> Iterator[_Staff]:
    """Yield the staves of a staff group from top to bottom; parts are numbered from `part`."""
    if group is None:
        return
    symbol = group.find(f"{_MEI}grpSym")
    braced = symbol is not None and symbol.get("symbol") == "brace"
    previous: _Staff | None = None
    for child in group:
        if child.tag == f"{_MEI}staffGrp":
            for staff in _read_staves(child, part):
                yield staff
                part = staff.part + 1
            previous = None
        elif child.tag == f"{_MEI}staffDef":
            name = _label(child) or _label(group)
            clef = child.find(f"{_MEI}clef")
            staff = _Staff(
                number=child.get("n", ""),
                part=part,
                name=name,
                drums=clef is not None and clef.get("shape") == "perc",
            )
            # two staves under one brace are one instrument, unless they bear two names
            if braced and previous is not None and name in ("", previous.name):
                staff = dataclasses.replace(staff, part=previous.part, name=previous.name)
            yield staff
            previous, part = staff, staff.part + 1


def _label(element: ET.Element) -> str:
    label = element.find(f"{_MEI}label")
    return "" if label is None else " ".join(label.itertext())


def _set_instruments(tracks: Sequence[tuple[_Staff, mido.MidiTrack]]) -> None:
    """Give each track its program and channel, and unpitched percussion its keys."""
    names = read_part_names([staff.name for staff, _ in tracks])
    instruments = [found[0] if found else "" for found in names]
    programs: list[int | None] = []
    for instrument, (staff, track) in zip(instruments, tracks, strict=True):
        if staff.drums or instrument in _DRUM_KEYS:
            programs.append(None)
            continue
        asked = (message.program for message in track if message.type == "program_change")
        program = _PROGRAMS.get(instrument)
        programs.append(next(asked, 0) if program is None else program)
    channels = _channels(programs)
    owners: dict[int, int] = {}
    for instrument, (_, track), program, channel in zip(
        instruments, tracks, programs, channels, strict=True
    ):
        track[:] = [
            message if message.is_meta else message.copy(channel=channel)
            for message in track
            if message.type != "program_change"
        ]
        if program is None:
            _set_drum(track, _DRUM_KEYS.get(instrument))
        else:
            program = owners.setdefault(channel, program)
            track.insert(0, mido.Message("program_change", channel=channel, program=program))


def _channels(programs: Sequence[int | None]) -> list[int]:
    """Return a channel for each track's program; None is percussion.

    Where channels run out, tracks with one program share a channel; where even the programs are
    too many, those left over join the channel of the nearest program.
    """
    pitched = [program for program in programs if program is not None]
    if len(pitched) <= len(_CHANNELS):
        free = iter(_CHANNELS)
        return [_DRUM_CHANNEL if program is None else next(free) for program in programs]
    shared = dict(zip(dict.fromkeys(pitched), _CHANNELS, strict=False))
    for program in pitched:
        distances = {abs(other - program): channel for other, channel in shared.items()}
        shared.setdefault(program, distances[min(distances)])
    return [_DRUM_CHANNEL if program is None else shared[program] for program in programs]


def _set_drum(track: mido.MidiTrack, key: int | None) -> None:
    """Set a percussion track's keys; verovio writes key 0 for notes without pitch."""
    for message in track:
        if message.type in ("note_on", "note_off"):
            message.note = key or message.note or _SNARE


def _read_marks(mei: ET.Element, toolkit: verovio.toolkit) -> Iterator[_Mark]:
    """Yield the dynamic signs in the order they are performed, repeats included."""
    bars: dict[str, ET.Element] = {}
    beats: dict[str, float] = {}
    beat = 1.0
    for element in mei.iter():
        if element.tag == f"{_MEI}meterSig":
            beat = 4 / int(element.get("unit", "4"))
        elif element.tag == f"{_MEI}measure":
            bars[element.get(_ID, "")], beats[element.get(_ID, "")] = element, beat
    performed = [
        (event["measureOn"].partition("-rend")[0], event["qstamp"])
        for event in toolkit.renderToTimemap({"includeMeasures": True})
        if "measureOn" in event
    ]
    for place, (bar, onset) in enumerate(performed):
        for sign in bars[bar]:
            word = _word(sign)
            if word is None or (written := sign.get("tstamp")) is None:
                continue
            end = None
            later, _, last_beat = sign.get("tstamp2", "").rpartition("m+")
            if last_beat and word in "<>":
                last_bar, last_onset = performed[min(place + int(later or 0), len(performed) - 1)]
                end = last_onset + (float(last_beat) - 1) * beats[last_bar]
            start = onset + (float(written) - 1) * beats[bar]
            for staff in sign.get("staff", "").split():
                yield _Mark(start, staff, word, end)


def _word(sign: ET.Element) -> str | None:
    """Return what a dynamic sign says, or None for another element or a word unknown here."""
    if sign.tag == f"{_MEI}hairpin":
        return "<" if sign.get("form") == "cres" else ">"
    if sign.tag != f"{_MEI}dynam":
        return None
    for word in re.findall(r"[a-z]+", "".join(sign.itertext()).casefold()):
        if word in _LEVELS or word in _ACCENTS or word in _SUDDEN:
            return str(word)
        if word.startswith("cresc"):
            return "<"
        if word.startswith(("dim", "decr")):
            return ">"
    return None


class _Loudness:
    """Velocity over time: straight lines between the marks of one part, and accents on top."""

    def __init__(self, marks: Sequence[_Mark], staff: str) -> None:
        self._lines: list[tuple[float, float, float, float]] = [
            (float("-inf"), float("-inf"), _DEFAULT_VELOCITY, _DEFAULT_VELOCITY)
        ]
        self._accents: list[tuple[float, int]] = []
        self._levels = sorted(
            (mark.start, level) for mark in marks for level in [_level(mark)] if level is not None
        )
        # at one time the levels come first, and that of the staff itself has the last word
        for mark in sorted(marks, key=lambda m: (m.start, m.word in "<>", m.staff == staff)):
            level = _level(mark)
            if mark.word in _SUDDEN:
                self._accents.append((mark.start, _SUDDEN[mark.word][0]))
            if mark.word in _ACCENTS:
                struck = round(self._plain_at(mark.start)) + _ACCENT
                self._accents.append((mark.start, struck))
            elif level is not None:
                self._lines.append((mark.start, mark.start, level, level))
            else:
                self._grow(mark)

    def at(self, time: float) -> int:
        """Return the velocity of a note that starts at `time`, in quarters, 1 to 127."""
        place = bisect.bisect_right(self._accents, time + _NEAR, key=lambda accent: accent[0]) - 1
        if place >= 0 and self._accents[place][0] > time - _NEAR:
            return min(127, self._accents[place][1])
        return min(127, max(1, round(self._plain_at(time + _NEAR))))

    def _plain_at(self, time: float) -> float:
        place = bisect.bisect_right(self._lines, time, key=lambda line: line[0]) - 1
        start, end, first, last = self._lines[place]
        return last if time >= end else first + (last - first) * (time - start) / (end - start)

    def _grow(self, mark: _Mark) -> None:
        """Draw the line of a hairpin or a "cresc." to the level it leads to."""
        first = self._plain_at(mark.start)
        sign = 1 if mark.word == "<" else -1
        place = bisect.bisect_right(self._levels, mark.start, key=lambda level: level[0])
        next_level = self._levels[place] if place < len(self._levels) else None
        end = mark.end
        if end is None:
            end = mark.start + _OPEN_GROWTH
            if next_level is not None:
                end = min(end, next_level[0])
        last = min(126.0, max(16.0, first + sign * _GROWTH))
        if next_level is not None and next_level[0] <= end + _REACH:
            # a crescendo may break off to a subito piano: then that is not where it leads
            last = next_level[1] if (next_level[1] - first) * sign > 0 else last
        self._lines.append((mark.start, max(end, mark.start), first, last))


def _level(mark: _Mark) -> int | None:
    """Return the velocity that holds from a mark on, or None if it sets no level."""
    return _SUDDEN[mark.word][1] if mark.word in _SUDDEN else _LEVELS.get(mark.word)


def _set_velocities(track: mido.MidiTrack, loudness: _Loudness, ticks_per_quarter: int) -> None:
    ticks = 0
    for message in track:
        ticks += message.time
        if message.type == "note_on" and message.velocity > 0:
            message.velocity = loudness.at(ticks / ticks_per_quarter)
