"""A MusicXML score as an ABC tune: parts to voices, measures to bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from xml.etree.ElementTree import Element

from notagen.foundation.errors import ConversionError, NotationError
from notagen.notation.barlines import Bar
from notagen.notation.durations import parse_metre
from notagen.notation.musicxml.cells import VoiceWriter
from notagen.notation.musicxml.directions import Sign
from notagen.notation.musicxml.grouping import format_voice, score_line
from notagen.notation.musicxml.marks import SPANS
from notagen.notation.musicxml.timeline import Event, Measure, PartReader
from notagen.notation.musicxml.voices import Voice, part_voices
from notagen.notation.tune import MAX_CELLS, Tune

_MAX_DIVISIONS = 2**31 - 1
_MAX_TICKS_PER_QUARTER = 10**12
_Tempo = tuple[int, int, str]
"""A tempo's bar, its time there and its text."""
_SPAN_BEGINNINGS = {end: begin for _, begin, end in SPANS}
_CLEF = Sign(0, 1, None, "clef", "treble")
_KEY = Sign(0, None, None, "key", "C")
_METRE = Sign(0, None, None, "metre", "4/4")


@dataclass
class Part:
    """A part read, and its voices' ids in ABC."""

    id: str
    name: str
    abbreviation: str
    measures: list[Measure]
    voices: list[Voice]
    numbers: list[str]
    transposition: int
    """Semitones from the written pitch to the sounding one."""

    def opening(self, kind: str, staff: int | None = None) -> Sign | None:
        """Return the key, metre, clef or tempo that the part begins with, if any."""
        first = self.measures[0].signs if self.measures else []
        found = [
            sign
            for sign in first
            if sign.kind == kind
            and sign.at == 0
            and (None in (staff, sign.staff) or sign.staff == staff)
        ]
        return found[-1] if found else None


def read_tune(root: Element) -> Tune:
    """Return the tune of a partwise score.

    Raises:
        ConversionError: If it holds no bar, or something that cannot be read; the message says
            where.
    """
    quarter = _ticks_per_quarter(root)
    parts = _read_parts(root, quarter)
    n_bars = max(len(part.measures) for part in parts)
    if n_bars == 0:
        raise ConversionError("found no bar in the score, wanted at least one")
    n_voices = sum(len(part.voices) for part in parts)
    if n_bars * n_voices > MAX_CELLS:
        raise ConversionError(
            f"found {n_bars} bars for {n_voices} voices, wanted {MAX_CELLS} cells at most"
        )
    lengths = _bar_lengths(parts, n_bars, quarter)
    key = next((p for p in parts if p.transposition % 12 == 0 and p.opening("key")), parts[0])
    header_key = key.opening("key") or _KEY
    header_metre = next(filter(None, (part.opening("metre") for part in parts)), _METRE)
    tempo = next(filter(None, (part.opening("tempo") for part in parts)), None)
    header = [
        "X:1",
        *_titles(root),
        score_line(root, {part.id: _staves(part) for part in parts}),
        "L:1/8",
        *([f"Q:{tempo.text}"] if tempo else []),
        f"M:{header_metre.text}",
        f"K:{header_key.text}",
        *(line for part in parts for line in _voice_lines(part)),
    ]
    bars: list[dict[str, Bar]] = [{} for _ in range(n_bars)]
    given = [header_key, header_metre]
    tempi = {(0, 0, tempo.text)} if tempo else set()
    for part in parts:
        _write_part(part, quarter, lengths, given, tempi, bars, shows_times=part is parts[0])
    return Tune(tuple(line for line in header if line), tuple(bars))


def _ticks_per_quarter(root: Element) -> int:
    """Return a number of ticks that every `<divisions>` divides; at least 8 a quarter note."""
    ticks = 8
    for element in root.iter("divisions"):
        text = (element.text or "").strip()
        known = text.isascii() and text.isdigit() and len(text) < 11
        if not (known and 0 < int(text) <= _MAX_DIVISIONS):
            raise ConversionError(f"found divisions {text!r:.20}, wanted 1 to {_MAX_DIVISIONS}")
        ticks = lcm(ticks, int(text))
        if ticks > _MAX_TICKS_PER_QUARTER:
            raise ConversionError("found divisions without a usual common multiple")
    return ticks


def _read_parts(root: Element, quarter: int) -> list[Part]:
    names = {e.get("id"): e for e in root.iterfind("part-list/score-part")}
    parts: list[Part] = []
    number = 1
    for place, element in enumerate(root.iterfind("part"), start=1):
        measures = list(PartReader(quarter).read(element))
        voices = part_voices(measures)
        numbers = [str(number + i) for i in range(len(voices))]
        number += len(voices)
        about = names.get(element.get("id"))
        parts.append(
            Part(
                id=element.get("id") or f"part {place}",
                name=_name(about, "part-name"),
                abbreviation=_name(about, "part-abbreviation"),
                measures=measures,
                voices=voices,
                numbers=numbers,
                transposition=_transposition(element),
            )
        )
    if not parts:
        raise ConversionError("found no bar in the score, wanted at least one")
    return parts


def _name(about: Element | None, tag: str) -> str:
    r"""Return a part's name as it stands between quotes, a line break in it as `\\n`."""
    text = (about.findtext(tag) if about is not None else None) or ""
    lines = [
        " ".join(line.replace('"', "'").replace("\\", " ").split()) for line in text.splitlines()
    ]
    return "\\n".join(line for line in lines if line)


def _transposition(part: Element) -> int:
    transpose = part.find("measure/attributes/transpose")
    if transpose is None:
        return 0
    chromatic = transpose.findtext("chromatic") or 0
    octaves = transpose.findtext("octave-change") or 0
    try:
        return int(float(chromatic)) + 12 * int(float(octaves))
    except (ValueError, OverflowError) as error:
        raise ConversionError(f"found a transposition by {chromatic!r:.20} semitones") from error


def _titles(root: Element) -> list[str]:
    titles = [root.findtext("work/work-title"), root.findtext("movement-title")]
    creators = [e.text for e in root.iterfind("identification/creator[@type='composer']")]
    named = [("T", title) for title in titles] + [("C", creator) for creator in creators]
    lines = (f"{name}:{' '.join((text or '').split())}" for name, text in named)
    return list(dict.fromkeys(line for line in lines if len(line) > 2))


def _staves(part: Part) -> list[list[str]]:
    """Return the ids of the part's voices, staff by staff."""
    staves: dict[int, list[str]] = {}
    for voice, number in zip(part.voices, part.numbers, strict=True):
        staves.setdefault(voice.staff, []).append(number)
    return [staves[staff] for staff in sorted(staves)]


def _voice_lines(part: Part) -> list[str]:
    lines = []
    staves = _staves(part)
    for voice, number in zip(part.voices, part.numbers, strict=True):
        is_first = number == staves[0][0]
        blank = " " if len(staves) > 1 else ""  # a name holds the part's staves together
        lines.append(
            format_voice(
                number,
                (part.opening("clef", voice.staff) or _CLEF).text,
                transposition=part.transposition,
                name=part.name or blank if is_first else None,
                abbreviation=part.abbreviation if is_first else None,
            )
        )
    return lines


def _bar_lengths(parts: Sequence[Part], n_bars: int, quarter: int) -> list[int]:
    """Return the ticks of each bar: its longest part, or its metre where no part says."""
    lengths = []
    metre = Fraction(1)
    for number in range(n_bars):
        length = 0
        for part in parts:
            if number < len(part.measures):
                measure = part.measures[number]
                length = max(length, measure.ticks)
                for sign in measure.signs:
                    if sign.kind == "metre":
                        metre = parse_metre(sign.text) or metre
        nominal = max(1, int(metre * 4 * quarter))
        is_rounded = abs(length - nominal) < quarter // 50
        lengths.append(nominal if length == 0 or is_rounded else length)
    return lengths


def _write_part(
    part: Part,
    quarter: int,
    lengths: Sequence[int],
    given: Sequence[Sign],
    tempi: set[_Tempo],
    bars: list[dict[str, Bar]],
    *,
    shows_times: bool,
) -> None:
    """Write the part's voices into the bars.

    What `given`, the key and metre of the header, says already is left out, and a tempo that
    another part marks at the same time, for it holds for all; the part's are added to `tempi`.
    """
    writers = []
    known: list[dict[str, str]] = []
    for voice in part.voices:
        clef = part.opening("clef", voice.staff) or _CLEF
        writers.append(VoiceWriter(quarter, voice.staff, given[0].number, clef.number))
        known.append({sign.kind: sign.text for sign in given} | {"clef": clef.text})
    empty = Measure()
    for number, ticks in enumerate(lengths):
        measure = part.measures[number] if number < len(part.measures) else empty
        following = part.measures[number + 1] if number + 1 < len(part.measures) else None
        signs = _signs_of_voices(part, measure, number, known, tempi)
        line = measure.barlines.closing(following.barlines if following else None)
        left = measure.barlines.opening if number == 0 else ""
        for place, (voice, writer) in enumerate(zip(part.voices, writers, strict=True)):
            try:
                text = writer.write(voice.bars.get(number, ()), signs[place], ticks)
            except NotationError as error:
                where = f"part {part.id:.20}, bar {number + 1}"
                raise ConversionError(f"{where}: {error}") from error
            if place == 0 and measure.barlines.fermata:
                text += "!fermata!"
            if place == 0 and shows_times and measure.barlines.times:
                text += f"!x{measure.barlines.times}!"
            bars[number][part.numbers[place]] = Bar(left, text, line)


def _signs_of_voices(
    part: Part, measure: Measure, bar: int, known: list[dict[str, str]], tempi: set[_Tempo]
) -> list[list[Sign]]:
    """Deal a measure's signs to the part's voices.

    Keys and metres go to all voices, clefs to those of their staff, the rest to one voice. A key,
    metre or clef that is in force already is left out, and a tempo that is marked already.
    """
    dealt: list[list[Sign]] = [[] for _ in part.voices]
    for sign in measure.signs:
        if sign.kind == "tempo":
            tempo = bar, sign.at, sign.text
            if tempo in tempi:
                continue
            tempi.add(tempo)
        if sign.kind in ("text", "tempo"):
            place = _place_for(part, sign, bar)
            sign = _settled(sign, part.voices[place].sounding(bar, sign.at), dealt[place])
            dealt[place].append(sign)
            continue
        for place, voice in enumerate(part.voices):
            if sign.staff in (None, voice.staff) and known[place].get(sign.kind) != sign.text:
                known[place][sign.kind] = sign.text
                dealt[place].append(sign)
    return [sorted(signs, key=lambda sign: sign.at) for signs in dealt]


def _settled(sign: Sign, event: Event | None, before: Sequence[Sign]) -> Sign:
    """Return a sign that comes while a note sounds at the nearer end of the note.

    A hairpin that begins and ends during one note lasts as long as the note.
    """
    if event is None:
        return sign
    begun = _SPAN_BEGINNINGS.get(sign.text)
    within = begun is not None and any(s.text == begun and s.at >= event.onset for s in before)
    late = within or sign.at - event.onset > event.end - sign.at
    return sign._replace(at=event.end if late else event.onset)


def _place_for(part: Part, sign: Sign, bar: int) -> int:
    """Return which voice writes words or dynamics: on the sign's staff, and free at its time.

    The voice that the source names comes first, then those with notes in this bar.
    """

    def rank(place: int) -> tuple[bool, bool, bool, bool, int]:
        voice = part.voices[place]
        return (
            sign.staff is not None and voice.staff != sign.staff,
            voice.sounding(bar, sign.at) is not None,
            voice.source != sign.voice,
            bar not in voice.bars,
            place,
        )

    return min(range(len(part.voices)), key=rank) if len(part.voices) > 1 else 0
