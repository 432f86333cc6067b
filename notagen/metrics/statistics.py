"""Musical statistics of one piece, after Yang & Lerch 2020.

"On the evaluation of generative models in music", Neural Computing and Applications 32. The paper
describes melodies; for music of several voices this is what is taken:

- Notes are the written ones, tied notes as one, every note of a chord by itself. Graces are left
  out everywhere; notes without pitch count in everything but pitches.
- What happens from note to note happens within a voice, whose line is its notes by onset, of a
  chord the highest. Rests between are passed over, as in the paper. The voices' steps are pooled.
- Times are those of the score, for a score need not name its tempo, and a note's length is that
  written, whatever the metre.
- Histograms and matrices are divided by their sum, so that long and short pieces can be compared;
  without a note or a step they are zeros, and so is every mean.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from notagen.metrics.notes import UNPITCHED, ScoreNote

NOTE_LENGTHS = {
    "full": Fraction(1),
    "half": Fraction(1, 2),
    "quarter": Fraction(1, 4),
    "8th": Fraction(1, 8),
    "16th": Fraction(1, 16),
    "dotted half": Fraction(3, 4),
    "dotted quarter": Fraction(3, 8),
    "dotted 8th": Fraction(3, 16),
    "dotted 16th": Fraction(3, 32),
    "half triplet": Fraction(1, 3),
    "quarter triplet": Fraction(1, 6),
    "8th triplet": Fraction(1, 12),
}
"""The paper's classes of note lengths, in whole notes. A length belongs to the nearest, the shorter
of two that are equally near: a 32nd to the 16ths, a breve to the full notes."""

Statistics = dict[str, NDArray[np.float64]]
"""Vectors by name; a name has the same length in every piece."""


def piece_statistics(notes: Sequence[ScoreNote], n_bars: int) -> Statistics:
    """Return the statistics of a piece.

    Args:
        notes: As `score_notes` returns them.
        n_bars: Bars of the piece, those without a note among them.

    Returns:
        Of length 1: `pitch_count` different pitches; `pitch_count_per_bar` and
        `note_count_per_bar` means over the bars, of what begins in each; `note_count`;
        `pitch_range` in semitones; `pitch_interval` mean size of a step in semitones;
        `inter_onset_interval` mean time from note to note in quarter notes. Of length 12:
        `pitch_class_histogram` from C, `note_length_histogram` in the order of `NOTE_LENGTHS`. Of
        length 144, row by row what a step leaves and column by column what it reaches:
        `pitch_class_transitions`, `note_length_transitions`.
    """
    notes = [note for note in notes if note.duration]
    pitched = [note for note in notes if note.pitch != UNPITCHED]
    pitches = [note.pitch for note in pitched]
    steps = _steps(notes)
    pitch_steps = [(before.pitch, after.pitch) for before, after in _steps(pitched)]
    return {
        "pitch_count": _number(len(set(pitches))),
        "pitch_count_per_bar": _mean([len({(n.bar, n.pitch) for n in pitched})], n_bars),
        "pitch_class_histogram": _shares([pitch % 12 for pitch in pitches], 12),
        "pitch_class_transitions": _shares([12 * (a % 12) + b % 12 for a, b in pitch_steps], 144),
        "pitch_range": _number(max(pitches, default=0) - min(pitches, default=0)),
        "pitch_interval": _mean([abs(b - a) for a, b in pitch_steps], len(pitch_steps)),
        "note_count": _number(len(notes)),
        "note_count_per_bar": _mean([len(notes)], n_bars),
        "inter_onset_interval": _mean([4 * (b.onset - a.onset) for a, b in steps], len(steps)),
        "note_length_histogram": _shares([length_class(note.duration) for note in notes], 12),
        "note_length_transitions": _shares(
            [12 * length_class(a.duration) + length_class(b.duration) for a, b in steps], 144
        ),
    }


def statistics_features(statistics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return a piece's statistics as one vector, (319,), in which distances make sense.

    Of histograms and matrices the square roots, whose Euclidean distance is sqrt(2) times
    Hellinger's; of counts and means log(1 + x), so that a piece of twice the notes is as far from
    one as that from one of half as many. So no statistic outweighs the others by its unit.
    """
    return np.concatenate(
        [np.log1p(value) if len(value) == 1 else np.sqrt(value) for value in statistics.values()]
    )


@lru_cache(maxsize=1024)
def length_class(duration: Fraction) -> int:
    """Return the place, in `NOTE_LENGTHS`, of the class that a note length belongs to."""
    classes = list(NOTE_LENGTHS.values())
    return min(range(12), key=lambda place: (abs(classes[place] - duration), classes[place]))


def _steps(notes: Iterable[ScoreNote]) -> list[tuple[ScoreNote, ScoreNote]]:
    """Return each two notes that follow one another in the line of a voice."""
    lines: dict[str, dict[Fraction, ScoreNote]] = defaultdict(dict)
    for note in notes:
        line = lines[note.voice]
        known = line.get(note.onset)
        if known is None or (note.pitch, note.duration) > (known.pitch, known.duration):
            line[note.onset] = note
    return [step for line in lines.values() for step in pairwise(line.values())]


def _number(value: int) -> NDArray[np.float64]:
    return np.array([value], dtype=np.float64)


def _mean(values: Sequence[int | Fraction], count: int) -> NDArray[np.float64]:
    return np.array([float(sum(values)) / count if count else 0.0])


def _shares(places: Sequence[int], size: int) -> NDArray[np.float64]:
    counts = np.bincount(np.asarray(places, dtype=np.intp), minlength=size).astype(np.float64)
    return counts / max(len(places), 1)
