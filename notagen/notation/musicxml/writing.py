"""A tune written as a MusicXML score in parts.

Every length is an exact fraction: a quarter has as many divisions as the tune needs. The document
depends on the tune alone.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from math import gcd, lcm

from notagen.foundation.errors import NotationError
from notagen.notation.durations import UNIT
from notagen.notation.musicxml.abc_items import Change, Direction, Event, SpanEnd, VoiceMusic
from notagen.notation.musicxml.abc_layout import (
    Part,
    VoiceLine,
    read_parts,
    read_voice_lines,
)
from notagen.notation.musicxml.abc_links import link
from notagen.notation.musicxml.abc_signs import (
    TREBLE,
    Clef,
    KeySign,
    Metre,
    Tempo,
    read_key,
    read_metre,
    read_tempo,
    read_unit,
    words_xml,
)
from notagen.notation.musicxml.abc_voice_signs import Reading
from notagen.notation.musicxml.abc_voices import VoiceReader
from notagen.notation.musicxml.write_bars import Attributes, write_barlines
from notagen.notation.musicxml.write_notes import VoiceWriter
from notagen.notation.tune import Tune

_DECLARATION = (
    '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN"'
    ' "http://www.musicxml.org/dtds/partwise.dtd">\n'
)
_MAX_DIVISIONS = 1 << 24
_MAX_BAR_DIVISIONS = (1 << 31) - 1
_MAX_TITLES = 2
_DIATONIC = (0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 6)
"""Steps of the scale in an interval of so many semitones."""


class _Header:
    """What a tune's header says for all voices."""

    def __init__(self, tune: Tune) -> None:
        key = tune.field("K")
        if key is None:
            raise NotationError("found no K: line, wanted the tune's key")
        sign, clef = read_key(key)
        self.key = sign or KeySign(0, "none")
        self.clef: Clef = clef or TREBLE
        metre, unit = tune.field("M"), tune.field("L")
        self.metre: Metre | None = read_metre(metre) if metre else None
        self.unit = read_unit(unit) if unit else UNIT
        self.tempo: Tempo | None = read_tempo(tune.field("Q") or "")
        self.voices = read_voice_lines(tune.header)

    def voice(self, name: str) -> VoiceLine:
        """Return what is said of a voice."""
        return self.voices.get(name) or VoiceLine()


class _Bars:
    """Lengths of the bars, and the divisions they need."""

    def __init__(self, music: Sequence[Sequence[VoiceMusic]], metre: Fraction | None) -> None:
        columns = list(zip(*(voice.bars for part in music for voice in part), strict=True))
        self.lengths = [max(bar.length for bar in column) for column in columns]
        self.times = [max(bar.times for bar in column) for column in columns]
        """How often a repeat is played; one voice of the score says it for all parts."""
        self.starts = [Fraction(0), *accumulate(self.lengths)]
        grains = [lcm(*(bar.grain for bar in column)) for column in columns]
        self.divisions = _divisions(grains)
        first = [c for bar in columns[0] for c in bar.items if isinstance(c, Change) and not c.at]
        metre = next((c.metre.length for c in first if c.metre is not None), metre)
        self.upbeat = metre is not None and self.lengths[0] < metre


def write_score(tune: Tune) -> str:
    """Return the MusicXML 4.0 document of a tune in which every voice is written in every bar.

    Before: `K:G`, `V:1 treble nm="Oboe"`, bars `F2 c2 |`; after: a part `Oboe` with one sharp and
    measures of two quarter notes, F sharp 4 and C 5.

    Raises:
        NotationError: If the tune cannot be read; the message names bar and voice where they are
            known.
    """
    header = _Header(tune)
    parts = read_parts(tune, header.voices)
    if not parts:
        raise NotationError("found no voice with music, wanted at least one")
    for number, bar in enumerate(tune.bars, start=1):
        if len(bar) != len(tune.bars[0]) or any(v not in bar for v in tune.bars[0]):
            raise NotationError(f"bar {number}: found a voice missing, wanted every voice")
    music = _read(tune, parts, header)
    bars = _Bars(music, header.metre.length if header.metre else None)
    out = [_DECLARATION, '<score-partwise version="4.0">\n', _identification(tune), "<part-list>\n"]
    for number, part in enumerate(parts, start=1):
        out += _part_list_entry(number, part, header)
    out.append("</part-list>\n")
    for number, (part, voices) in enumerate(zip(parts, music, strict=True), start=1):
        link(voices, bars.starts)
        out.append(f'<part id="P{number}">\n')
        _write_part(part, voices, bars, header, first=number == 1, out=out)
        out.append("</part>\n")
    out.append("</score-partwise>\n")
    return "".join(out)


def _read(tune: Tune, parts: Sequence[Part], header: _Header) -> list[list[VoiceMusic]]:
    reading = Reading(header.key, header.metre, header.unit)
    if header.tempo is not None:
        reading.tempi.add((0, Fraction(0), header.tempo.content))
    music: list[list[VoiceMusic]] = []
    for part in parts:
        music.append([])
        for number, (voice, staff) in enumerate(part.voices, start=1):
            clef = header.voice(voice).clef or header.clef
            reader = VoiceReader(reading, voice, number, staff, len(part.staves), clef)
            music[-1].append(reader.read(bar[voice] for bar in tune.bars))
    return music


def _divisions(grains: Sequence[int]) -> list[int]:
    """Return the divisions of a quarter in each bar: the same in all, if that is a usual number.

    A bar's grain is the fraction of a whole note that all its lengths are multiples of.
    """
    common = 1
    for grain in set(grains):
        common = lcm(common, grain)
        if common > 4 * _MAX_DIVISIONS:
            break
    else:
        return [common // gcd(common, 4)] * len(grains)
    each = [grain // gcd(grain, 4) for grain in grains]
    for number, divisions in enumerate(each, start=1):
        if divisions > _MAX_BAR_DIVISIONS:
            raise NotationError(f"bar {number}: found lengths too unlike, wanted a common fraction")
    return each


def _identification(tune: Tune) -> str:
    titles = [line[2:].strip() for line in tune.header if line.startswith("T:")]
    titles = [words_xml(title) for title in titles if title][:_MAX_TITLES]
    composers = [line[2:].strip() for line in tune.header if line.startswith("C:")]
    out = f"<work><work-title>{titles[0]}</work-title></work>\n" if titles else ""
    out += "".join(f"<movement-title>{title}</movement-title>\n" for title in titles[1:])
    out += "<identification>"
    out += "".join(
        f'<creator type="composer">{words_xml(name)}</creator>' for name in composers if name
    )
    return (
        f"{out}<encoding><software>NotaGen</software></encoding></identification>\n"
        "<defaults><scaling><millimeters>7</millimeters><tenths>40</tenths></scaling></defaults>\n"
    )


def _part_list_entry(number: int, part: Part, header: _Header) -> list[str]:
    out = [
        f'<part-group type="start" number="{group.number}">'
        f"<group-symbol>{'brace' if group.brace else 'bracket'}</group-symbol>"
        f"<group-barline>{'yes' if group.barlines else 'no'}</group-barline></part-group>\n"
        for group in part.opens
    ]
    named = next((header.voice(v) for v, _ in part.voices if header.voice(v).name), VoiceLine())
    short = words_xml(named.short_name)
    abbreviation = f"<part-abbreviation>{short}</part-abbreviation>" if short else ""
    out.append(
        f'<score-part id="P{number}"><part-name>{words_xml(named.name)}</part-name>{abbreviation}'
        "</score-part>\n"
    )
    out += [f'<part-group type="stop" number="{group.number}"/>\n' for group in part.closes]
    return out


def _attributes(part: Part, header: _Header) -> tuple[Attributes, str]:
    """Return what is in force when a part begins, and its `<transpose>`."""
    clefs = [header.voice(staff[0]).clef or header.clef for staff in part.staves]
    moved = next((line.transpose for v, _ in part.voices if (line := header.voice(v)).transpose), 0)
    transpose = ""
    if moved:
        sign = 1 if moved > 0 else -1
        octaves, semitones = divmod(abs(moved), 12)
        change = f"<octave-change>{sign * octaves}</octave-change>" if octaves else ""
        transpose = (
            f"<transpose><diatonic>{sign * _DIATONIC[semitones]}</diatonic>"
            f"<chromatic>{sign * semitones}</chromatic>{change}</transpose>"
        )
    return Attributes(clefs, header.key, header.metre), transpose


def _write_part(
    part: Part,
    voices: Sequence[VoiceMusic],
    bars: _Bars,
    header: _Header,
    *,
    first: bool,
    out: list[str],
) -> None:
    attributes, transpose = _attributes(part, header)
    writers = [VoiceWriter(v, with_staff=len(part.staves) > 1) for v in range(1, len(voices) + 1)]
    columns = list(zip(*(voice.bars for voice in voices), strict=True))
    barlines = write_barlines(columns, bars.times)
    known: dict[Fraction, int] = {}
    divisions = 0
    for place, (column, (left, right)) in enumerate(zip(columns, barlines, strict=True)):
        number = place if bars.upbeat else place + 1
        implicit = ' implicit="yes"' if number == 0 else ""
        out.append(f'<measure number="{number}"{implicit}>\n')
        if left:
            out.append(f"{left}\n")
        changes = [item for bar in column for item in bar.items if type(item) is Change]
        new = bars.divisions[place] if bars.divisions[place] != divisions else None
        if place == 0:
            out.append(attributes.opening(changes, bars.divisions[0], transpose) + "\n")
            if first and header.tempo is not None:
                out.append(
                    f'<direction placement="above">{header.tempo.content}{header.tempo.sound}'
                    "</direction>\n"
                )
        elif changes or new:
            out.append(attributes.update(changes, new) + "\n")
        if new:
            divisions, known = new, {}
        taken = 0
        for bar, writer in zip(column, writers, strict=True):
            if taken:
                out.append(f"<backup><duration>{taken}</duration></backup>\n")
            taken = 0
            lone = bar.n_events == 1 and bar.length == bars.lengths[place]
            for item in bar.items:
                if type(item) is Event:
                    ticks = known.get(item.length)
                    if ticks is None:
                        ticks = known[item.length] = int(item.length * divisions * 4)
                    taken += ticks
                    writer.event(item, ticks, fills_bar=lone, out=out)
                elif type(item) is Direction:
                    out.append(writer.direction(item))
                elif type(item) is SpanEnd:
                    out.append(writer.span(item))
                elif type(item) is Change and item.xml:
                    out.append(f"<attributes>{item.xml}</attributes>\n")
        if right:
            out.append(f"{right}\n")
        out.append("</measure>\n")
