"""Whether a piece is sound: header, bars and ranges, the way to MusicXML, repeats of one bar."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile

from notagen.foundation.errors import NotationError, ScoreError
from notagen.foundation.limits import limited
from notagen.metrics.headers import find_header_problems
from notagen.metrics.notes import UNPITCHED, Note, abc_notes, score_notes
from notagen.metrics.ranges import RangeReport, check_ranges, pitch_name
from notagen.notation.checks import check_alignment
from notagen.notation.durations import bar_duration
from notagen.notation.interleave import parse_interleaved
from notagen.notation.keys import parse_key
from notagen.notation.musicxml import abc_to_musicxml
from notagen.notation.parts import played
from notagen.notation.tune import Tune

_SECONDS = 300.0
_LONGEST_PATTERN = 8
_BODY = ("[V:", "[r:")


@dataclass(frozen=True)
class Validity:
    """Findings about one piece, before any conversion."""

    parses: bool
    """Header, bars and every duration can be read."""
    aligned: bool
    """In each bar all voices last equally long; False where the piece does not parse."""
    n_bars: int
    """0 where the text is no interleaved tune."""
    problems: tuple[str, ...]
    """One line each; empty for a sound piece."""


def check_validity(interleaved_abc: str) -> Validity:
    """Return what is wrong with an interleaved tune, if anything.

    Args:
        interleaved_abc: With or without omitted rests, prompt lines and counters.
    """
    n_bars = 0
    try:
        tune = parse_interleaved(interleaved_abc)
        n_bars = len(tune.bars)
        for name in ("L", "M", "K"):
            if tune.field(name) is None:
                raise NotationError(f"found no {name}: line in the header")
        parse_key(tune.field("K") or "")
        for number, bar in enumerate(tune.bars, start=1):
            for voice, cell in bar.items():
                _check_bar(cell.music, f"bar {number}, V:{voice}")
    except NotationError as error:
        return Validity(False, False, n_bars, (str(error),))
    report = check_alignment(interleaved_abc)
    return Validity(True, report.ok, report.n_bars, report.problems)


def _check_bar(music: str, where: str) -> None:
    try:
        bar_duration(music)
    except NotationError as error:
        raise NotationError(f"{where}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Soundness:
    """All that is judged of one piece. What cannot be read is not sound, and counts nothing."""

    parses: bool
    """Header, bars and every duration can be read."""
    aligned: bool
    """In each bar all voices last equally long; False where the piece does not parse."""
    n_bars: int
    """Lines of the body, whether or not they can be read."""
    n_unaligned_bars: int
    """Bars whose voices last unequally or cannot be read; all of them where the text is no tune."""
    converts: bool
    """It can be written as MusicXML, well-formed."""
    same_notes: bool | None
    """music21 reads the same notes there; False where it cannot, None where it was not asked."""
    header_problems: tuple[str, ...]
    """One line each, as `find_header_problems` says."""
    in_range: bool
    """No note lies out of the range of its instrument, as far as that is known."""
    n_notes_in_known_ranges: int
    """Notes and graces within the known range of their instrument; tied notes are one."""
    n_notes_out_of_range: int
    """Those beyond it."""
    n_sounding_bars: int
    """Bars in which not all voices rest."""
    n_distinct_bars: int
    """Sounding bars that differ in what some voice plays; barlines and counters do not matter."""
    top_bar_share: float
    """Of the sounding bars the share that are like the commonest one; 0 without any."""
    longest_repeat: int
    """How often in a row the same bar, or the same pattern of up to 8 bars, stands at most.

    Silent bars are bars too. 1 where nothing is said twice, 0 without bars."""
    problems: tuple[str, ...]
    """One line each, those of the header aside; empty for a sound piece."""


def check_soundness(interleaved_abc: str, *, check_notes: bool = True) -> Soundness:
    """Judge a piece; whatever is wrong with its music is a finding, and nothing is raised.

    Args:
        interleaved_abc: With or without omitted rests, prompt lines and counters.
        check_notes: Whether music21 reads it back, which takes most of the time.

    Raises:
        InputError: If this process may start no other, which the reading back needs.
    """
    validity = check_validity(interleaved_abc)
    tune, n_bars, n_unaligned = _read_bars(interleaved_abc, validity)
    converts, same, not_same = _read_back(interleaved_abc, check_notes=check_notes)
    ranges, in_range = RangeReport(0, 0, ()), False
    if validity.parses:
        try:
            ranges = check_ranges(tune, score_notes(interleaved_abc))
            in_range = not ranges.n_outside
        except NotationError as error:
            ranges = ranges._replace(problems=(str(error),))
    bars = [played(bar) for bar in tune.bars]
    sounding = Counter(bar for bar in bars if bar)
    # what cannot be read is refused in the same words by all
    problems = dict.fromkeys([*validity.problems, *not_same, *ranges.problems])
    return Soundness(
        parses=validity.parses,
        aligned=validity.aligned,
        n_bars=n_bars,
        n_unaligned_bars=n_unaligned,
        converts=converts,
        same_notes=same,
        header_problems=find_header_problems(tune),
        in_range=in_range,
        n_notes_in_known_ranges=ranges.n_inside,
        n_notes_out_of_range=ranges.n_outside,
        n_sounding_bars=sounding.total(),
        n_distinct_bars=len(sounding),
        top_bar_share=max(sounding.values(), default=0) / max(1, sounding.total()),
        longest_repeat=_longest_repeat(bars),
        problems=tuple(problems),
    )


def _read_bars(abc: str, validity: Validity) -> tuple[Tune, int, int]:
    """Return the tune, its bars, and how many of them are not aligned; of no tune the header."""
    try:
        tune = parse_interleaved(abc)
    except NotationError:
        lines = [line.strip() for line in abc.splitlines()]
        header = list(takewhile(lambda line: not line.startswith(_BODY), lines))
        n_bars = sum(line.startswith(_BODY) for line in lines)
        return Tune(tuple(header), ()), n_bars, n_bars
    unaligned = validity.problems if validity.parses else check_alignment(abc).problems
    return tune, len(tune.bars), len(unaligned)


def _read_back(abc: str, *, check_notes: bool) -> tuple[bool, bool | None, list[str]]:
    """Return whether a tune converts, whether music21 reads the same notes, and what is wrong."""
    try:
        document = abc_to_musicxml(abc)
        ET.fromstring(document)  # noqa: S314 -- written by us just now
    except (ScoreError, ET.ParseError) as error:
        return False, False, [str(error)]
    if not check_notes:
        return True, None, []
    try:
        differences = same_notes(abc, document)
    except ScoreError as error:
        return True, False, [str(error)]
    return True, not differences, differences


def _longest_repeat(bars: Sequence[Hashable]) -> int:
    numbers: dict[Hashable, int] = {}
    order = [numbers.setdefault(bar, len(numbers)) for bar in bars]
    longest = min(1, len(order))
    for period in range(1, _LONGEST_PATTERN + 1):
        run = 0
        for before, bar in zip(order, order[period:], strict=False):
            run = run + 1 if bar == before else 0
            longest = max(longest, 1 + run // period)
    return longest


def same_notes(abc: str, musicxml: str) -> list[str]:
    """Return how the notes of a tune differ from those that music21 reads in its MusicXML.

    Compared are bar, time in the bar, pitch and length of every note and grace, whatever the voice.

    Args:
        abc: Standard, interleaved or reduced ABC, as `abc_to_musicxml` takes it.
        musicxml: The document made of it.

    Returns:
        One line a difference, by bars, such as `bar 3: only the ABC has Eb4 at 1/4 for 1/8`; empty
        if the notes are the same.

    Raises:
        NotationError: If the ABC cannot be read.
        ConversionError: If music21 trips over the document, or takes too long.
    """
    wanted = Counter(abc_notes(abc))
    found = Counter(_read_by_music21(musicxml))
    lines = [(note, "ABC") for note in (wanted - found).elements()]
    lines += [(note, "MusicXML") for note in (found - wanted).elements()]
    return [f"bar {note.bar}: only the {where} has {_shown(note)}" for note, where in sorted(lines)]


@limited(seconds=_SECONDS)
def _read_by_music21(document: str) -> list[Note]:
    import warnings

    warnings.simplefilter("ignore")
    from music21 import chord, converter, harmony, note, stream

    def exact(quarters: float | Fraction) -> Fraction:
        return Fraction(quarters).limit_denominator(2**15) / 4

    notes = []
    for part in converter.parse(document, format="musicxml", forceSource=True).parts:
        for bar, measure in enumerate(part.getElementsByClass(stream.Measure), start=1):
            for event in measure.recurse().notes:
                if isinstance(event, harmony.Harmony):
                    continue
                at = exact(event.getOffsetInHierarchy(measure))
                length = exact(event.quarterLength)
                for one in event.notes if isinstance(event, chord.ChordBase) else [event]:
                    pitch = one.pitch.midi if isinstance(one, note.Note) else UNPITCHED
                    notes.append(Note(bar, at, pitch, length))
    return notes


def _shown(note: Note) -> str:
    name = "an unpitched note" if note.pitch == UNPITCHED else pitch_name(note.pitch)
    return (
        f"{name} at {note.at} for {note.length}" if note.length else f"a grace {name} at {note.at}"
    )
