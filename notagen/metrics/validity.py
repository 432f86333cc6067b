"""Whether a generated piece is sound: it parses, its bars align, it converts to the same notes."""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from notagen.foundation.errors import NotationError
from notagen.foundation.limits import limited
from notagen.metrics.notes import UNPITCHED, Note, abc_notes
from notagen.notation.checks import check_alignment
from notagen.notation.durations import bar_duration
from notagen.notation.interleave import parse_interleaved
from notagen.notation.keys import parse_key

_SECONDS = 300.0
_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


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
    name = f"{_NAMES[note.pitch % 12]}{note.pitch // 12 - 1}"
    if note.pitch == UNPITCHED:
        name = "an unpitched note"
    return (
        f"{name} at {note.at} for {note.length}" if note.length else f"a grace {name} at {note.at}"
    )
